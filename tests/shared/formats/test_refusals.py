"""What is not imported, and that the refusal names the key, the value and what would be right."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fedshow.errors import BaseMismatch, InvalidInput
from fedshow.formats import export_model, import_concept
from tests.stage.concepts import varied_concept

Tensors = dict[str, torch.Tensor]
GIVEN = {"name": "potter", "class_word": "monster", "base": "toyworld"}
LAYER = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_q"
DOWN, UP, ALPHA = f"{LAYER}.lora_down.weight", f"{LAYER}.lora_up.weight", f"{LAYER}.alpha"


@pytest.fixture
def kohya(varied, tmp_path: Path) -> Path:
    """A kohya file that says nothing of fedshow."""
    file, _ = varied(shared=True)
    export_model(file, "kohya", tmp_path / "lora.safetensors")
    save_file(load_file(tmp_path / "lora.safetensors"), tmp_path / "lora.safetensors")
    return tmp_path / "lora.safetensors"


def changed(file: Path, change: Callable[[Tensors], object]) -> Path:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    return file


def put(key: str, value: torch.Tensor) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.__setitem__(key, value)


def cut(axis: int, key: str) -> Callable[[Tensors], object]:
    return lambda tensors: put(key, tensors[key].narrow(axis, 0, 2).clone())(tensors)


def both_halves(tensors: Tensors) -> None:
    cut(0, DOWN)(tensors)
    cut(1, UP)(tensors)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tensors: tensors.pop(UP), f"{ALPHA}: the layer has no 'up' half"),
        (lambda tensors: tensors.pop(DOWN), f"{ALPHA}: the layer has no 'down' half"),
        (cut(1, DOWN), f"{DOWN}: shape [4, 2], must be [rank, "),
        (cut(0, UP), f"{UP}: shape [2, 4], must be ["),
        (cut(0, DOWN), f"{UP}: rank 4, {DOWN} has 2"),
        (both_halves, f"{DOWN}: rank 2, other layers have 4"),
        (put(ALPHA, torch.tensor(2.0)), f"{DOWN}: alpha 2.0, other layers have 4.0"),
        (put(ALPHA, torch.tensor(0.0)), f"{ALPHA}: [0.0], alpha is one number above 0"),
        (put(ALPHA, torch.tensor(torch.nan)), f"{ALPHA}: [nan], alpha is one number"),
        (put(ALPHA, torch.ones(2)), f"{ALPHA}: [1.0, 1.0], alpha is one number"),
        (put("lora_unet_nowhere.lora_down.weight", torch.ones(4, 4)), "nowhere.lora_down.weight"),
        (put(f"{LAYER}.dora_scale", torch.ones(4)), f"{LAYER}.dora_scale: keys end with"),
        (put(f"{LAYER}.hada_w1_a", torch.ones(4)), f"{LAYER}.hada_w1_a: keys end with"),
        (put(DOWN, torch.full((4, 128), torch.nan)), "contains NaN or infinity"),
        (put(UP, torch.full((128, 4), 1e6)), "limit 1000"),
        (put(f"{LAYER}.alpha", torch.tensor(4)), f"{ALPHA}: dtype I64"),
        (put("bundle_emb.a.name", torch.ones(4)), "bundle_emb.a.name: a bundled embedding is"),
    ],
)
def test_a_lora_that_no_concept_can_hold(kohya: Path, tmp_path: Path, change, says: str) -> None:
    out = tmp_path / "back.safetensors"
    with pytest.raises(InvalidInput) as refused:
        import_concept(changed(kohya, change), out, **GIVEN)
    assert says in str(refused.value)
    assert not out.exists()


def test_layers_that_take_no_adapters_are_left_out_when_told_to(
    kohya: Path, tmp_path: Path
) -> None:
    def add(tensors: Tensors) -> None:
        tensors["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"] = torch.ones(8, 9)
        tensors["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight"] = torch.ones(9, 8)

    changed(kohya, add)
    with pytest.raises(InvalidInput, match=r"mlp_fc1.lora_down.weight: the base has no such layer"):
        import_concept(kohya, tmp_path / "back.safetensors", **GIVEN)
    back = import_concept(kohya, tmp_path / "back.safetensors", leave_out=True, **GIVEN)
    assert not [key for key in back.tensors() if "mlp" in key]


@pytest.mark.parametrize("missing", ["name", "class_word", "base"])
def test_what_the_file_does_not_say_must_be_given(
    kohya: Path, tmp_path: Path, missing: str
) -> None:
    given = {key: value for key, value in GIVEN.items() if key != missing}
    option = {"name": "--name", "class_word": "--class", "base": "--base"}[missing]
    with pytest.raises(InvalidInput, match=f"^{option} is missing: .*lora.safetensors does not"):
        import_concept(kohya, tmp_path / "back.safetensors", **given)


def test_a_file_for_another_base_is_a_mismatch(card, tmp_path: Path) -> None:
    other = card.model_copy(update={"sha256": "ab" * 32})
    varied_concept(tmp_path / "potter.safetensors", other)
    export_model(tmp_path / "potter.safetensors", "kohya", tmp_path / "out.safetensors")
    with pytest.raises(BaseMismatch, match="abababababab"):
        import_concept(tmp_path / "out.safetensors", tmp_path / "back.safetensors")


def test_a_release_is_no_concept(mixed: Path, tmp_path: Path) -> None:
    export_model(mixed, "edlora", tmp_path / "out.pth")
    with pytest.raises(InvalidInput, match="holds potter, hermione fused"):
        import_concept(tmp_path / "out.pth", tmp_path / "back.safetensors")


def test_the_class_word_stands_for_a_concept_without_words(
    kohya: Path, opened_base, tmp_path: Path
) -> None:
    back = import_concept(kohya, tmp_path / "back.safetensors", **GIVEN)
    table = opened_base.pipeline.text_encoder.get_input_embeddings().weight
    (token,) = opened_base.pipeline.tokenizer("monster", add_special_tokens=False).input_ids
    assert back.header.words == ("<potter1>",)
    assert torch.equal(
        back.tensors()["tokens.<potter1>"], table[token].expand(back.header.slots, -1)
    )


def test_vectors_of_an_embedding_are_words(kohya: Path, card, tmp_path: Path) -> None:
    first, second = torch.rand(2, card.token_dim), torch.rand(card.token_dim)
    save_file({"emb_params": first}, tmp_path / "first.safetensors")
    save_file({"<cat-toy>": second}, tmp_path / "second.safetensors")
    files = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    back = import_concept(kohya, tmp_path / "back.safetensors", embeddings=files, **GIVEN)
    assert back.header.words == ("<potter1>", "<potter2>", "<potter3>")
    for number, row in enumerate((first[0], first[1], second), 1):
        found = back.tensors()[f"tokens.<potter{number}>"]
        assert torch.equal(found, row.expand(card.slots, -1))


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"emb_params": torch.ones(1, 5)}, "<potter1>: shape [1, 5], must be ["),
        ({"emb_params": torch.ones(5, 128)}, "5 words or vectors, a concept has at most 4"),
        ({"emb_params": torch.ones(1, 1, 128)}, "shape [1, 1, 128], an embedding has 1 or 2 axes"),
        ({"a": torch.ones(128), "b": torch.ones(128)}, "an embedding is one tensor, or clip_l and"),
        ({"clip_l": torch.ones(128), "clip_g": torch.ones(128)}, "<potter1> has tokens, tokens_2"),
        ({"clip_l": torch.ones(2, 128), "clip_g": torch.ones(128)}, "[1, 2] vectors, both"),
    ],
)
def test_words_that_no_concept_can_hold(
    kohya: Path, tmp_path: Path, tensors: Tensors, says: str
) -> None:
    file = tmp_path / "words.safetensors"
    save_file(tensors, file)
    with pytest.raises(InvalidInput) as refused:
        import_concept(kohya, tmp_path / "back.safetensors", embeddings=[file], **GIVEN)
    assert says in str(refused.value)


class Trap:
    """A pickle that would do something, if anybody let it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_a_pickle_that_does_something_does_nothing(tmp_path: Path) -> None:
    torch.save({"params": Trap(tmp_path / "done")}, tmp_path / "edlora.pth")
    with pytest.raises(InvalidInput, match=r"edlora\.pth is not one of tensors alone"):
        import_concept(tmp_path / "edlora.pth", tmp_path / "back.safetensors", **GIVEN)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([1, 2], "list, must be a dictionary with 'params'"),
        ({"params": {"unet": {}}}, "no 'new_concept_embedding' in it"),
        ({"params": {"new_concept_embedding": 3}}, "new_concept_embedding is int, must be a"),
        ({"params": {"new_concept_embedding": {"a": 3}}}, "a is int, no tensor"),
        (
            {"params": {"new_concept_embedding": {}, "unet": {"x.alpha": torch.tensor(2.0)}}},
            "unet.x.alpha: alpha [2.0], must be 1 or not there",
        ),
        ({"params": {"new_concept_embedding": {}}}, "no adapters and no words in it"),
        (
            {"params": {"new_concept_embedding": {"<a>": torch.ones(2, 128)}}},
            "<potter1>: shape [2, 128], must be [7, 128] or [1, 128]",
        ),
    ],
)
def test_a_pth_that_is_not_the_papers(tmp_path: Path, content: object, says: str) -> None:
    torch.save(content, tmp_path / "edlora.pth")
    with pytest.raises(InvalidInput) as refused:
        import_concept(tmp_path / "edlora.pth", tmp_path / "back.safetensors", **GIVEN)
    assert says in str(refused.value)


