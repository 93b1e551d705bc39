"""The tuning loop: ED-LoRA on one base, step-exact whenever it is stopped and continued.

Every random number of step k is drawn from a generator seeded with (seed, k), so nothing random
needs to be saved.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedshow.edlora.adapters import Adapters
from fedshow.errors import FedshowError
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_client.tuning.attention import attention_loss, captured
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.latents import LatentSet
from fedshow_client.tuning.recipe import Recipe

Report = Callable[[Progress, int], None]
"""Called after every step with the progress and the number of steps in all."""


@dataclass
class Subject:
    """What is being taught: its name, class, captions (one per image) and latents."""

    name: str
    words: tuple[str, ...]
    captions: list[str]
    latents: LatentSet


class Trainer:
    """One run: parameters, optimizer and the step."""

    def __init__(
        self, base: Base, subject: Subject, class_row: Tensor, model: Model, recipe: Recipe
    ):
        self.base, self.subject, self.recipe, self.model = base, subject, recipe, model
        generator = torch.Generator().manual_seed(recipe.seed)
        rows = self._first_rows(class_row, generator)
        self.rows = dict(
            zip(subject.words, model.tokens.add_concept(subject.name, rows), strict=True)
        )
        fresh = Adapters.fresh(base.layers, recipe.rank, recipe.alpha, generator)
        self.adapters = model.add_adapters(fresh)
        self.optimizer = self._make_optimizer()
        self.schedule = base.pipeline.scheduler
        self.alphas = self.schedule.alphas_cumprod.to(base.device)
        self.norm_limit = recipe.norm_limit * float(class_row.norm())

    def _first_rows(self, class_row: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Last word from the class word, those before it from noise of the same length."""
        *free, last = self.subject.words
        rows = {last: class_row}
        for word in free:
            noise = torch.randn(len(class_row), generator=generator).to(class_row)
            rows[word] = noise * (class_row.norm() / noise.norm())
        slots = self.base.card.slots
        return {word: rows[word].repeat(slots, 1) for word in self.subject.words}

    def _make_optimizer(self) -> torch.optim.AdamW:
        recipe, is_self = self.recipe, self.base.family.is_self_attention

        def is_text(layer: str) -> bool:
            return layer.startswith("text_encoder.")

        def is_cross(layer: str) -> bool:
            return not is_text(layer) and not is_self(layer)

        groups = [
            {"params": list(self.rows.values()), "lr": recipe.lr_tokens, "weight_decay": 0.0},
            {"params": self._adapters_of(is_text), "lr": recipe.lr_text},
            {"params": self._adapters_of(is_cross), "lr": recipe.lr_unet},
            {"params": self._adapters_of(is_self), "lr": recipe.lr_self_attention},
        ]
        for group in groups:
            group["base_lr"] = group["lr"]
        return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)

    def _adapters_of(self, belongs: Callable[[str], bool]) -> list[nn.Parameter]:
        return [
            parameter
            for name, adapter in self.adapters.items()
            if belongs(name)
            for parameter in adapter.parameters()
        ]

    def parameters(self) -> dict[str, nn.Parameter]:
        """Everything that tuning changes, by concept-file key."""
        found = {f"tokens.{word}": row for word, row in self.rows.items()}
        for name, adapter in self.adapters.items():
            found[f"{name}.lora_A.weight"] = adapter.down_RI
            found[f"{name}.lora_B.weight"] = adapter.up_OR
        return found

    def run(self, progress: Progress, report: Report, stop: Callable[[], bool]) -> None:
        """Steps from `progress.step` to the end, or until `stop()`; raises FedshowError on NaN."""
        started = time.perf_counter() - progress.seconds
        while progress.step < self.recipe.steps and not stop():
            loss = self.step(progress.step)
            if not loss == loss or loss == float("inf"):
                raise FedshowError(
                    f"loss is {loss} at step {progress.step}: lower the learning rates; "
                    "the last checkpoint is good"
                )
            progress.step += 1
            progress.losses.append(loss)
            progress.seconds = time.perf_counter() - started
            report(progress, self.recipe.steps)

    def step(self, index: int) -> float:
        """One optimizer step; returns its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * (1 - index / self.recipe.steps)
        generator = torch.Generator().manual_seed((self.recipe.seed << 32) + index)
        loss = self.loss(generator)
        loss.backward()  # type: ignore[no-untyped-call]
        for row in self.rows.values():
            if float(row.detach().norm(dim=1).mean()) > self.norm_limit:
                row.grad = None
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def loss(self, generator: torch.Generator) -> Tensor:
        """Masked denoising loss plus attention regularisation of one random batch."""
        draw = partial(torch.randint, generator=generator, size=(self.recipe.batch,))
        data = self.subject.latents
        images, variants = draw(0, len(data.latents)), draw(0, self.recipe.variants)
        clean, masks = data.latents[images, variants], data.masks[images, variants]
        times = draw(0, len(self.alphas)).to(self.base.device)
        noise = self._noise(clean, generator)
        features, words = self._encode([self.subject.captions[i] for i in images.tolist()])
        with captured(self.model.cross_attention if data.masked.any() else []) as maps:
            predicted = self.base.pipeline.unet(
                self.schedule.add_noise(clean, noise, times), times, features
            ).sample
        error = F.mse_loss(predicted.float(), self._target(clean, noise, times), reduction="none")
        weights = masks + self.recipe.background_weight * (1 - masks)
        loss = (error * weights).sum() / (weights.sum() * error.shape[1]).clamp(min=1)
        if maps and (chosen := data.masked[images]).any():
            picked = [m[chosen] for m in maps]
            regular = attention_loss(picked, words[chosen], masks[chosen])
            loss = loss + self.recipe.attention_weight * regular
        return loss

    def _noise(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(clean.shape, generator=generator)
        offset = torch.randn(*clean.shape[:2], 1, 1, generator=generator)
        return (noise + self.recipe.noise_offset * offset).to(clean)

    def _encode(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Layered features `[B, S, T, D]` and the concept words' positions `[B, W]`."""
        tokens = self.model.tokens
        ids = tokens.token_ids(captions)
        wanted = [tokens.tokenizer.convert_tokens_to_ids(word) for word in self.subject.words]
        positions = torch.stack([(ids == w).int().argmax(1) for w in wanted], dim=1)
        return tokens.encode(captions), positions

    def _target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        if self.schedule.config.prediction_type == "v_prediction":
            return self.schedule.get_velocity(clean, noise, times)  # type: ignore[no-any-return]
        return noise
