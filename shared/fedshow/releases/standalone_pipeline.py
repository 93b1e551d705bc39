"""Layer-wise concept tokens for this release; needs diffusers only, not fedshow.

    DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)

Every `<name>` in a prompt becomes its two words; each cross-attention layer then reads an encoding
made with that layer's own token vectors (Mix-of-Show, arXiv 2305.18292).
"""

from diffusers import StableDiffusionPipeline


def cross_attention_layers(unet):
    """The attn2 modules in execution order."""
    return [
        module
        for part in ("down_blocks", "mid_block", "up_blocks")
        for name, module in getattr(unet, part).named_modules()
        if name.endswith("attn2")
    ]


class LayeredConceptPipeline(StableDiffusionPipeline):
    """StableDiffusionPipeline with one encoding of the prompt per cross-attention layer."""

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
            if packed is None or packed.shape[1] != slots * tokens:
                return None
            return args, {
                **kwargs,
                "encoder_hidden_states": packed.unflatten(1, (slots, -1))[:, slot],
            }

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
        """Packed features `[batch, slots * tokens, dim]` of prompt and negative prompt."""
        if prompt_embeds is None:
            texts = [prompt] if isinstance(prompt, str) else list(prompt)
            prompt_embeds = self._encode_layers(texts, device, num_images_per_prompt)
        if do_classifier_free_guidance and negative_prompt_embeds is None:
            count = prompt_embeds.shape[0] // num_images_per_prompt
            negative = negative_prompt or ""
            texts = [negative] * count if isinstance(negative, str) else list(negative)
            negative_prompt_embeds = self._encode_layers(texts, device, num_images_per_prompt)
        return prompt_embeds, negative_prompt_embeds
