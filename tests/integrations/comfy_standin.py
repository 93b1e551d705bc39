"""What ComfyUI hands to nodes and does with what they give back, written after its documented interface.

No package brings ComfyUI's own code, so this stands in for it: MODEL (`clone`, `add_patches`,
`set_model_attn2_patch`, `set_model_attn2_replace`, names of weights), CLIP (`tokenize`, where vectors
may be tokens, `encode_from_tokens`), CONDITIONING, and how patches are called while a picture is drawn:
each with the block that it is in, conditions of other lengths repeated until they fit one batch.
The networks are toyworld's or a small SDXL's, through diffusers.
"""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from fedshow.families import Base
from fedshow.sampling import stock

Blocks = Mapping[tuple[str, int], str]
BLOCKS = {
    ("input", 1): "down_blocks.0.attentions.0",
    ("input", 3): "down_blocks.1.attentions.0",
    ("middle", 0): "mid_block.attentions.0",
    ("output", 0): "up_blocks.0.attentions.0",
    ("output", 1): "up_blocks.0.attentions.1",
    ("output", 2): "up_blocks.1.attentions.0",
    ("output", 3): "up_blocks.1.attentions.1",
}
"""Where the blocks of checkpoints are in diffusers' toyworld: one residual a level, a convolution between."""

SDXL_BLOCKS = {
    ("input", 4): "down_blocks.1.attentions.0",
    ("input", 5): "down_blocks.1.attentions.1",
    ("input", 7): "down_blocks.2.attentions.0",
    ("input", 8): "down_blocks.2.attentions.1",
    ("middle", 0): "mid_block.attentions.0",
    **{("output", k): f"up_blocks.{k // 3}.attentions.{k % 3}" for k in range(6)},
}
"""The same of Stable Diffusion XL."""

MOST_REPEATS = 4
"""Longer conditions are not repeated more often than this to make one batch."""


class Patcher:
    """A module with patches that are merged into it while it is used."""

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        self.weights = dict(weights)
        self.patches: dict[str, list[tuple[float, Any, float]]] = {}
        self.model_options: dict[str, Any] = {"transformer_options": {}}

    def clone(self) -> "Patcher":
        other = type(self)(self.weights)
        other.patches = {key: list(own) for key, own in self.patches.items()}
        options = self.model_options["transformer_options"]
        other.model_options = {"transformer_options": copy.copy(options)}
        for kind in ("patches", "patches_replace"):
            if kind in options:
                found = {name: copy.copy(own) for name, own in options[kind].items()}
                other.model_options["transformer_options"][kind] = found
        return other

    def model_state_dict(self) -> dict[str, Tensor]:
        return dict(self.weights)

    def add_patches(
        self, patches: Mapping[str, Any], strength_patch: float = 1.0, strength_model: float = 1.0
    ) -> list[str]:
        known = [key for key in patches if key in self.weights]
        for key in known:
            patch = strength_patch, patches[key], strength_model
            self.patches.setdefault(key, []).append(patch)
        return known

    def set_model_attn2_patch(self, patch: Any) -> None:
        options = self.model_options["transformer_options"]
        options.setdefault("patches", {}).setdefault("attn2_patch", []).append(patch)

    def set_model_attn2_replace(
        self, patch: Any, block_name: str, number: int, transformer_index: int | None = None
    ) -> None:
        index = () if transformer_index is None else (transformer_index,)
        replacing = self.model_options["transformer_options"].setdefault("patches_replace", {})
        replacing.setdefault("attn2", {})[(block_name, number, *index)] = patch

    @contextmanager
    def patched(self) -> Iterator[None]:
        before = {key: self.weights[key].data.clone() for key in self.patches}
        try:
            for key, patches in self.patches.items():
                for strength, (kind, (delta,)), strength_model in patches:
                    assert kind == "diff"
                    weight = self.weights[key].data
                    assert delta.shape == weight.shape
                    weight.mul_(strength_model).add_(strength * delta.to(weight.dtype))
            yield
        finally:
            for key, weight in before.items():
                self.weights[key].data = weight


def unet_weights(unet: Any, known: Blocks = BLOCKS) -> dict[str, nn.Parameter]:
    """The attention's weights, and what lies between levels, as checkpoints call them, in no useful order."""
    found, level = {}, unet.config.layers_per_block + 1
    for number, block in enumerate(unet.down_blocks, start=1):
        for halving in block.downsamplers or ():
            name = f"diffusion_model.input_blocks.{level * number}.0.op.weight"
            found[name] = halving.conv.weight
    for (part, number), module in known.items():
        blocks = "middle_block.1" if part == "middle" else f"{part}_blocks.{number}.1"
        for name, weight in unet.get_submodule(module).named_parameters():
            found[f"diffusion_model.{blocks}.{name}"] = weight
    return dict(sorted(found.items(), reverse=True))


