"""Layer-wise concept tokens and regions for this release; needs diffusers only, not fedshow.

    pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
    pipe("on the beach", regions=[((0, 0, 0.5, 1), "a <name>"), ((0.5, 0, 1, 1), "a <name>")])

Every `<name>` in a prompt becomes its two words; each Transformer2DModel of the U-Net then reads an
encoding made with its own token vectors (Mix-of-Show, arXiv 2305.18292). The pooled embedding, which
is of the whole prompt, is made with each word's mean vector. In each box the picture attends to the
box's prompt alone, outside all boxes to the prompt (section 3.4).
"""

import math

import torch
from diffusers import StableDiffusionXLPipeline
from torch.nn.functional import scaled_dot_product_attention


def cross_attention_layers(unet):
    """The attn2 modules in execution order, each with the number of its Transformer2DModel."""
    found = [
        (f"{part}.{name}".partition(".transformer_blocks.")[0], module)
        for part in ("down_blocks", "mid_block", "up_blocks")
        for name, module in getattr(unet, part).named_modules()
        if name.endswith("attn2")
    ]
    transformers = list(dict.fromkeys(transformer for transformer, _ in found))
    return [(module, transformers.index(transformer)) for transformer, module in found]


def check_box(box):
    """Raises ValueError unless it is (left, top, right, bottom) in fractions of width and height."""
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"box {box}: use 0 <= left < right <= 1 and 0 <= top < bottom <= 1")


def cells(low, high, count):
    """The cells of `count` whose middle lies between two fractions; the nearest one when none does."""
    first, end = math.ceil(low * count - 0.5), math.ceil(high * count - 0.5)
    if first >= end:
        first = min(int((low + high) / 2 * count), count - 1)
        end = first + 1
    return slice(first, end)


def levels(height, width):
    """Number of places to height and width, of a latent and of all that the U-Net makes of it."""
    found = {height * width: (height, width)}
    while height > 1 or width > 1:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
        found[height * width] = height, width
    return found


class RegionalAttention:
    """A processor for cross-attention that reads the prompts of background and boxes one after the other.

    Where boxes overlap, their outputs are averaged.
    """

    def __init__(self, boxes, height, width):
        self.boxes, self.levels, self.known = boxes, levels(height, width), {}

    def shares(self, places):
        """Share of the background and of each box at every place."""
        if places not in self.known:
            height, width = self.levels[places]
            covered = torch.zeros(len(self.boxes), height, width)
            for one, (left, top, right, bottom) in zip(covered, self.boxes, strict=True):
                one[cells(top, bottom, height), cells(left, right, width)] = 1
            ours = covered / covered.sum(0).clamp(min=1)
            self.known[places] = torch.cat([1 - ours.sum(0)[None], ours]).clamp(min=0).flatten(1)
        return self.known[places]

    def __call__(self, attn, hidden_states, encoder_hidden_states, attention_mask=None, temb=None):
        def heads(features):
            return features.unflatten(2, (attn.heads, -1)).transpose(1, 2)

        queries = heads(attn.to_q(hidden_states))
        keys = heads(attn.to_k(encoder_hidden_states)).chunk(1 + len(self.boxes), 2)
        values = heads(attn.to_v(encoder_hidden_states)).chunk(1 + len(self.boxes), 2)
        blended = torch.zeros_like(queries)
        for share, key, value in zip(self.shares(queries.shape[2]), keys, values, strict=True):
            at = share.nonzero()[:, 0].to(queries.device)
            if len(at):
                output = scaled_dot_product_attention(
                    queries[:, :, at], key, value, scale=attn.scale
                )
                blended = blended.index_add(2, at, output * share.to(output)[at, None])
        projected = attn.to_out[0](blended.transpose(1, 2).flatten(2))
        return attn.to_out[1](projected) / attn.rescale_output_factor


