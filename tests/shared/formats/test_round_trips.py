"""Out and back: what a format can hold comes back to the bit, whatever rank, alpha and precision."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fedshow.concepts import read_concept
from fedshow.families import BaseCard
from fedshow.formats import FORMATS, export_model, import_concept
from fedshow.formats.importing import read_foreign
from fedshow.formats.source import Source
from fedshow.formats.spelling import read_layers
from tests.stage.concepts import varied_concept

SMALL = BaseCard(
    name="toyworld",
    sha256="ab" * 32,
    family="sd1",
    slots=3,
    token_dim=4,
    layers={
        "unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0": (3, 5),
        "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k": (4, 3),
        "text_encoder.text_model.encoder.layers.11.self_attn.q_proj": (4, 4),
    },
)
READABLE = [name for name, each in FORMATS.items() if each.read is not None]
ALPHAS = st.floats(0.0625, 64, width=32)
"""As numbers that kohya's files can hold."""


def place(folder: Path, to: str) -> Path:
    return folder / f"out{FORMATS[to].suffix}"


@pytest.mark.parametrize("to", READABLE)
@given(
    rank=st.integers(1, 6),
    alpha=ALPHAS,
    dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
    shared=st.booleans(),
    words=st.integers(1, 4),
)
@settings(max_examples=25)
def test_adapters_and_words_come_back(
    to: str, rank: int, alpha: float, dtype: str, shared: bool, words: int
) -> None:
    with TemporaryDirectory() as name:
        file, out = Path(name) / "potter.safetensors", place(Path(name), to)
        concept = varied_concept(file, SMALL, "potter", rank, alpha, dtype, shared, words)
        about = export_model(file, to, out).about
        foreign = read_foreign(out)
    assert foreign.about == about
    assert (about.tokens == "mean") == (not shared and to != "edlora") == ("mean" in about.note)
    spelling = foreign.spelling("sd1")
    layers = read_layers(foreign.tensors, spelling, SMALL.layers, foreign.alpha_of)
    assert layers.keys() == SMALL.layers.keys()
    tensors, folded = concept.tensors(), to == "edlora"
    for layer, pair in layers.items():
        assert pair.alpha == (rank if folded else alpha)
        assert torch.equal(pair.down_RI, tensors[f"{layer}.lora_A.weight"])
        check_up(pair.up_OR, tensors[f"{layer}.lora_B.weight"], alpha / rank if folded else 1.0)
    assert len(foreign.words) == words
    for word, rows in zip(concept.header.words, foreign.words, strict=True):
        check_rows(rows["tokens"], tensors[f"tokens.{word}"], layered=folded, shared=shared)


def check_up(found: torch.Tensor, stored: torch.Tensor, scale: float) -> None:
    """The same to the bit where the format has alpha, or where folding it in is exact; else rounded once."""
    assert found.dtype == stored.dtype
    assert torch.equal(found, (stored.double() * scale).to(stored.dtype))
    if math.frexp(scale)[0] == 0.5:
        assert torch.equal(found.double() / scale, stored.double())


def check_rows(found: torch.Tensor, rows: torch.Tensor, layered: bool, shared: bool) -> None:
    assert found.dtype == rows.dtype
    if layered:
        assert torch.equal(found, rows)
    elif shared:
        assert torch.equal(found, rows[:1])
    else:
        assert torch.equal(found, rows.double().mean(0, keepdim=True).to(rows.dtype))


@pytest.mark.parametrize("to", READABLE)
def test_formats_are_told_from_each_other(to: str, tmp_path: Path) -> None:
    file = tmp_path / "potter.safetensors"
    varied_concept(file, SMALL)
    export_model(file, to, place(tmp_path, to))
    assert [name for name in READABLE if FORMATS[name].recognises(place(tmp_path, to))] == [to]
    assert not any(FORMATS[name].recognises(file) for name in READABLE)


@pytest.mark.parametrize("to", READABLE)
def test_an_import_needs_no_more_than_our_own_file(
    varied, card: BaseCard, tmp_path: Path, to: str
) -> None:
    file, concept = varied(alpha=2.0, dtype="float16", shared=True)
    export_model(file, to, place(tmp_path, to))
    back = import_concept(place(tmp_path, to), tmp_path / "back.safetensors")
    assert read_concept(tmp_path / "back.safetensors", card).sha256 == back.sha256
    for what in ("name", "class_word", "words", "base", "slots", "rank"):
        assert getattr(back.header, what) == getattr(concept.header, what)
    assert back.header.method == "lora"
    before, after = concept.tensors(), back.tensors()
    assert before.keys() == after.keys()
    scale = concept.header.scale / back.header.scale
    for key in before:
        factor = scale if key.endswith("lora_B.weight") else 1
        assert torch.equal(after[key], before[key] * factor), key