class Tokenizer:
    """One text encoder's tokens, weighted by parentheses, in chunks between start and end."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.length = tokenizer, tokenizer.model_max_length
        self.end: int = tokenizer.eos_token_id
        self.pad: int = tokenizer.pad_token_id

    def tokenize_with_weights(
        self, text: str, return_word_ids: bool = False, **options: Any
    ) -> dict[str, list[list[tuple[Any, ...]]]]:
        assert not return_word_ids
        assert not options
        tokens: list[tuple[Any, ...]] = []
        for part in re.split(r"(\([^()]*\))", text):
            weight = 1.0
            if match := re.fullmatch(r"\((.*?)(?::([0-9.]+))?\)", part):
                part, weight = match[1], float(match[2] or 1.1)
            ids = self.tokenizer(part, add_special_tokens=False, padding=False).input_ids
            tokens += [(token, weight) for token in ids]
        inner = self.length - 2
        chunks = [tokens[k : k + inner] for k in range(0, max(len(tokens), 1), inner)]
        return {"l": [self._framed(chunk) for chunk in chunks]}

    def _framed(self, chunk: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        framed = [(self.tokenizer.bos_token_id, 1.0), *chunk, (self.end, 1.0)]
        return framed + [(self.pad, 1.0)] * (self.length - len(framed))


class TwoTokenizers:
    """Those of both text encoders."""

    def __init__(self, first: Tokenizer, second: Tokenizer) -> None:
        self.inner = {"g": second, "l": first}

    def tokenize_with_weights(
        self, text: str, return_word_ids: bool = False, **options: Any
    ) -> dict[str, list[list[tuple[Any, ...]]]]:
        return {
            name: one.tokenize_with_weights(text, return_word_ids, **options)["l"]
            for name, one in self.inner.items()
        }


class Given(nn.Module):
    """Input embeddings that were looked up before."""

    def __init__(self, table: nn.Embedding, vectors: Tensor) -> None:
        super().__init__()
        self.weight, self.vectors = table.weight, vectors

    def forward(self, _ids: Tensor) -> Tensor:
        return self.vectors


class Clip:
    """CLIP: a text encoder, or two side by side, with their tokenizer."""

    def __init__(
        self, encoders: Mapping[str, Any], tokenizer: Any, patcher: Patcher | None = None
    ) -> None:
        self.cond_stage_model = nn.Module()
        for name, encoder in encoders.items():
            part = nn.Module()
            part.transformer = nn.Module()
            part.transformer.text_model = getattr(encoder, "text_model", encoder)
            setattr(self.cond_stage_model, f"clip_{name}", part)
        self.encoders, self.tokenizer = dict(encoders), tokenizer
        self.patcher = patcher or Patcher(dict(self.cond_stage_model.named_parameters()))

    def clone(self) -> "Clip":
        return Clip(self.encoders, self.tokenizer, self.patcher.clone())

    def add_patches(self, patches: Mapping[str, Any], strength_patch: float = 1.0) -> list[str]:
        return self.patcher.add_patches(patches, strength_patch)

    def tokenize(self, text: str) -> Any:
        return self.tokenizer.tokenize_with_weights(text, False)

    @torch.no_grad()
    def encode_from_tokens(self, tokens: Any, return_pooled: bool = False) -> Any:
        """Features `[1, chunks*T, D]` and what the last encoder pools of the first chunk."""
        assert tokens.keys() == self.encoders.keys()
        empty, found = self.tokenizer.tokenize_with_weights(""), []
        for name in self.encoders:
            (blank,) = empty[name]
            features, pooled = self._encode(name, [*tokens[name], blank])
            _emphasise(features, tokens[name])
            found.append(features[:-1].flatten(0, 1)[None])
        both = torch.cat(found, 2)
        return (both, pooled) if return_pooled else both

    def _encode(self, name: str, chunks: list[list[tuple[Any, ...]]]) -> tuple[Tensor, Tensor]:
        encoder = self.encoders[name]
        table = encoder.get_input_embeddings()
        vectors = [
            torch.stack([t if isinstance(t, Tensor) else table.weight[t] for t, *_ in chunk])
            for chunk in chunks
        ]
        ids = torch.full((len(chunks), len(chunks[0])), encoder.config.eos_token_id)
        encoder.set_input_embeddings(Given(table, torch.stack(vectors)))
        try:
            with self.patcher.patched():
                found = encoder(ids, output_hidden_states=True)
        finally:
            encoder.set_input_embeddings(table)
        last = found.last_hidden_state
        if len(self.encoders) == 1:
            return last.clone(), last[:1, -1]
        end = chunks[-1][1][0]  # of the empty text
        ends = [isinstance(token, int) and token == end for token, *_ in chunks[0]].index(True)
        pooled = encoder.text_projection(last[:1, ends]) if name == "g" else last[:1, -1]
        return found.hidden_states[-2].clone(), pooled


def _emphasise(features: Tensor, chunks: list[list[tuple[Any, ...]]]) -> None:
    """Away from the empty text's features, which are the last."""
    for row, chunk in zip(features, chunks, strict=False):
        for place, (_, weight) in enumerate(chunk):
            if weight != 1.0:
                row[place] = (row[place] - features[-1, place]) * weight + features[-1, place]


