"""The stock diffusers pipelines that draw: from text, and from text and an image."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL.Image import Resampling
from torch import Tensor

from fedshow.families.encoded import Encoded
from fedshow.families.opening import Base
from fedshow.sampling.recipe import Start
from fedshow.sampling.regions import Size

AfterStep = Callable[[int], None]
"""Told of how many steps of the whole schedule are done; what it raises ends the drawing."""

Adjust = Callable[[Tensor, Tensor], Tensor]
"""Latents before a step and its timestep; gives the latents to go on with."""


def run(
    base: Base,
    positive: Encoded,
    negative: Encoded,
    *,
    seeds: Sequence[int],
    size: Size,
    steps: int,
    guidance: float,
    start: Start | None = None,
    output: str = "pil",
    after_step: AfterStep = lambda _done: None,
    adjust: Adjust | None = None,
) -> Any:
    """Images (or latents, with `output="latent"`) of packed features, one for each seed.

    One negative prompt serves all of them.
    """
    skipped = 0 if start is None else start.skipped(steps)

    def step_ended(pipe: Any, step: int, __: Any, values: dict[str, Any]) -> dict[str, Any]:
        done = skipped + step + 1
        after_step(done)
        if adjust is not None and done < steps:
            values["latents"] = adjust(values["latents"], pipe.scheduler.timesteps[done])
        return values

    pipeline, begin = sampling(base), _beginning(base, seeds, size, start)
    if start is not None:
        pipeline = base.family.from_image(pipeline)
        pipeline.set_progress_bar_config(disable=True)
    elif adjust is not None:
        pipeline.scheduler.set_timesteps(steps)
        begin["latents"] = adjust(begin["latents"], pipeline.scheduler.timesteps[0])
    return pipeline(
        callback_on_step_end=step_ended,
        output_type=output,
        num_inference_steps=steps,
        guidance_scale=guidance,
        **base.family.pipeline_inputs(pipeline, positive, negative.expanded(len(positive))),
        **begin,
    ).images


def _beginning(base: Base, seeds: Sequence[int], size: Size, start: Start | None) -> dict[str, Any]:
    """What the pipelines' ways to begin are called."""
    if start is None:
        latents = noise(base, seeds, latent_size(base, size))
        return {"latents": latents, "height": size[0], "width": size[1]}
    image = start.image.convert("RGB").resize((size[1], size[0]), Resampling.LANCZOS)
    return {
        "image": [image] * len(seeds),
        "strength": start.strength,
        "generator": [torch.Generator().manual_seed(seed) for seed in seeds],
    }


def sampling(base: Base) -> Any:
    """The base's pipeline with the scheduler that its family draws with."""
    base.pipeline.scheduler = base.family.sampler(base.pipeline.scheduler)
    return base.pipeline


def noise(base: Base, seeds: Sequence[int], size: Size) -> Tensor:
    """Initial latents, one `[C, h, w]` per seed, the same on every device and in every batch."""
    shape = (base.denoiser.config.in_channels, *size)
    found = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack(found).to(base.device, base.dtype)


def default_guidance(base: Base) -> float:
    """Classifier-free guidance that suits the base: small pictures want less."""
    return 3.0 if base.sample_pixels < 128 else base.family.guidance


def latent_size(base: Base, size: Size) -> Size:
    """Height and width of the latent of a picture."""
    return size[0] // base.factor, size[1] // base.factor
