"""Layer-wise concept tokens and regions for this release; needs diffusers only, not fedshow.

    pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
    pipe("on the beach", regions=[((0, 0, 0.5, 1), "a <name>"), ((0.5, 0, 1, 1), "a <name>")])

Every `<name>` in a prompt becomes its two words; each cross-attention layer then reads an encoding
made with that layer's own token vectors (Mix-of-Show, arXiv 2305.18292). In each box the picture attends
to the box's prompt alone, outside all boxes to the prompt (section 3.4).
"""

import math

import torch
from diffusers import StableDiffusionPipeline
from torch.nn.functional import scaled_dot_product_attention


def cross_attention_layers(unet):
    """The attn2 modules in execution order."""
    return [
        module
        for part in ("down_blocks", "mid_block", "up_blocks")
        for name, module in getattr(unet, part).named_modules()
        if name.endswith("attn2")
    ]


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


class LayeredConceptPipeline(StableDiffusionPipeline):
    """StableDiffusionPipeline with one encoding of the prompt per cross-attention layer, and regions."""

    region_prompts = ()

    def __init__(
        self,
        vae,
        text_encoder,
        tokenizer,
        unet,
        scheduler,
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
        concepts=None,
        slots=1,
    ):
        super().__init__(
            vae,
            text_encoder,
            tokenizer,
            unet,
            scheduler,
            safety_checker,
            feature_extractor,
            image_encoder,
            requires_safety_checker,
        )
        self.register_to_config(concepts=concepts, slots=slots)
        for slot, attention in enumerate(cross_attention_layers(unet)):
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

    def _text_of_slot(self, text, slot):
        for mention, words in (self.config.concepts or {}).items():
            text = text.replace(mention, " ".join(words))
            for word in words:
                text = text.replace(word, f"{word}|{slot}")
        return text

    def _encode_layers(self, texts, device, copies):
        slots = self.config.slots
        spelled = [self._text_of_slot(text, slot) for text in texts for slot in range(slots)]
        distinct = list(dict.fromkeys(spelled))
        ids = self.tokenizer(
            distinct,
            padding="max_length",
            truncation=True,
            return_tensors="pt",
            max_length=self.tokenizer.model_max_length,
        ).input_ids.to(device)
        features = self.text_encoder(ids)[0][[distinct.index(text) for text in spelled]]
        packed = features.unflatten(0, (len(texts), slots)).flatten(1, 2)
        return packed.repeat_interleave(copies, 0)

    def encode_prompt(
        self,
        prompt,
        device,
        num_images_per_prompt,
        do_classifier_free_guidance,
        negative_prompt=None,
        prompt_embeds=None,
        negative_prompt_embeds=None,
        lora_scale=None,
        clip_skip=None,
    ):
        """Packed features `[batch, (1 + regions) * slots * tokens, dim]` of prompt and negative prompt."""
        if prompt_embeds is None:
            texts = [prompt] if isinstance(prompt, str) else list(prompt)
            prompt_embeds = self._encode_layers(texts, device, num_images_per_prompt)
        if do_classifier_free_guidance and negative_prompt_embeds is None:
            count = prompt_embeds.shape[0] // num_images_per_prompt
            negative = negative_prompt or ""
            texts = [negative] * count if isinstance(negative, str) else list(negative)
            negative_prompt_embeds = self._encode_layers(texts, device, num_images_per_prompt)
        if self.region_prompts:
            regions = self._encode_layers(self.region_prompts, device, 1).flatten(0, 1)
            regions = regions.expand(len(prompt_embeds), -1, -1)
            prompt_embeds = torch.cat([prompt_embeds, regions], 1)
            if negative_prompt_embeds is not None:
                copies = 1 + len(self.region_prompts)
                negative_prompt_embeds = negative_prompt_embeds.repeat(1, copies, 1)
        return prompt_embeds, negative_prompt_embeds

    def __call__(self, prompt=None, height=None, width=None, *args, regions=(), **kwargs):
        """As StableDiffusionPipeline's; `regions` are pairs of a box and what to draw in it.

        A box is (left, top, right, bottom), fractions of width and height.
        """
        boxes, texts = [box for box, _ in regions], [text for _, text in regions]
        for box in boxes:
            check_box(box)
        edge, factor = self.unet.config.sample_size, self.vae_scale_factor
        height, width = height or edge * factor, width or edge * factor
        layers = cross_attention_layers(self.unet)
        processors = [layer.processor for layer in layers]
        if boxes:
            regional = RegionalAttention(boxes, height // factor, width // factor)
            for layer in layers:
                layer.processor = regional
        self.region_prompts = texts
        try:
            return super().__call__(prompt, height, width, *args, **kwargs)
        finally:
            self.region_prompts = ()
            for layer, processor in zip(layers, processors, strict=True):
                layer.processor = processor
