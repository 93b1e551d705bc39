"""One thing to draw with, whatever it was loaded from."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from PIL.Image import Image
from torch import Tensor

from fedshow.concepts import ConceptFile, read_concept
from fedshow.edlora.adapters import Adapters
from fedshow.edlora.conditioning import LayeredConditioning, pack
from fedshow.edlora.tokens import ConceptTokens
from fedshow.errors import InvalidInput
from fedshow.families.opening import Base, open_base
from fedshow.sampling.regions import Region, regional

OnStep = Callable[[int, int], None]
"""Told of denoising steps done and steps in all."""


@dataclass(frozen=True)
class Drawing:
    """What a call gives back."""

    images: list[Image]
    seeds: list[int]


class Model:
    """A base with concept tokens and, where there are any, adapters; draws through stock diffusers."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.tokens = ConceptTokens(
            base.pipeline.text_encoder, base.pipeline.tokenizer, base.card.slots
        )
        self.cross_attention = base.family.slotted_layers(base.pipeline.unet)
        self.conditioning = LayeredConditioning(
            self.cross_attention, base.card.slots, base.pipeline.tokenizer.model_max_length
        )
        self.adapters: list[Adapters] = []
        self.merged_strength = 0.0
        """How much of the adapters the weights contain already: 1 for a release."""

    def add_concept(self, concept: ConceptFile) -> Adapters:
        """Loads tokens and adapters of a concept file made for this base."""
        self.add_words(concept)
        adapters = Adapters.from_tensors(concept.tensors(), concept.header.scale)
        return self.add_adapters(adapters)

    def add_words(self, concept: ConceptFile) -> None:
        """Loads the tokens of a concept file alone, for a model that has its adapters fused."""
        header, tensors = concept.header, concept.tensors()
        rows = {word: tensors[f"tokens.{word}"] for word in header.words}
        self.tokens.add_concept(header.name, rows)

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

    @contextmanager
    def strength(self, scale: float) -> Iterator[None]:
        """Within the block, adapters count `scale` times; 0 leaves what the embedding alone knows."""
        for adapters in self.adapters:
            adapters.strength = scale - self.merged_strength
        try:
            yield
        finally:
            for adapters in self.adapters:
                adapters.strength = 1 - self.merged_strength

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], regions: Sequence[Sequence[str]] = ()) -> Tensor:
        """Packed features `[B, R*S*T, D]` of prompts and, per region, of as many region prompts."""
        return pack([self.tokens.encode(list(texts)) for texts in (prompts, *regions)])

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        *,
        regions: Sequence[Region] = (),
        negative: str = "",
        steps: int = 20,
        guidance: float | None = None,
        seed: int = 0,
        n: int = 1,
        scale: float = 1.0,
        width: int | None = None,
        height: int | None = None,
        on_step: OnStep = lambda _done, _all: None,
    ) -> Drawing:
        """Draws `n` pictures per prompt; picture k of each prompt starts from `seed + k`.

        Raises InvalidInput for unknown concepts, bad boxes, prompts that are too long and numbers
        out of range.
        """
        guidance = default_guidance(self.base) if guidance is None else guidance
        _check_numbers(steps=(steps, 1), n=(n, 1), guidance=(guidance, 0), scale=(scale, 0))
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        size = (height or self.base.sample_pixels, width or self.base.sample_pixels)
        grid = self._latent_size(size)
        seeds = [seed + k for _ in prompts for k in range(n)]
        with self.strength(scale), regional(self.cross_attention, regions, grid) as plan:
            positive = self.encode(prompts, [[r.prompt] * len(prompts) for r in regions])
            opposite = self.encode([negative], [[r.negative or negative] for r in regions])
            features = positive.repeat_interleave(n, 0), opposite

            def after_step(done: int) -> None:
                plan.progress = done / steps
                on_step(done, steps)

            images = self._draw(*features, steps, guidance, seeds, size, after_step=after_step)
        return Drawing(images, seeds)

    @torch.no_grad()
    def sample_latents(
        self,
        prompts: Sequence[str],
        *,
        seed: int,
        steps: int,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Latents `[B, C, h, w]` of one picture per prompt, never decoded; `size` is height and width."""
        edge = self.base.sample_pixels
        embeds = self.encode(prompts), self.encode([""])
        seeds = [seed + k for k in range(len(prompts))]
        guidance = default_guidance(self.base)
        latents = self._draw(*embeds, steps, guidance, seeds, size or (edge, edge), output="latent")
        return cast(Tensor, latents)

    def _draw(
        self,
        positive: Tensor,
        negative: Tensor,
        steps: int,
        guidance: float,
        seeds: list[int],
        size: tuple[int, int],
        output: str = "pil",
        after_step: Callable[[int], None] = lambda _done: None,
    ) -> Any:
        def step_ended(_: Any, step: int, __: Any, values: dict[str, Any]) -> dict[str, Any]:
            after_step(step + 1)
            return values

        return sampler(self.base)(
            callback_on_step_end=step_ended,
            output_type=output,
            prompt_embeds=positive,
            negative_prompt_embeds=negative.expand(len(positive), -1, -1),
            num_inference_steps=steps,
            guidance_scale=guidance,
            latents=noise(self.base, seeds, self._latent_size(size)),
            height=size[0],
            width=size[1],
        ).images

    def _latent_size(self, size: tuple[int, int]) -> tuple[int, int]:
        factor = self.base.pipeline.vae_scale_factor
        if any(edge <= 0 or edge % factor for edge in size):
            height, width = (max(factor, round(edge / factor) * factor) for edge in size)
            raise InvalidInput(
                f"picture of {size[1]}x{size[0]} pixels: edges must be multiples of {factor}, "
                f"such as {width}x{height}"
            )
        return size[0] // factor, size[1] // factor


def _check_numbers(**limits: tuple[float, float]) -> None:
    for name, (value, least) in limits.items():
        if not least <= value < math.inf:  # also not a number
            raise InvalidInput(f"{name} {value}: must be a number of at least {least}")


def noise(base: Base, seeds: Sequence[int], size: tuple[int, int]) -> Tensor:
    """Initial latents, one `[C, h, w]` per seed, the same on every device and in every batch."""
    shape = (base.pipeline.unet.config.in_channels, *size)
    found = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack(found).to(base.device, base.pipeline.unet.dtype)


def default_guidance(base: Base) -> float:
    """Classifier-free guidance that suits the base: small pictures want less."""
    return 3.0 if base.sample_pixels < 128 else 7.5


def sampler(base: Base) -> Any:
    """The stock pipeline with DPM-Solver++, the paper's choice for evaluation."""
    from diffusers import DPMSolverMultistepScheduler

    if not isinstance(base.pipeline.scheduler, DPMSolverMultistepScheduler):
        config = base.pipeline.scheduler.config
        base.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(config)
    return base.pipeline


def load(model: str | Path, base: str | None = None, device: str = "cpu") -> Model:
    """A release folder, a concept file (with its base) or a base, ready to draw.

    Raises InvalidInput when `model` is none of them, BaseMismatch for a concept of another base,
    Damaged for a release that is not whole.
    """
    path = Path(model)
    if path.is_file():
        opened = Model(open_base(base or "toyworld", device))
        opened.add_concept(read_concept(path, opened.base.card))
        return opened
    if base is not None:
        raise InvalidInput(f"{str(model)!r} is no concept file; only a concept file takes a base")
    if any((path / name).is_file() for name in ("manifest.json", "fused.safetensors")):
        from fedshow.releases.loading import load_release

        return load_release(path, device)
    try:
        return Model(open_base(str(model), device))
    except InvalidInput as error:
        raise InvalidInput(f"no release folder and no concept file: {error}") from error
