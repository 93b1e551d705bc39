"""What families have in common whose denoiser is a U-Net with CLIP text encoders."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from fedshow.families.encoded import Encoded
from fedshow.families.text_encoder import text_layers

ATTENTION_LINEARS = ("to_q", "to_k", "to_v", "to_out.0")


class UNetFamily:
    """Attention layers take adapters; cross-attention (attn2) reads the prompt, self-attention is attn1."""

    denoiser = "unet"
    context_width = "cross_attention_dim"
    text_activation: str | None = None
    flow = False
    left_out: tuple[str, ...] = ()
    parts: Mapping[str, str]

    def components(self, pipeline: Any) -> dict[str, nn.Module]:
        """Every text encoder, and the U-Net."""
        names = [name for name in self.parts if name.startswith("text_encoder")]
        return {name: getattr(pipeline, name) for name in (*names, "unet")}

    def adapted_layers(self, components: Mapping[str, nn.Module]) -> dict[str, nn.Linear]:
        """All attention linears of the U-Net and of the text encoders."""
        layers = {
            f"unet.{name}": module
            for name, module in components["unet"].named_modules()
            if isinstance(module, nn.Linear) and _is_attention_linear(name)
        }
        return layers | text_layers(components)

    def slotted_layers(self, denoiser: nn.Module) -> list[tuple[nn.Module, int]]:
        """Every attn2 in execution order, each with a slot of its own."""
        return [(module, slot) for slot, (_, module) in enumerate(cross_attention(denoiser))]

    def self_attention(self, denoiser: nn.Module) -> list[nn.Module]:
        """Every attn1."""
        return [module for name, module in denoiser.named_modules() if name.endswith("attn1")]

    def is_self_attention(self, layer: str) -> bool:
        """The U-Net's attn1."""
        return layer.startswith("unet.") and ".attn1." in layer

    def is_cross_attention(self, layer: str) -> bool:
        """The U-Net's attn2."""
        return layer.startswith("unet.") and ".attn2." in layer

    def input_of(self, layer: str) -> str:
        """q, k, v of a self-attention share one input; k, v of a cross-attention share another."""
        module, _, linear = layer.removesuffix(".0").rpartition(".")
        if linear in ("to_out", "out_proj"):
            return f"{module}.out"
        if module.endswith("attn2") and linear in ("to_k", "to_v"):
            return f"{self.context_of(module)}.context"
        return f"{module}.hidden"

    def context_of(self, attention: str) -> str:
        """What the text features of a cross-attention layer are named after: every layer has its own."""
        return attention

    def keys_of(self, layer: str) -> str | None:
        """Each attn2.to_q has its own."""
        module, _, linear = layer.rpartition(".")
        return f"{module}.keys" if module.endswith("attn2") and linear == "to_q" else None

    def without_prompt(self, pipeline: Any, encoded: Encoded, empty: Sequence[bool]) -> Encoded:  # noqa: ARG002
        """The empty text, encoded as any other."""
        return encoded

    def sampler(self, scheduler: Any) -> Any:
        """DPM-Solver++, the paper's choice for evaluation."""
        from diffusers import DPMSolverMultistepScheduler

        if isinstance(scheduler, DPMSolverMultistepScheduler):
            return scheduler
        return DPMSolverMultistepScheduler.from_config(scheduler.config)


def cross_attention(denoiser: nn.Module) -> list[tuple[str, nn.Module]]:
    """Every attn2 with its name, down then mid then up; `named_modules` would put up before mid."""
    return [
        (f"{part}.{name}", module)
        for part in ("down_blocks", "mid_block", "up_blocks")
        if (root := getattr(denoiser, part, None)) is not None
        for name, module in root.named_modules()
        if name.endswith("attn2")
    ]


def _is_attention_linear(name: str) -> bool:
    return any(f".{attn}." in f".{name}." for attn in ("attn1", "attn2")) and name.endswith(
        tuple(f".{linear}" for linear in ATTENTION_LINEARS)
    )
