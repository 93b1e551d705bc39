"""One thing to draw with, whatever it was loaded from."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from fedshow.concepts import ConceptFile
from fedshow.edlora.adapters import Adapters
from fedshow.edlora.conditioning import LayeredConditioning, packed
from fedshow.edlora.tokens import ConceptTokens
from fedshow.families.encoded import Encoded
from fedshow.families.opening import Base
from fedshow.sampling import stock
from fedshow.sampling.carried import Origin
from fedshow.sampling.drawing import Drawing, OnStep, draw
from fedshow.sampling.modules import ConditionModules
from fedshow.sampling.recipe import Recipe
from fedshow.sampling.regions import Size


class Model:
    """A base with concept tokens and, where there are any, adapters; draws through stock diffusers."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.tokens = ConceptTokens(base.text_encoders, base.card.slots)
        self.cross_attention = base.family.slotted_layers(base.denoiser)
        self.self_attention = base.family.self_attention(base.denoiser)
        self.conditioning = self._condition(self.cross_attention)
        self.conditions = ConditionModules(base, self._condition)
        self.adapters: list[Adapters] = []
        self.release: str | None = None
        """The release that it was opened from."""

        self.concepts: dict[str, str] = {}
        """Digest of each concept's file."""

        self.merged_strength = 0.0
        """How much of the adapters the weights contain already: 1 for a release."""

    def _condition(self, layers: Sequence[tuple[nn.Module, int]]) -> LayeredConditioning:
        """Layer-wise features for these layers."""
        return LayeredConditioning(layers, self.base.card.slots, self.base.prompt_tokens)

    def add_concept(self, concept: ConceptFile) -> Adapters:
        """Loads tokens and adapters of a concept file made for this base."""
        self.add_words(concept)
        adapters = Adapters.from_tensors(concept.tensors(), concept.header.scale)
        return self.add_adapters(adapters)

    def add_words(self, concept: ConceptFile) -> None:
        """Loads the tokens of a concept file alone, for a model that has its adapters fused."""
        header = concept.header
        self.tokens.load_concept(header.name, header.words, concept.tensors())
        self.concepts[header.name] = concept.sha256

    def add_adapters(self, adapters: Adapters) -> Adapters:
        """Attaches adapters to the base's layers."""
        self.adapters.append(adapters.to(self.base.device).attach(self.base.layers))
        return adapters

    def restore(self) -> Base:
        """Takes everything off again and returns the base as it was."""
        for adapters in self.adapters:
            adapters.detach()
        self.adapters.clear()
        self.conditioning.detach()
        self.tokens.detach()
        return self.base

    @property
    def origin(self) -> Origin:
        """What it was made of, for the pictures that it draws."""
        return Origin(base=self.base.card.ref, release=self.release, concepts=self.concepts)

    def set_strength(self, scale: float) -> None:
        """From now on, adapters count `scale` times; 0 leaves what the embedding alone knows."""
        for adapters in self.adapters:
            adapters.strength = scale - self.merged_strength

    @contextmanager
    def strength(self, scale: float) -> Iterator[None]:
        """Within the block, adapters count `scale` times."""
        self.set_strength(scale)
        try:
            yield
        finally:
            self.set_strength(1)

    def encode(self, prompts: Sequence[str], regions: Sequence[Sequence[str]] = ()) -> Tensor:
        """Packed features alone."""
        return cast(Tensor, self.encoded(prompts, regions).features)

    @torch.no_grad()
    def encoded(self, prompts: Sequence[str], regions: Sequence[Sequence[str]] = ()) -> Encoded:
        """Packed features `[B, R*S*T, D]` of prompts and, per region, of as many region prompts.

        What is pooled says the prompts alone.
        """
        return packed([self.tokens.encoded(list(texts)) for texts in (prompts, *regions)])

    @torch.no_grad()
    def encoded_negative(
        self, prompts: Sequence[str], regions: Sequence[Sequence[str]] = ()
    ) -> Encoded:
        """The same of what pictures must not show; of an empty one as the base was trained without prompt."""
        base, found = self.base, []
        for texts in (prompts, *regions):
            empty = [not text for text in texts]
            encoded = self.tokens.encoded(list(texts))
            found.append(base.family.without_prompt(base.pipeline, encoded, empty))
        return packed(found)

    def __call__(
        self,
        prompt: str | Sequence[str],
        *,
        on_step: OnStep = lambda _done, _all: None,
        **recipe: Any,
    ) -> Drawing:
        """Draws what the `Recipe` of these values says, such as `regions=[…]`, `seed=1`, `n=4`.

        Raises InvalidInput, before anything is computed, for what cannot be drawn.
        """
        return self.draw(Recipe(prompt=prompt, **recipe), on_step)

    def draw(self, recipe: Recipe, on_step: OnStep = lambda _done, _all: None) -> Drawing:
        """The pictures of a recipe; what `on_step` raises ends the drawing."""
        return draw(self, recipe, on_step)

    @torch.no_grad()
    def sample_latents(
        self,
        prompts: Sequence[str],
        *,
        seed: int,
        steps: int,
        size: Size | None = None,
    ) -> Tensor:
        """Latents `[B, C, h, w]` of one picture per prompt, never decoded; `size` is height and width."""
        edge = self.base.sample_pixels
        latents = stock.run(
            self.base,
            self.encoded(prompts),
            self.encoded_negative([""]),
            seeds=[seed + k for k in range(len(prompts))],
            size=size or (edge, edge),
            steps=steps,
            guidance=stock.default_guidance(self.base),
            output="latent",
        )
        return cast(Tensor, latents)
