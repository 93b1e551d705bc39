"""The concept format: what is in a file, and everything that is refused."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import save as save_numpy
from safetensors.torch import load, save

from fedshow.concepts import ConceptFile, read_concept
from fedshow.errors import BaseMismatch, RefusedConcept
from fedshow.families import BaseCard
from tests.conftest import MakeConcept

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def concept(make_concept: MakeConcept) -> ConceptFile:
    return make_concept("potter")


def header_of(concept: ConceptFile) -> dict[str, Any]:
    return dict(json.loads(concept.header.dump()))


def rebuilt(concept: ConceptFile, change: Callable[[Tensors, dict[str, Any]], None]) -> bytes:
    tensors, header = load(concept.blob), header_of(concept)
    change(tensors, header)
    return save(tensors, metadata={"fedshow": json.dumps(header)})


def test_what_was_written_is_read_back(concept: ConceptFile, card: BaseCard) -> None:
    again = read_concept(concept.blob, card)
    assert again.header == concept.header
    assert again.sha256 == concept.sha256
    assert again.tensors().keys() == load(concept.blob).keys()


def test_header_has_only_what_the_surface_names(concept: ConceptFile) -> None:
    (length,) = struct.unpack("<Q", concept.blob[:8])
    metadata = json.loads(concept.blob[8 : 8 + length])["__metadata__"]
    assert set(metadata) == {"fedshow"}
    assert set(json.loads(metadata["fedshow"])) == {
        *("format", "family", "base", "name", "class", "words", "slots", "method"),
        *("rank", "alpha", "recipe", "metrics", "created", "fedshow"),
    }


FIRST = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_q.lora_A.weight"


def put(key: str, value: torch.Tensor) -> Callable[[Tensors, dict[str, Any]], None]:
    return lambda tensors, _: tensors.update({key: value})


def drop(key: str) -> Callable[[Tensors, dict[str, Any]], None]:
    return lambda tensors, _: tensors.__delitem__(key)


def say(key: str, value: object) -> Callable[[Tensors, dict[str, Any]], None]:
    return lambda _, header: header.update({key: value})


def poison(value: float, dtype: torch.dtype) -> Callable[[Tensors, dict[str, Any]], None]:
    def change(tensors: Tensors, _: dict[str, Any]) -> None:
        tensors[FIRST] = tensors[FIRST].to(dtype)
        tensors[FIRST][0, 3] = value

    return change


def enlarge(tensors: Tensors, value: float) -> None:
    """The first layer's adapter, every value the same."""
    for key in (FIRST, FIRST.replace("lora_A", "lora_B")):
        tensors[key] = torch.full_like(tensors[key], value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("private/photo.png", torch.zeros(1)), "unknown key"),
        (put("vae.conv.lora_A.weight", torch.zeros(2, 4)), "unknown key"),
        (put("tokens.<weasley1>", torch.zeros(7, 128)), "unknown key"),
        (drop("tokens.<potter2>"), "missing 'tokens.<potter2>'"),
        (drop(FIRST), "without"),
        (put(FIRST, torch.zeros(2, 5)), "shape"),
        (put(FIRST, torch.zeros(3, 128)), "shape"),
        (put(FIRST, torch.zeros(2, 128, dtype=torch.int32)), "dtype I32"),
        (put(FIRST, torch.zeros(2, 128, dtype=torch.float64)), "dtype F64"),
        (poison(float("nan"), torch.float32), "NaN or infinity"),
        (poison(float("inf"), torch.float16), "NaN or infinity"),
        (poison(float("-inf"), torch.bfloat16), "NaN or infinity"),
        (poison(1e30, torch.float32), r"a value of size 1e\+30, limit 1000"),
        (poison(-1e30, torch.bfloat16), "limit 1000"),
        (poison(2000, torch.float16), "a value of size 2000, limit 1000"),
        (put("tokens.<potter1>", torch.full((7, 128), 1e6)), "value of size 1e"),
        (lambda tensors, _: enlarge(tensors, 900.0), "times as large as a rotation, limit 100"),
        (say("alpha", 65536.0), "times as large as a rotation, limit 100"),
        (say("home", "/home/me/photos"), "Extra inputs"),
        (say("name", "../../etc"), "name"),
        (say("name", "weasley"), "words"),
        (say("words", ["<potter1>", "<potter3>"]), "words"),
        (say("format", 2), "format"),
        (say("rank", 0), "rank"),
        (say("recipe", {"images": "/home/me"}), "recipe"),
        (say("slots", 9), "slots"),
        (say("family", "sdxl"), "family"),
        (say("class", "my cat"), "class"),
    ],
)
def test_anything_else_is_refused_with_its_reason(
    concept: ConceptFile,
    card: BaseCard,
    change: Callable[[Tensors, dict[str, Any]], None],
    reason: str,
) -> None:
    with pytest.raises(RefusedConcept, match=reason):
        read_concept(rebuilt(concept, change), card)


