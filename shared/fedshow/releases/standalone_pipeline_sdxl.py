"""Layer-wise concept tokens for this release; needs diffusers only, not fedshow.

    DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)

Every `<name>` in a prompt becomes its two words; each Transformer2DModel of the U-Net then reads an
encoding made with its own token vectors (Mix-of-Show, arXiv 2305.18292). The pooled embedding, which
is of the whole prompt, is made with each word's mean vector.
"""

import torch
from diffusers import StableDiffusionXLPipeline


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


class LayeredConceptPipeline(StableDiffusionXLPipeline):
    """StableDiffusionXLPipeline with one encoding of the prompt per Transformer2DModel."""

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
            if packed is None or packed.shape[1] != slots * tokens:
                return None
            return args, {
                **kwargs,
                "encoder_hidden_states": packed.unflatten(1, (slots, -1))[:, slot],
            }

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
        """Packed features `[batch, slots * tokens, dim]` and pooled ones of prompt and negative prompt."""
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
        return (
            prompt_embeds,
            negative_prompt_embeds,
            pooled_prompt_embeds,
            negative_pooled_prompt_embeds,
        )