def test_a_pth_as_the_papers_code_writes_it(card, tmp_path: Path) -> None:
    """Written by hand as its trainer does: parameters, keys with `text_model`, no alpha."""
    layer = "mid_block.attentions.0.transformer_blocks.0.attn2.to_q"
    text = "text_model.encoder.layers.0.self_attn.q_proj"
    widths = card.layers[f"unet.{layer}"], card.layers[f"text_encoder.{text}"]
    rows = torch.rand(card.slots, card.token_dim)
    halves = [(torch.rand(4, d_in), torch.rand(d_out, 4)) for d_in, d_out in widths]
    params = {
        "new_concept_embedding": {"<trained1>": torch.nn.Parameter(rows), "<trained2>": rows + 1},
        "text_encoder": {
            f"{text}.lora_down.weight": halves[1][0],
            f"{text}.lora_up.weight": halves[1][1],
        },
        "unet": {
            f"{layer}.lora_down.weight": halves[0][0],
            f"{layer}.lora_up.weight": halves[0][1],
        },
    }
    torch.save({"params": params}, tmp_path / "edlora_model-latest.pth")
    file, out = tmp_path / "edlora_model-latest.pth", tmp_path / "back.safetensors"
    back = import_concept(file, out, **GIVEN)
    assert (back.header.method, back.header.scale) == ("ed-lora", 1)
    assert back.tensors().keys() == {
        *("tokens.<potter1>", "tokens.<potter2>"),
        *(f"unet.{layer}.lora_{half}.weight" for half in "AB"),
        *(f"text_encoder.{text}.lora_{half}.weight" for half in "AB"),
    }
    assert torch.equal(back.tensors()["tokens.<potter2>"], rows + 1)
    assert torch.equal(back.tensors()[f"unet.{layer}.lora_B.weight"], halves[0][1])


def test_settings_that_are_no_plain_lora(varied, tmp_path: Path) -> None:
    file, _ = varied()
    export_model(file, "peft", tmp_path / "out")
    config = tmp_path / "out" / "unet" / "adapter_config.json"
    settings = json.loads(config.read_text())
    for change, says in (({"use_dora": True}, "use_dora"), ({"peft_type": "LOHA"}, "peft_type")):
        config.write_text(json.dumps(settings | change))
        with pytest.raises(InvalidInput, match=says):
            import_concept(tmp_path / "out", tmp_path / "back.safetensors", **GIVEN)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}q."])
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.bin"])
def test_what_is_no_format_at_all(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match="is none of diffusers, kohya, edlora, peft"):
        import_concept(tmp_path / name, tmp_path / "back.safetensors", **GIVEN)