def test_words_of_layers_come_back_by_the_papers_format_alone(varied, tmp_path: Path) -> None:
    file, concept = varied(alpha=8.0)
    export_model(file, "edlora", tmp_path / "out.pth")
    back = import_concept(tmp_path / "out.pth", tmp_path / "back.safetensors")
    assert back.header.method == "ed-lora"
    for word in concept.header.words:
        key = f"tokens.{word}"
        assert torch.equal(back.tensors()[key], concept.tensors()[key])


OLD_KEYS = {
    "processors": {
        ".to_out.0.lora_A.weight": ".processor.to_out_lora.down.weight",
        ".to_out.0.lora_B.weight": ".processor.to_out_lora.up.weight",
        ".to_k.lora_A.weight": ".processor.to_k_lora.down.weight",
        ".to_k.lora_B.weight": ".processor.to_k_lora.up.weight",
        ".q_proj.lora_A.weight": ".q_proj.lora_linear_layer.down.weight",
        ".q_proj.lora_B.weight": ".q_proj.lora_linear_layer.up.weight",
    },
    "layers": {".lora_A.weight": ".lora.down.weight", ".lora_B.weight": ".lora.up.weight"},
    "flat": {"text_encoder.text_model.": "text_encoder."},
}


@pytest.mark.parametrize("renames", OLD_KEYS.values(), ids=OLD_KEYS)
def test_keys_of_all_times_of_diffusers_are_read(tmp_path: Path, renames: dict[str, str]) -> None:
    concept = varied_concept(tmp_path / "potter.safetensors", SMALL).tensors()
    tensors = {}
    for key, value in concept.items():
        if not key.startswith("tokens"):
            for new, old in renames.items():
                key = key.replace(new, old)
            tensors[key] = value
    save_file(tensors, tmp_path / "old.safetensors")
    foreign = read_foreign(tmp_path / "old.safetensors")
    layers = read_layers(foreign.tensors, foreign.spelling("sd1"), SMALL.layers, foreign.alpha_of)
    assert layers.keys() == SMALL.layers.keys()
    for layer, pair in layers.items():
        assert pair.scale == 1
        assert torch.equal(pair.up_OR, concept[f"{layer}.lora_B.weight"])


def test_bundled_words_come_back(varied, tmp_path: Path) -> None:
    file, concept = varied(shared=True)
    export_model(file, "kohya", tmp_path / "out.safetensors", bundle=True)
    assert not (tmp_path / "out-embeddings").exists()
    back = import_concept(tmp_path / "out.safetensors", tmp_path / "back.safetensors")
    assert {key: value.tolist() for key, value in back.tensors().items()} == {
        key: value.tolist() for key, value in concept.tensors().items()
    }


@pytest.mark.parametrize("to", ["diffusers", "edlora", "kohya", "peft"])
def test_matrices_of_a_release_are_exact_products(mixed: Path, tmp_path: Path, to: str) -> None:
    export_model(mixed, to, place(tmp_path, to))
    wanted = Source(str(mixed)).content
    foreign = read_foreign(place(tmp_path, to))
    spelling = foreign.spelling("sd1")
    stored = load_file(mixed / "fused.safetensors")
    for layer, pair in wanted.layers.items():
        size = {layer: (pair.down_RI.shape[1], len(pair.up_OR))}
        (found,) = read_layers(
            foreign.tensors, spelling, size, foreign.alpha_of, leave_out=True
        ).values()
        if f"{layer}.delta" in stored:
            assert torch.equal(found.delta(), stored[f"{layer}.delta"].double())
        assert found.scale == 1
        assert torch.equal(found.delta(), pair.delta())


def test_words_of_a_release_keep_their_layers_in_the_papers_format(
    mixed: Path, tmp_path: Path
) -> None:
    export_model(mixed, "edlora", tmp_path / "out.pth")
    content = Source(str(mixed)).content
    for word, rows in zip(
        content.about.words, read_foreign(tmp_path / "out.pth").words, strict=True
    ):
        assert torch.equal(rows["tokens"], content.tokens[f"tokens.{word}"])