class LayeredConceptPipeline(StableDiffusionXLPipeline):
    """StableDiffusionXLPipeline with one encoding per Transformer2DModel, and regions."""

    region_prompts = ()

    def __init__(
        self,
        vae,
        text_encoder,
        text_encoder_2,
        tokenizer,
        tokenizer_2,
        unet,
        scheduler,
        image_encoder=None,
        feature_extractor=None,
        force_zeros_for_empty_prompt=True,
        add_watermarker=None,
        concepts=None,
        slots=1,
    ):
        super().__init__(
            vae,
            text_encoder,
            text_encoder_2,
            tokenizer,
            tokenizer_2,
            unet,
            scheduler,
            image_encoder,
            feature_extractor,
            force_zeros_for_empty_prompt,
            add_watermarker,
        )
        self.register_to_config(concepts=concepts, slots=slots)
        for attention, slot in cross_attention_layers(unet):
            attention.register_forward_pre_hook(self._select(slot), with_kwargs=True)

    def _select(self, slot):
        def choose(module, args, kwargs):
            packed = kwargs.get("encoder_hidden_states")
            slots, tokens = self.config.slots, self.tokenizer.model_max_length
            if packed is None or packed.shape[1] % (slots * tokens):
                return None
            chosen = packed.unflatten(1, (-1, slots, tokens))[:, :, slot].flatten(1, 2)
            return args, {**kwargs, "encoder_hidden_states": chosen}

        return choose

    def _spelled(self, text, ending=""):
        for mention, words in (self.config.concepts or {}).items():
            text = text.replace(mention, " ".join(words))
            for word in words:
                text = text.replace(word, f"{word}{ending}")
        return text

    def _read(self, tokenizer, text_encoder, texts, device):
        distinct = list(dict.fromkeys(texts))
        ids = tokenizer(
            distinct,
            padding="max_length",
            truncation=True,
            return_tensors="pt",
            max_length=tokenizer.model_max_length,
        ).input_ids.to(device)
        read = text_encoder(ids, output_hidden_states=True)
        rows = [distinct.index(text) for text in texts]
        return read.hidden_states[-2][rows], read[0][rows]

    def _encode_layers(self, texts, texts_2, device, copies):
        slots, features = self.config.slots, []
        for tokenizer, text_encoder, own in (
            (self.tokenizer, self.text_encoder, texts),
            (self.tokenizer_2, self.text_encoder_2, texts_2),
        ):
            spelled = [self._spelled(text, f"|{slot}") for text in own for slot in range(slots)]
            means = [self._spelled(text) for text in own]
            found, pooled = self._read(tokenizer, text_encoder, spelled + means, device)
            layered = found[: len(spelled)].unflatten(0, (len(own), slots))
            features.append(layered.flatten(1, 2))
        packed, pooled = torch.cat(features, -1), pooled[len(texts) * slots :]
        return packed.repeat_interleave(copies, 0), pooled.repeat_interleave(copies, 0)

    def encode_prompt(
        self,
        prompt,
        prompt_2=None,
        device=None,
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
        negative_prompt=None,
        negative_prompt_2=None,
        prompt_embeds=None,
        negative_prompt_embeds=None,
        pooled_prompt_embeds=None,
        negative_pooled_prompt_embeds=None,
        lora_scale=None,
        clip_skip=None,
    ):
        """Packed features `[batch, (1 + regions) * slots * tokens, dim]` and pooled ones, and negative ones.

        What is pooled says the prompt alone.
        """
        device, copies = device or self._execution_device, num_images_per_prompt
        if prompt_embeds is None:
            texts = [prompt] if isinstance(prompt, str) else list(prompt)
            texts_2 = prompt_2 or texts
            texts_2 = [texts_2] if isinstance(texts_2, str) else list(texts_2)
            prompt_embeds, pooled_prompt_embeds = self._encode_layers(
                texts, texts_2, device, copies
            )
        if do_classifier_free_guidance and negative_prompt_embeds is None:
            if negative_prompt is None and self.config.force_zeros_for_empty_prompt:
                negative_prompt_embeds = torch.zeros_like(prompt_embeds)
                negative_pooled_prompt_embeds = torch.zeros_like(pooled_prompt_embeds)
            else:
                count = prompt_embeds.shape[0] // copies
                texts, texts_2 = (
                    [text] * count if isinstance(text, str) else list(text)
                    for text in (negative_prompt or "", negative_prompt_2 or negative_prompt or "")
                )
                negative_prompt_embeds, negative_pooled_prompt_embeds = self._encode_layers(
                    texts, texts_2, device, copies
                )
        if self.region_prompts:
            prompts = self.region_prompts
            regions = self._encode_layers(prompts, prompts, device, 1)[0].flatten(0, 1)
            regions = regions.expand(len(prompt_embeds), -1, -1)
            prompt_embeds = torch.cat([prompt_embeds, regions], 1)
            if negative_prompt_embeds is not None:
                negative_prompt_embeds = negative_prompt_embeds.repeat(1, 1 + len(prompts), 1)
        return (
            prompt_embeds,
            negative_prompt_embeds,
            pooled_prompt_embeds,
            negative_pooled_prompt_embeds,
        )

    def __call__(
        self, prompt=None, prompt_2=None, height=None, width=None, *args, regions=(), **kwargs
    ):
        """As StableDiffusionXLPipeline's; `regions` are pairs of a box and what to draw in it.

        A box is (left, top, right, bottom), fractions of width and height.
        """
        boxes, texts = [box for box, _ in regions], [text for _, text in regions]
        for box in boxes:
            check_box(box)
        edge, factor = self.unet.config.sample_size, self.vae_scale_factor
        height, width = height or edge * factor, width or edge * factor
        layers = [layer for layer, _ in cross_attention_layers(self.unet)]
        processors = [layer.processor for layer in layers]
        if boxes:
            regional = RegionalAttention(boxes, height // factor, width // factor)
            for layer in layers:
                layer.processor = regional
        self.region_prompts = texts
        try:
            return super().__call__(prompt, prompt_2, height, width, *args, **kwargs)
        finally:
            self.region_prompts = ()
            for layer, processor in zip(layers, processors, strict=True):
                layer.processor = processor
