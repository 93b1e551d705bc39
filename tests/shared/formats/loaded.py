"""What diffusers and PEFT have made of an exported file."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fedshow.families.telling import family_of
from fedshow.formats.source import Source


def lora_layers(pipeline: Any) -> dict[str, Any]:
    """Layers that peft has wrapped, by their names in concept files."""
    found = {}
    for component, model in family_of(pipeline).components(pipeline).items():
        for name, module in model.named_modules():
            if hasattr(module, "lora_A"):
                name = name.removeprefix("base_model.model.").removeprefix("text_model.")
                inner = "" if component == "unet" else "text_model."
                found[f"{component}.{inner}{name}"] = module
    return found


def check_layers(pipeline: Any, source: Path) -> None:
    """Every layer of the source is there with the same halves and the same scale, and no other."""
    wanted, found = Source(str(source)).content.layers, lora_layers(pipeline)
    assert found.keys() == wanted.keys()
    for layer, pair in wanted.items():
        (adapter,) = found[layer].lora_A
        assert torch.equal(found[layer].lora_A[adapter].weight, pair.down_RI.float()), layer
        assert torch.equal(found[layer].lora_B[adapter].weight, pair.up_OR.float()), layer
        assert found[layer].scaling[adapter] == pytest.approx(pair.scale, rel=1e-7), layer
