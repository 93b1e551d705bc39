"""The denoising objective: which noise, what the denoiser should say, how much each error counts.

Shapes: B batch, C latent channels, h and w latent height and width.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fedshow.families import Base
from fedshow_client.tuning.recipe import Recipe


class Objective:
    """Masked mean squared error of epsilon or velocity, as the base predicts it."""

    def __init__(self, scheduler: Any, recipe: Recipe, device: torch.device) -> None:
        from diffusers import DDPMScheduler

        # of its own: drawing puts a sampler in the place of the pipeline's
        self.schedule = DDPMScheduler.from_config(scheduler.config)
        self.recipe, self.device = recipe, device
        self.steps = int(self.schedule.config.num_train_timesteps)

    def times(self, batch: int, generator: torch.Generator) -> Tensor:
        """Timesteps `[B]`, one from each of B equal parts of the schedule, in random order.

        Independent times would make a small batch's loss, and so its gradient, depend mostly on luck.
        """
        parts = torch.randperm(batch, generator=generator)
        spread = torch.rand(batch, generator=generator)
        times = ((parts + spread) / batch * self.steps).long()
        return times.clamp(max=self.steps - 1).to(self.device)

    def noise(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Gaussian noise like `clean [B, C, h, w]`, each channel shifted a little as a whole."""
        noise = torch.randn(clean.shape, generator=generator)
        offset = torch.randn(*clean.shape[:2], 1, 1, generator=generator)
        return (noise + self.recipe.noise_offset * offset).to(clean)

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """`clean` at `times` of the diffusion."""
        return self.schedule.add_noise(clean, noise, times)  # type: ignore[no-any-return]

    def loss(
        self, predicted: Tensor, clean: Tensor, noise: Tensor, times: Tensor, weights: Tensor
    ) -> Tensor:
        """Mean over the batch of each picture's error, weighted by `weights [B, 1, h, w]`."""
        errors = self.errors(predicted, clean, noise, times, weights)
        return (errors * self._importance(times)).mean()

    def errors(
        self, predicted: Tensor, clean: Tensor, noise: Tensor, times: Tensor, weights: Tensor
    ) -> Tensor:
        """Each picture's mean squared error `[B]`, weighted by `weights [B, 1, h, w]`."""
        error = F.mse_loss(predicted.float(), self._target(clean, noise, times), reduction="none")
        area = weights.sum((1, 2, 3)).clamp(min=1e-6) * error.shape[1]
        return (error * weights).sum((1, 2, 3)) / area

    def _target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        if self.schedule.config.prediction_type == "v_prediction":
            return self.schedule.get_velocity(clean, noise, times)  # type: ignore[no-any-return]
        return noise

    def _importance(self, times: Tensor) -> Tensor | float:
        """Min-SNR weights `[B]` (arXiv 2303.09556, eq. 5), 1 when the recipe leaves them off."""
        if not (limit := self.recipe.min_snr):
            return 1.0
        from diffusers.training_utils import compute_snr

        snr: Tensor = compute_snr(self.schedule, times)
        velocity = self.schedule.config.prediction_type == "v_prediction"
        return snr.clamp(max=limit) / (snr + 1 if velocity else snr.clamp(min=1e-8))


class FlowObjective(Objective):
    """Rectified flow (arXiv 2403.03206, section 2): pictures become noise on straight lines."""

    def __init__(self, scheduler: Any, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.steps = int(scheduler.config.num_train_timesteps)

    def times(self, batch: int, generator: torch.Generator) -> Tensor:
        """Logit-normal times `[B]`, which are in the middle most often; one from each of B equal parts."""
        parts = torch.randperm(batch, generator=generator)
        spread = torch.rand(batch, generator=generator).clamp(1e-4, 1 - 1e-4)
        normal = torch.special.ndtri((parts + spread) / batch)
        return (torch.sigmoid(normal) * self.steps).to(self.device)

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """As far on the way to noise as the times say."""
        share = (times / self.steps).view(-1, 1, 1, 1).to(clean)
        return (1 - share) * clean + share * noise

    def _target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:  # noqa: ARG002
        return noise - clean

    def _importance(self, times: Tensor) -> Tensor | float:  # noqa: ARG002
        return 1.0


def objective_for(base: Base, recipe: Recipe) -> Objective:
    """What the base's denoiser is taught."""
    kind = FlowObjective if base.family.flow else Objective
    return kind(base.pipeline.scheduler, recipe, base.device)
