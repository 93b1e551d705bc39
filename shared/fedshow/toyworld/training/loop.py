"""The training loop that autoencoder, U-Net and encoder share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fedshow.toyworld.training.checkpoints import Tensors, load_checkpoint, save_checkpoint
from fedshow.toyworld.training.parallel import Rank, agree, average_gradients

Loss = Callable[[torch.Generator], Tensor]


@dataclass(frozen=True)
class LoopSettings:
    """How long, how fast and where to train."""

    folder: Path
    device: str
    steps: int
    deadline_minutes: float
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    decay_share: float
    average_decay: float
    clip_norm: float
    seed: int
    checkpoint_minutes: float


def rate_factor(step: int, share_done: float, settings: LoopSettings) -> float:
    """The learning rate as a share of its peak: warm-up, plateau, linear decay to zero."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    left = max(0.0, 1.0 - share_done)
    return warm * min(1.0, left / settings.decay_share)


def step_generator(seed: int, step: int, rank: Rank) -> torch.Generator:
    """Randomness fixed by seed, step and process, so that a resumed run repeats itself."""
    generator = torch.Generator()
    generator.manual_seed((seed * 1_000_003 + step) * 64 + rank.number)
    return generator


class TrainingLoop:
    """Steps AdamW on a loss until the last step or the deadline; resumes from its checkpoint."""

    def __init__(self, model: nn.Module, settings: LoopSettings, rank: Rank) -> None:
        self.model, self.settings, self.rank = model, settings, rank
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=settings.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.average: Tensors = {n: p.detach().clone() for n, p in model.state_dict().items()}
        done = load_checkpoint(settings.folder, model, self.average, self.optimizer)
        self.step = int(done.get("step", 0))
        self.seconds_before = done.get("seconds", 0.0)
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time so far, over all runs."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def share_done(self) -> float:
        """How much of the steps or of the time is used, whichever is more."""
        by_time = self.seconds / 60 / self.settings.deadline_minutes
        return max(self.step / self.settings.steps, by_time)

    def run(self, loss: Loss, report: Callable[[TrainingLoop, float], None]) -> None:
        """Train to the end; `report` is called every 100 steps and at the end."""
        saved, mean_loss = time.monotonic(), torch.zeros(())
        while (share := agree(self.share_done, self.rank)) < 1.0:
            value = self._one_step(loss, share)
            mean_loss = torch.lerp(mean_loss.to(value), value, 1 / min(self.step % 100 + 1, 100))
            self.step += 1
            if self.rank.first and self.step % 100 == 0:
                report(self, float(mean_loss))
            if self.rank.first and time.monotonic() - saved > 60 * self.settings.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        if self.rank.first:
            self.save()
            report(self, float(mean_loss))

    def save(self) -> None:
        """Write the checkpoint."""
        progress = {"step": self.step, "seconds": self.seconds}
        save_checkpoint(self.settings.folder, self.model, self.average, self.optimizer, progress)

    def _one_step(self, loss: Loss, share_done: float) -> Tensor:
        """The loss, which nobody has waited for: a card computes while the next batch is drawn."""
        factor = rate_factor(self.step, share_done, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor
        value = loss(step_generator(self.settings.seed, self.step, self.rank))
        self.optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        average_gradients(self.parameters, self.rank)
        nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        self.optimizer.step()
        self._update_average()
        return value.detach()

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.settings.average_decay, (1 + self.step) / (10 + self.step))
        values = list(self.model.state_dict().values())
        torch._foreach_lerp_(list(self.average.values()), values, 1 - decay)
