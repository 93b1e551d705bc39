"""Concept words for this release; needs diffusers only, not fedshow.

    DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)

Every `<name>` in a prompt becomes its two words (Mix-of-Show, arXiv 2305.18292).
"""

from diffusers import StableDiffusion3Pipeline


class LayeredConceptPipeline(StableDiffusion3Pipeline):
    """StableDiffusion3Pipeline that knows concepts by name."""

    _optional_components = [
        *StableDiffusion3Pipeline._optional_components,
        "text_encoder_3",
        "tokenizer_3",
    ]

    def __init__(
        self,
        transformer,
        scheduler,
        vae,
        text_encoder,
        tokenizer,
        text_encoder_2,
        tokenizer_2,
        text_encoder_3=None,
        tokenizer_3=None,
        image_encoder=None,
        feature_extractor=None,
        concepts=None,
        slots=1,
    ):
        super().__init__(
            transformer,
            scheduler,
            vae,
            text_encoder,
            tokenizer,
            text_encoder_2,
            tokenizer_2,
            text_encoder_3,
            tokenizer_3,
            image_encoder,
            feature_extractor,
        )
        self.register_to_config(concepts=concepts, slots=slots)

    def _spelled(self, texts):
        if texts is None:
            return None
        if not isinstance(texts, str):
            return [self._spelled(text) for text in texts]
        for mention, words in (self.config.concepts or {}).items():
            texts = texts.replace(mention, " ".join(words))
        return texts

    def encode_prompt(self, prompt, prompt_2=None, prompt_3=None, **options):
        """As ever, of prompts with the words of concepts."""
        for name in ("negative_prompt", "negative_prompt_2", "negative_prompt_3"):
            options[name] = self._spelled(options.get(name))
        prompts = [self._spelled(each) for each in (prompt, prompt_2, prompt_3)]
        return super().encode_prompt(*prompts, **options)