def test_strong_adapters_are_taken(concept: ConceptFile, card: BaseCard) -> None:
    """Ten times what training gives is unusual, but harmless."""
    read_concept(rebuilt(concept, lambda tensors, _: enlarge(tensors, 2.0)), card)


@pytest.mark.parametrize("value", ["2", 2.0, True])
def test_what_passes_can_be_loaded(concept: ConceptFile, value: object) -> None:
    """The safetensors library takes whole numbers only; a file that it refuses must not get in."""
    (length,) = struct.unpack("<Q", concept.blob[:8])
    header = json.loads(concept.blob[8 : 8 + length])
    header[FIRST]["shape"][0] = value
    text = json.dumps(header).encode()
    blob = struct.pack("<Q", len(text)) + text + concept.blob[8 + length :]
    with pytest.raises(RefusedConcept, match=r"not a safetensors file|shape"):
        read_concept(blob)


def test_another_base_is_a_mismatch(concept: ConceptFile, card: BaseCard) -> None:
    other = card.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(BaseMismatch, match="000000000000"):
        read_concept(concept.blob, other)


@pytest.mark.parametrize("name", ["toyworld", "local", "runwayml/stable-diffusion-v1-5"])
def test_names_of_bases(card: BaseCard, name: str) -> None:
    assert BaseCard.model_validate(card.model_dump() | {"name": name}).ref.name == name


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"name": name}
            for name in ("", "/etc/passwd", "../x", "~/x", "a/b/c", "a/..", ".hidden")
        ),
        *({"name": name} for name in ("red\x1b[31m", "two\nlines", "toyworld\n", "x" * 65)),
        {"family": "sd1\x07"},
        {"layers": {"unet.\x1b[2J": (1, 1)}},
        {"layers": {"../unet": (1, 1)}},
        {"layers": {"unet.a": (0, 1)}},
        {"slots": 0},
    ],
)
def test_servers_cannot_send_anything_else_as_a_base(
    card: BaseCard, change: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        BaseCard.model_validate(card.model_dump() | change)


def test_second_metadata_key_is_refused(concept: ConceptFile) -> None:
    metadata = {"fedshow": concept.header.dump(), "author": "me@home"}
    with pytest.raises(RefusedConcept, match="author"):
        read_concept(save(load(concept.blob), metadata=metadata))


def test_bytes_after_the_tensors_are_refused(concept: ConceptFile) -> None:
    with pytest.raises(RefusedConcept, match="belong to no tensor"):
        read_concept(concept.blob + b"\x89PNG private picture")


@pytest.mark.parametrize("cut", [0, 5, 8, 100, 20_000, -1])
def test_truncated_files_are_refused(concept: ConceptFile, cut: int) -> None:
    with pytest.raises(RefusedConcept):
        read_concept(concept.blob[:cut])


def test_refusals_name_the_file(concept: ConceptFile, card: BaseCard, tmp_path: Path) -> None:
    bad, absent = tmp_path / "bad.safetensors", tmp_path / "absent.safetensors"
    bad.write_bytes(concept.blob + b"x")
    with pytest.raises(RefusedConcept, match=f"^{bad}: 1 bytes at the end"):
        read_concept(bad)
    with pytest.raises(RefusedConcept, match=f"^{absent}: cannot read"):
        read_concept(absent)
    concept.save(bad)
    with pytest.raises(BaseMismatch, match=f"^{bad}: concept 'potter'"):
        read_concept(bad, card.model_copy(update={"sha256": "0" * 64}))


def test_gap_between_tensors_is_refused() -> None:
    blob = save_numpy({"tokens.<a1>": np.zeros((1, 4), np.float32)})
    (length,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8 : 8 + length])
    header["tokens.<a1>"]["data_offsets"] = [4, 20]
    text = json.dumps(header).encode()
    with pytest.raises(RefusedConcept, match="starts at 4"):
        read_concept(struct.pack("<Q", len(text)) + text + bytes(20))


@settings(max_examples=300)
@given(data=st.data())
def test_no_damage_does_more_than_refuse(data: st.DataObject, concept: ConceptFile) -> None:
    """Any change of header bytes either still means the same or is refused; nothing else is raised."""
    (length,) = struct.unpack("<Q", concept.blob[:8])
    blob = bytearray(concept.blob)
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, 8 + length))] = data.draw(st.integers(0, 255))
    try:
        found = read_concept(bytes(blob))
    except RefusedConcept:
        return
    found.tensors()