class Attn2:
    """A processor that calls patches as ComfyUI's transformer blocks do."""

    def __init__(self, block: tuple[str, int], index: int, options: Mapping[str, Any]) -> None:
        self.block, self.index, self.options = block, index, options

    def __call__(
        self,
        attn: Any,
        hidden: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: None,  # noqa: ARG002
    ) -> Tensor:
        told = {k: v for k, v in self.options.items() if k not in ("patches", "patches_replace")}
        told |= {"block": self.block, "block_index": self.index, "n_heads": attn.heads}
        queries, context, values = hidden, encoder_hidden_states, encoder_hidden_states
        for patch in self.options.get("patches", {}).get("attn2_patch", []):
            queries, context, values = patch(queries, context, values, told)
        projected = attn.to_q(queries), attn.to_k(context), attn.to_v(values)
        replacing = self.options.get("patches_replace", {}).get("attn2", {})
        own = replacing.get((*self.block, self.index), replacing.get(self.block, plain_attention))
        return attn.to_out[0](own(*projected, told))


def plain_attention(queries: Tensor, keys: Tensor, values: Tensor, told: Any) -> Tensor:
    split = [x.unflatten(2, (told["n_heads"], -1)).transpose(1, 2) for x in (queries, keys, values)]
    return scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


def batches(conditions: list[Tensor]) -> Iterator[list[int]]:
    """Which conditions are computed together."""
    lengths = [one.shape[1] for one in conditions]
    if math.lcm(*lengths) // min(lengths) > MOST_REPEATS:
        yield from ([k] for k in range(len(conditions)))
    else:
        yield list(range(len(conditions)))


def _added(unet: Any, pooled: list[Any]) -> dict[str, Any]:
    """What SDXL is told beside features: pooled vectors, and the picture's size as if never cropped."""
    if unet.config.addition_embed_type is None:
        return {}
    size = [8 * unet.config.sample_size] * 2
    times = torch.tensor([[*size, 0, 0, *size]] * len(pooled), dtype=torch.float32)
    return {"added_cond_kwargs": {"text_embeds": torch.cat(pooled), "time_ids": times}}


@torch.no_grad()
def draw(
    base: Base,
    model: Patcher,
    positive: Any,
    negative: Any,
    *,
    seed: int,
    steps: int,
    guidance: float = 3.0,
    blocks: Blocks = BLOCKS,
) -> Image:
    """A picture, as a KSampler and the VAE would make it."""
    unet, scheduler = base.pipeline.unet, stock.sampling(base).scheduler
    scheduler.set_timesteps(steps)
    edge = unet.config.sample_size
    latents = stock.noise(base, [seed], (edge, edge)) * scheduler.init_noise_sigma
    conditions = [positive[0][0], negative[0][0]]
    pooled = [one[0][1].get("pooled_output") for one in (positive, negative)]
    options: dict[str, Any] = {
        **model.model_options["transformer_options"],
        "original_shape": list(latents.shape),
        "sample_sigmas": scheduler.sigmas,
    }
    attentions = {
        (block, index): layer.attn2
        for block, name in blocks.items()
        for index, layer in enumerate(unet.get_submodule(name).transformer_blocks)
    }
    before = {place: attn.processor for place, attn in attentions.items()}
    try:
        for (block, index), attn in attentions.items():
            attn.processor = Attn2(block, index, options)
        with model.patched():
            for step, time in enumerate(scheduler.timesteps):
                options["sigmas"] = scheduler.sigmas[step : step + 1]
                found: dict[int, Tensor] = {}
                for together in batches(conditions):
                    texts = [conditions[k] for k in together]
                    length = math.lcm(*(one.shape[1] for one in texts))
                    text = torch.cat([x.repeat(1, length // x.shape[1], 1) for x in texts])
                    noisy = scheduler.scale_model_input(latents, time).expand(len(text), -1, -1, -1)
                    more = _added(unet, [pooled[k] for k in together])
                    outputs = unet(noisy, time, encoder_hidden_states=text, **more).sample
                    found |= dict(zip(together, outputs.split(1), strict=True))
                guided = found[1] + guidance * (found[0] - found[1])
                latents = scheduler.step(guided, time, latents).prev_sample
    finally:
        for place, attn in attentions.items():
            attn.processor = before[place]
    pixels = base.pipeline.vae.decode(latents / base.pipeline.vae.config.scaling_factor).sample
    return base.pipeline.image_processor.postprocess(pixels)[0]
