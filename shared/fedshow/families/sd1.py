"""Stable Diffusion 1.x and everything of its architecture, toyworld included."""

from torch import nn

ATTENTION_LINEARS = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_LINEARS = ("q_proj", "k_proj", "v_proj", "out_proj")


class SD1:
    """One CLIP text encoder, a U-Net with one slot per cross-attention layer."""

    name = "sd1"

    def adapted_layers(self, components: dict[str, nn.Module]) -> dict[str, nn.Linear]:
        """All attention linears of the U-Net and of the text encoder."""
        layers = {
            f"unet.{name}": module
            for name, module in components["unet"].named_modules()
            if isinstance(module, nn.Linear) and _is_attention_linear(name)
        }
        for name, module in components["text_encoder"].named_modules():
            if isinstance(module, nn.Linear) and name.rpartition(".")[2] in TEXT_LINEARS:
                layers[f"text_encoder.text_model.{name.removeprefix('text_model.')}"] = module
        return layers

    def slotted_layers(self, denoiser: nn.Module) -> list[tuple[nn.Module, int]]:
        """Every attn2, down then mid then up; `named_modules` would put up before mid."""
        found = [
            module
            for part in ("down_blocks", "mid_block", "up_blocks")
            if (root := getattr(denoiser, part, None)) is not None
            for name, module in root.named_modules()
            if name.endswith("attn2")
        ]
        return [(module, slot) for slot, module in enumerate(found)]

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
            return f"{module}.context"
        return f"{module}.hidden"

    def keys_of(self, layer: str) -> str | None:
        """Each attn2.to_q has its own."""
        module, _, linear = layer.rpartition(".")
        return f"{module}.keys" if module.endswith("attn2") and linear == "to_q" else None


def _is_attention_linear(name: str) -> bool:
    return any(f".{attn}." in f".{name}." for attn in ("attn1", "attn2")) and name.endswith(
        tuple(f".{linear}" for linear in ATTENTION_LINEARS)
    )
