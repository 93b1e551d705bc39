"""The tuning loop: any method on one base, step-exact whenever it is stopped and continued.

Every random number of step k is drawn from a generator seeded with (seed, k), so nothing random
needs to be saved.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from fedshow.concepts import words_of
from fedshow.edlora.methods import Method
from fedshow.edlora.tokens import EncoderWords
from fedshow.errors import FedshowError
from fedshow.families.encoded import Encoded
from fedshow.sampling.model import Model
from fedshow_client.tuning.allocator import keep_freed_memory
from fedshow_client.tuning.attention import Maps, attending, attention_loss
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.data.batches import Batch, Schedule
from fedshow_client.tuning.data.captions import Captions
from fedshow_client.tuning.data.latents import LatentSet
from fedshow_client.tuning.objective import objective_for
from fedshow_client.tuning.optimizing import Average, NormLimit, make_optimizer, set_rates
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.scaling import UNSCALED, scales_for, unscale

Report = Callable[[Progress, int], None]
"""Called after every step with the progress and the number of steps in all."""

FEW_TOKENS = 1024
"""Up to so many latent positions in a batch, adapters are faster folded into the weights."""


@dataclass
class Subject:
    """What is being taught."""

    name: str
    class_word: str
    captions: Captions
    latents: LatentSet


class Trainer:
    """One run: parameters, optimizer and the step."""

    def __init__(self, model: Model, subject: Subject, method: Method, recipe: Recipe) -> None:
        self.model, self.subject, self.method, self.recipe = model, subject, method, recipe
        self.base = base = model.base
        self.precision = base.dtype
        if base.device.type == "cpu":
            keep_freed_memory()
            base.denoiser.to(memory_format=torch.channels_last)  # convolutions gain up to a half
        generator = torch.Generator().manual_seed(recipe.seed)
        self.words = words_of(subject.name, len(method.words))
        self.rows = self._add_words(generator)
        self._positions_known = lru_cache(maxsize=64)(self._positions)
        self.layers = method.layers(base.family, base.layers)
        self.exact = all(layer.weight.dtype == torch.float32 for layer in self.layers.values())
        fresh = method.adapters(self.layers, recipe.rank, recipe.alpha, generator)
        self.adapters = model.add_adapters(fresh.to(base.device))
        self.objective = objective_for(base, recipe)
        self.schedule = Schedule(subject.latents, recipe.batch, recipe.seed)
        learnt = self.parameters()
        self.optimizer = make_optimizer(learnt, base.family, recipe)
        self.average = Average(learnt, recipe.ema)
        self.limits = [self._limit(words) for words in model.tokens.encoders]

    def _add_words(self, generator: torch.Generator) -> dict[str, nn.Parameter]:
        """Token rows of every text encoder by concept-file key."""
        encoders, learns = self.model.tokens.encoders, [each.learned for each in self.method.words]
        starts = [self._starts(words, generator) for words in encoders]
        rows = self.model.tokens.add_concept(self.subject.name, *starts)
        keys = [f"{own.encoder.token_key}.{word}" for own in encoders for word in self.words]
        for row, learned in zip(rows, learns * len(encoders), strict=True):
            row.requires_grad_(learned)
        return dict(zip(keys, rows, strict=True))

    def _starts(self, encoder: EncoderWords, generator: torch.Generator) -> dict[str, Tensor]:
        """Rows `[S, D]`, or `[1, D]` shared by all slots; noise has the class word's length."""
        class_row, starts = encoder.class_row(self.subject.class_word), {}
        for word, declared in zip(self.words, self.method.words, strict=True):
            noise = torch.randn(len(class_row), generator=generator).to(class_row)
            noise *= class_row.norm() / noise.norm()
            row = noise if declared.start == "noise" else class_row
            starts[word] = row.repeat(self.base.card.slots if self.method.layered else 1, 1)
        return starts

    def _limit(self, encoder: EncoderWords) -> NormLimit:
        """Of the rows that one text encoder learns."""
        key = f"{encoder.encoder.token_key}."
        rows = [
            row for name, row in self.rows.items() if name.startswith(key) and row.requires_grad
        ]
        class_norm = float(encoder.class_row(self.subject.class_word).norm())
        return NormLimit(rows, self.recipe.norm_limit * class_norm)

    def _all_tensors(self) -> dict[str, nn.Parameter]:
        return self.rows | self.adapters.matrices()

    def parameters(self) -> dict[str, nn.Parameter]:
        """Everything that tuning changes, by concept-file key."""
        return {key: value for key, value in self._all_tensors().items() if value.requires_grad}

    def concept_tensors(self) -> dict[str, Tensor]:
        """What goes into the concept file now: one token row per slot, averages where they are kept."""
        found = {key: value.detach() for key, value in self._all_tensors().items()}
        found |= self.average.values()
        slots = self.base.card.slots
        return {
            key: value.expand(slots, -1) if key in self.rows else value
            for key, value in found.items()
        }

    def run(self, progress: Progress, report: Report, stop: Callable[[], bool]) -> None:
        """Steps from `progress.step` to the end, or until `stop()`; raises FedshowError on NaN."""
        started = time.perf_counter() - progress.seconds
        while progress.step < self.recipe.steps and not stop():
            progress.losses.append(self.step(progress.step))
            progress.step += 1
            progress.seconds = time.perf_counter() - started
            report(progress, self.recipe.steps)

    def step(self, index: int) -> float:
        """One optimizer step; returns its loss. Raises FedshowError, before anything has changed, on NaN."""
        scales = scales_for(self.precision)
        for scale in scales:
            value = self._gradients(index, scale)
            if scales == UNSCALED or unscale(self.optimizer, scale):
                break
        else:
            raise FedshowError(
                f"gradients at step {index} are too large for float16: lower the learning rates or use "
                "--device cpu, and start over with --no-resume"
            )
        set_rates(self.optimizer, 1 - index / self.recipe.steps)
        self.optimizer.step()
        for limit in self.limits:
            limit.apply()
        self.optimizer.zero_grad(set_to_none=False)
        self.average.step(index)
        return value

    def _gradients(self, index: int, scale: float) -> float:
        """Adds the gradients of a step's loss times `scale`; returns the loss."""
        generator = torch.Generator().manual_seed((self.recipe.seed << 32) + index)
        with self.loss(self.schedule.at(index), generator) as loss:
            value = float(loss.detach())
            if not value < float("inf"):
                raise FedshowError(
                    f"loss is {value} at step {index}: lower the learning rates and start over with "
                    "--no-resume"
                )
            (loss if scale == 1 else loss * scale).backward()  # type: ignore[no-untyped-call]
        return value

    def _folds(self) -> bool:
        """Whether layers see few tokens; adapters are hooks otherwise, and always on 16-bit weights."""
        edge = self.base.sample_pixels // self.base.factor
        return self.exact and self.recipe.batch * edge * edge <= FEW_TOKENS

    @contextmanager
    def loss(self, batch: Batch, generator: torch.Generator) -> Iterator[Tensor]:
        """Masked denoising loss plus attention regularisation of one batch.

        `backward` belongs inside the block; parameters have their gradients after it.
        """
        masked = batch.bucket.masked[batch.rows]
        cross = [layer for layer, _ in self.model.cross_attention]
        capture, folds = bool(masked.any()), self._folds()
        adapters = self.adapters.folded(self.layers) if folds else nullcontext()
        with adapters, attending(self.model.self_attention, cross, capture, joined=folds) as maps:
            yield self._loss(batch, masked, maps, generator)

    def _loss(self, batch: Batch, masked: Tensor, maps: Maps, generator: torch.Generator) -> Tensor:
        data, at = batch.bucket, (batch.rows, batch.variants)
        clean = self._clean(batch, generator)
        times = self.objective.times(len(clean), generator)
        noise = self.objective.noise(clean, generator)
        images = [data.images[row] for row in batch.rows.tolist()]
        encoded, words = self._encode(self.subject.captions.draw(images, generator))
        noisy = self.objective.noisy(clean, noise, times).to(self.precision)
        predicted = self.base.denoise(noisy, times, encoded)
        maps.close()
        subject = data.subject[at]
        weights = subject + self.recipe.background_weight * (1 - subject)
        loss = self.objective.loss(predicted, clean, noise, times, weights * data.valid[at])
        if maps and self.recipe.attention_weight:
            picked = maps if masked.all() else [found[masked] for found in maps]
            follow = self.recipe.attention_follow
            regular = attention_loss(picked, words[masked], subject[masked], follow)
            loss = loss + self.recipe.attention_weight * regular
        return loss

    def _clean(self, batch: Batch, generator: torch.Generator) -> Tensor:
        data, at = batch.bucket, (batch.rows, batch.variants)
        mean = data.mean[at]
        if not self.recipe.vary_latents:
            return mean
        return mean + data.std[at] * torch.randn(mean.shape, generator=generator).to(mean)

    def _encode(self, captions: list[str]) -> tuple[Encoded, Tensor]:
        """Layered features `[B, S, T, D]`, one row for equal captions, and the words' positions `[B, W]`."""
        prompts = tuple(captions[:1] if len(set(captions)) == 1 else captions)
        positions = self._positions_known(prompts).expand(len(captions), -1)
        return self.model.tokens.encoded(prompts), positions

    def _positions(self, prompts: tuple[str, ...]) -> Tensor:
        """Where the concept's words stand in each prompt `[B, W]`."""
        tokens = self.model.tokens
        ids = tokens.token_ids(prompts)
        wanted = [tokens.tokenizer.convert_tokens_to_ids(word) for word in self.words]
        return torch.stack([(ids == w).int().argmax(1) for w in wanted], dim=1)
