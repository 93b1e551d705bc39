"""The yardstick of `make bench-tune`: ED-LoRA tuned step by step as the paper's public code tunes it.

Written from the paper (arXiv 2305.18292) and from what its code does at every step; nothing is slow
here that is not slow there:
- images are opened, resized, cropped and mirrored, and go through the VAE, at every step;
- a caption is one string per slot, each with that slot's own token names, and all batch x slots strings
  are tokenized and encoded, also when they are equal;
- the tokens are rows of the text encoder's table, which gets a dense gradient and AdamW moments for
  every word there is; the rows of all other words are copied back after each step (the concept's own
  are kept as short as the recipe says);
- LoRA is two layers added to what the wrapped layer computes;
- cross-attention is a softmax written out, its maps kept in every layer for the regularisation
  (self-attention is left to diffusers' default, as there);
- AdamW with default arguments, linear decay.
Objective, rank, batch, resolution and learning rates are those of the recipe, so that it learns the
same thing with as many parameters.
"""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from fedshow.edlora.methods import METHODS
from fedshow.families import Base
from fedshow_client.tuning.attention import attention_loss
from fedshow_client.tuning.data.captions import captions_for
from fedshow_client.tuning.data.folder import Candidate
from fedshow_client.tuning.objective import Objective
from fedshow_client.tuning.recipe import Recipe

WORDS = len(METHODS["ed-lora"].words)


class LoRA(nn.Module):
    """Two layers beside a linear one: its forward is replaced by the sum."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.down = nn.Linear(layer.in_features, rank, bias=False)
        self.up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)
        self.scale = alpha / rank
        self.original = layer.forward
        self.to(layer.weight.device)
        layer.forward = self.forward  # type: ignore[method-assign, assignment]

    def forward(self, x: Tensor) -> Tensor:
        """What the layer says, and the low-rank change of it."""
        return self.original(x) + self.scale * self.up(self.down(x))  # type: ignore[no-any-return]


class WrittenOutAttention:
    """Cross-attention of one slot: its own encoding of the prompt, softmax by hand, maps kept."""

    def __init__(self, slot: int, maps: list[Tensor]) -> None:
        self.slot, self.maps = slot, maps

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """The layer's output."""
        context = encoder_hidden_states[:, self.slot]
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(context))
        value = attn.head_to_batch_dim(attn.to_v(context))
        probability = attn.get_attention_scores(query, key, attention_mask)
        self.maps.append(probability.unflatten(0, (len(hidden_states), -1)).mean(1))
        output = attn.batch_to_head_dim(torch.bmm(probability, value))
        return attn.to_out[1](attn.to_out[0](output))  # type: ignore[no-any-return]


