"""Tiny measuring models with random weights, as people have true ones: CLIP, DINO, ArcFace."""

import json
import shutil
from pathlib import Path
from typing import Any

from fedshow.families.locating import locate

EDGE = 28


def tiny_clip(folder: Path, safe: bool = True) -> Path:
    """A CLIP that reads toyworld's tokenizer; `safe` as safetensors, else as a pickle."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    tokenizer = Path(locate("toyworld")) / "tokenizer"
    vocabulary = len(json.loads((tokenizer / "tokenizer.json").read_text())["model"]["vocab"])
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    small |= {"num_attention_heads": 2, "projection_dim": 16}
    torch.manual_seed(0)
    text = {"vocab_size": vocabulary, "max_position_embeddings": 16, "eos_token_id": 2}
    vision = {"image_size": EDGE, "patch_size": 14}
    config = CLIPConfig(text_config=text | small, vision_config=vision | small, projection_dim=16)
    _save(CLIPModel(config), folder, safe)
    for file in tokenizer.iterdir():
        shutil.copy(file, folder)
    return folder


def tiny_dino(folder: Path) -> Path:
    """A DINOv2."""
    import torch
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=EDGE, patch_size=14
    )
    _save(Dinov2Model(config), folder)
    return folder


def tiny_arcface(folder: Path, name: str = "faces.onnx", outputs: int = 1) -> Path:
    """An ONNX model of the shape of ArcFace's: colours of sixteen parts of the face as its embedding."""
    from onnx import TensorProto, checker, helper, save

    folder.mkdir(exist_ok=True)
    face = helper.make_tensor_value_info("face", TensorProto.FLOAT, [None, 3, 112, 112])
    nodes = [
        helper.make_node(
            "AveragePool", ["face"], ["pooled"], kernel_shape=[28, 28], strides=[28, 28]
        )
    ]
    named = [f"embedding{k}" for k in range(outputs)]
    nodes += [helper.make_node("Flatten", ["pooled"], [output]) for output in named]
    found = [helper.make_tensor_value_info(k, TensorProto.FLOAT, [None, 48]) for k in named]
    graph = helper.make_graph(nodes, "faces", [face], found)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, folder / name)
    return folder


def _save(model: Any, folder: Path, safe: bool = True) -> None:
    import torch

    folder.mkdir()
    if safe:
        model.save_pretrained(folder)
        return
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