class PlainLoop:
    """One concept being tuned; `step(k)` is one optimizer step and returns its loss."""

    def __init__(
        self, base: Base, images: Sequence[Candidate], name: str, class_word: str, recipe: Recipe
    ) -> None:
        self.base, self.images, self.name, self.recipe = base, images, name, recipe
        self.pipeline, self.slots = base.pipeline, base.card.slots
        torch.manual_seed(recipe.seed)
        self.rng, self.generator = random.Random(recipe.seed), torch.Generator()
        self.generator.manual_seed(recipe.seed)
        shuffle = recipe.shuffle_captions
        self.captions = [captions_for(name, class_word, i.caption, shuffle) for i in images]
        self.maps: list[Tensor] = []
        for module, slot in base.family.slotted_layers(self.pipeline.unet):
            module.processor = WrittenOutAttention(slot, self.maps)  # type: ignore[assignment]
        self.token_ids = self._add_tokens(class_word)
        self.adapters = nn.ModuleList(
            LoRA(layer, recipe.rank, recipe.alpha) for layer in base.layers.values()
        )
        self.objective = Objective(self.pipeline.scheduler, recipe, base.device)
        self.optimizer = self._make_optimizer()
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: 1 - step / recipe.steps
        )

    def _add_tokens(self, class_word: str) -> Tensor:
        """A table with `words x slots` new rows, which learns as a whole; ids `[W, S]` of the new rows."""
        tokenizer, encoder = self.pipeline.tokenizer, self.pipeline.text_encoder
        old = encoder.get_input_embeddings().weight.detach().float()
        (class_id,) = tokenizer(class_word, add_special_tokens=False).input_ids
        noise = torch.randn(old.shape[1], generator=self.generator).to(old)
        noise *= old[class_id].norm() / noise.norm()
        names = [self._token(word, slot) for word in range(WORDS) for slot in range(self.slots)]
        tokenizer.add_tokens(names)
        ids = torch.tensor(tokenizer.convert_tokens_to_ids(names), device=old.device)
        size = max(len(old), int(ids.max()) + 1)
        self.original = torch.zeros(size, old.shape[1], device=old.device)
        self.original[: len(old)] = old
        self.original[ids] = torch.stack([noise, old[class_id]]).repeat_interleave(self.slots, 0)
        self.others = torch.ones(size, dtype=torch.bool, device=old.device)
        self.others[ids] = False
        self.table = nn.Embedding(size, old.shape[1], device=old.device)
        self.table.weight.data.copy_(self.original)
        encoder.set_input_embeddings(self.table)
        self.limit = self.recipe.norm_limit * float(old[class_id].norm())
        return ids.view(WORDS, self.slots)

    def _token(self, word: int, slot: int) -> str:
        return f"<{self.name}{word + 1}slot{slot}>"

    def _make_optimizer(self) -> torch.optim.AdamW:
        text: list[nn.Parameter] = []
        cross: list[nn.Parameter] = []
        self_attention: list[nn.Parameter] = []
        for layer, adapter in zip(self.base.layers, self.adapters, strict=True):
            chosen = text if layer.startswith("text_encoder") else cross
            if self.base.family.is_self_attention(layer):
                chosen = self_attention
            chosen += adapter.parameters()
        recipe = self.recipe
        groups = [
            {"params": [self.table.weight], "lr": recipe.lr_tokens},
            {"params": text, "lr": recipe.lr_text},
            {"params": cross, "lr": recipe.lr_unet},
            {"params": self_attention, "lr": recipe.lr_self_attention},
        ]
        return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)

    def step(self, _: int = 0) -> float:
        """One optimizer step on `recipe.batch` images; returns its loss."""
        device = self.base.device.type  # on a card in mixed precision, as there
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = self._loss()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._keep_other_words()
        self.schedule.step()
        self.optimizer.zero_grad()
        return float(loss.detach())

    @torch.no_grad()
    def _keep_other_words(self) -> None:
        rows = self.table.weight
        rows[self.others] = self.original[self.others]
        own = rows[~self.others]
        rows[~self.others] = own * (self.limit / own.norm(dim=1, keepdim=True)).clamp(max=1)

    def _loss(self) -> Tensor:
        picked = [self.rng.randrange(len(self.images)) for _ in range(self.recipe.batch)]
        pixels, subject = self._load(picked)
        clean = self._encode_pictures(pixels)
        times = self.objective.times(len(clean), self.generator)
        noise = self.objective.noise(clean, self.generator)
        captions = [self.rng.choice(self.captions[image]) for image in picked]
        features, words = self._encode_prompts(captions)
        self.maps.clear()
        noisy = self.objective.noisy(clean, noise, times)
        predicted = self.pipeline.unet(noisy, times, features).sample
        weights = subject + self.recipe.background_weight * (1 - subject)
        loss = self.objective.loss(predicted, clean, noise, times, weights)
        masked = torch.tensor([self.images[image].mask is not None for image in picked]).to(
            clean.device
        )
        if masked.any():
            maps = [found[masked] for found in self.maps]
            follow = self.recipe.attention_follow
            regular = attention_loss(maps, words[masked], subject[masked], follow)
            loss = loss + self.recipe.attention_weight * regular
        return loss

    def _load(self, picked: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Pictures `[B, 3, H, W]` in -1..1 and masks of their latents `[B, 1, h, w]`."""
        pairs = [self._load_one(self.images[image]) for image in picked]
        pixels = torch.stack([pair[0] for pair in pairs]).to(self.base.device)
        masks = torch.stack([pair[1] for pair in pairs]).to(self.base.device)
        return pixels, F.avg_pool2d(masks, self.pipeline.vae_scale_factor)

    def _load_one(self, image: Candidate) -> tuple[Tensor, Tensor]:
        edge = self.base.sample_pixels
        picture, mask = image.load(), image.load_mask() or Image.new("L", image.size, 255)
        scale = edge / min(picture.size) * self.rng.uniform(1, self.recipe.zoom)
        size = max(edge, round(picture.width * scale)), max(edge, round(picture.height * scale))
        left, top = self.rng.randint(0, size[0] - edge), self.rng.randint(0, size[1] - edge)
        box = (left, top, left + edge, top + edge)
        flip = self.recipe.flip and self.rng.random() < 0.5
        parts = []
        for part, resampling in (
            (picture, Image.Resampling.LANCZOS),
            (mask, Image.Resampling.BILINEAR),
        ):
            cut = part.resize(size, resampling).crop(box)
            values = torch.from_numpy(np.array(cut, dtype=np.float32).reshape(edge, edge, -1))
            parts.append(values.permute(2, 0, 1).flip(-1) if flip else values.permute(2, 0, 1))
        return parts[0] / 127.5 - 1, parts[1] / 255

    @torch.no_grad()
    def _encode_pictures(self, pixels: Tensor) -> Tensor:
        vae = self.pipeline.vae
        found = vae.encode(pixels.to(vae.dtype)).latent_dist
        latents = found.sample() if self.recipe.vary_latents else found.mode()
        return (latents.float() - (vae.config.shift_factor or 0)) * vae.config.scaling_factor  # type: ignore[no-any-return]

    def _encode_prompts(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Features `[B, S, T, D]` and where the concept's words stand `[B, W]`."""
        mention = f"<{self.name}>"
        strings = [
            caption.replace(mention, " ".join(self._token(word, slot) for word in range(WORDS)))
            for caption in captions
            for slot in range(self.slots)
        ]
        tokenizer = self.pipeline.tokenizer
        ids = tokenizer(
            strings,
            padding="max_length",
            truncation=True,
            max_length=tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids.to(self.base.device)
        features = self.pipeline.text_encoder(ids)[0].unflatten(0, (-1, self.slots))
        first = ids.view(len(captions), self.slots, -1)[:, 0]
        positions = [(first == self.token_ids[word, 0]).int().argmax(1) for word in range(WORDS)]
        return features, torch.stack(positions, dim=1)
