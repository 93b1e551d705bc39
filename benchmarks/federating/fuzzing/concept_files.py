"""Concept files, read as a server reads what nodes hand over.

A file is bad unless it is `length, header, data` with: a strict header that names every byte of the data
once; the tensors, and no others, of adapters and words that fit the base; three float types; values
that are finite and at most 1000, updates at most 100 rotations large; metadata from the allow-list with
values of the right type and size, made for this base. And it must be read as what it says.
"""

import json
import math
import re
import struct
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from benchmarks.federating.fuzzing import strictly
from benchmarks.federating.fuzzing.mutating import ODD, Raw, odd_bytes, odd_documents
from benchmarks.federating.fuzzing.strictly import Bad, demand
from benchmarks.federating.fuzzing.target import Target
from fedshow.concepts import ConceptFile, read_concept
from tests.stage.concepts import CARD, concept_bytes

DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
HEADER_NEEDS = {
    "family",
    "base",
    "name",
    "class",
    "words",
    "slots",
    "rank",
    "alpha",
    "created",
    "fedshow",
}
HEADER_MAY = {"format", "method", "recipe", "metrics"}
METHODS = {"ed-lora", "lora", "p-plus", "custom-diffusion", "textual-inversion"}
TENSOR = {"dtype", "shape", "data_offsets"}


def target() -> Target:
    """Small files for a small base."""
    valid = tuple(concept_bytes(name, seed=number) for number, name in enumerate(("potter", "a")))
    cases = st.one_of(odd_bytes(*valid), *(_odd_headers(blob) for blob in valid), st.binary())
    return Target("concept files", cases, valid, partial(read_concept, card=CARD), fault)


def _odd_headers(blob: bytes) -> st.SearchStrategy[bytes]:
    header, data = _taken_apart(blob)
    inner = json.loads(header["__metadata__"]["fedshow"])
    shapes = ODD | st.sampled_from(
        ["[2,3.0]", '["2",3]', "[2e0,3]", "[3,2]", "[]", "[6]", "[2,3,1]"]
    ).map(Raw)
    dtypes = st.sampled_from(['"F64"', '"F16"', '"BF16"', '"I32"', '"f32"', '"F8_E4M3"']).map(Raw)
    outer = odd_documents(header, shapes | dtypes).map(str.encode)
    within = odd_documents(inner).map(
        lambda text: json.dumps({**header, "__metadata__": {"fedshow": text}}).encode()
    )
    edited = odd_bytes(json.dumps(header).encode())
    values = st.tuples(st.just(json.dumps(header).encode()), odd_bytes(data))
    heads = st.tuples(outer | within | edited, st.just(data) | odd_bytes(data))
    return (heads | values).map(
        lambda parts: struct.pack("<Q", len(parts[0])) + parts[0] + parts[1]
    )


def _taken_apart(blob: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", blob[:8])
    return json.loads(blob[8 : 8 + length]), blob[8 + length :]


def fault(blob: bytes, made: ConceptFile) -> str | None:
    """Why the file is bad, or was read as something else."""
    try:
        header, tensors = _judged(blob)
    except Bad as error:
        return str(error)
    read = made.header
    if (read.name, read.class_word, read.rank, read.alpha, read.base.sha256) != (
        *(header["name"], header["class"], header["rank"], header["alpha"]),
        header["base"]["sha256"],
    ):
        return "the header was read as another one"
    if {key: list(entry.shape) for key, entry in made.layout.entries.items()} != tensors:
        return "the tensors were read as others"
    return None


def _judged(blob: bytes) -> tuple[dict[str, Any], dict[str, list[int]]]:
    demand(len(blob) >= 8, "no length")
    (length,) = struct.unpack("<Q", blob[:8])
    demand(length <= len(blob) - 8, "the header is longer than the file")
    outer, data = strictly.document(blob[8 : 8 + length]), blob[8 + length :]
    demand(isinstance(outer, dict), "the header is no object")
    about = strictly.entries(outer.pop("__metadata__", None), {"fedshow"}, set(), "metadata")[
        "fedshow"
    ]
    demand(isinstance(about, str), "metadata is no text")
    header = _judged_header(strictly.document(about.encode()))
    found = {key: _values(key, tensor, data) for key, tensor in outer.items()}
    _judge_order([tensor["data_offsets"] for tensor in outer.values()], len(data))
    _judge_tensors(found, header)
    return header, {key: list(values.shape) for key, values in found.items()}


def _judged_header(value: Any) -> dict[str, Any]:
    header = strictly.entries(value, HEADER_NEEDS, HEADER_MAY, "concept header")
    base = strictly.entries(header["base"], {"name", "sha256"}, set(), "base")
    strictly.text(base["name"], strictly.BASE, "base name")
    demand(base["sha256"] == CARD.sha256, "another base")
    demand(type(header.get("format", 1)) is int and header.get("format", 1) == 1, "another format")
    demand(
        (header["family"], header["slots"]) == (CARD.family, CARD.slots), "another family or slots"
    )
    demand(type(header["slots"]) is int, "slots are no number")
    name = strictly.text(header["name"], strictly.NAME, "name")
    strictly.text(header["class"], re.compile("[a-z][a-z-]{0,30}"), "class")
    words, rank = header["words"], strictly.whole(header["rank"], 1, 1024, "rank")
    demand(isinstance(words, list) and 1 <= len(words) <= 4, "words")
    demand(
        words == [f"<{name}{number + 1}>" for number in range(len(words))], "words of another name"
    )
    demand(0 < strictly.number(header["alpha"], "alpha") <= 65536 and rank, "alpha")
    demand(header.get("method", "ed-lora") in METHODS, "method")
    for group in ("recipe", "metrics"):
        numbers = header.get(group, {})
        demand(isinstance(numbers, dict) and len(numbers) <= 64, group)
        for key, number in numbers.items():
            strictly.text(key, strictly.KEY, group)
            demand(isinstance(number, bool) or strictly.number(number, key) is not None, key)
    strictly.moment(header["created"], "created")
    strictly.text(header["fedshow"], re.compile(r"[0-9a-z.+-]{1,32}"), "version")
    return header


def _values(key: str, tensor: Any, data: bytes) -> Any:
    about = strictly.entries(tensor, TENSOR, set(), key)
    demand(about["dtype"] in DTYPES if isinstance(about["dtype"], str) else False, f"{key}: dtype")
    for part in ("shape", "data_offsets"):
        demand(isinstance(about[part], list), f"{key}: {part}")
    shape = [strictly.whole(size, 1, len(data), f"{key}: shape") for size in about["shape"]]
    demand(len(about["data_offsets"]) == 2, f"{key}: offsets")
    start, end = (
        strictly.whole(at, 0, len(data), f"{key}: offset") for at in about["data_offsets"]
    )
    stored = np.dtype(DTYPES[about["dtype"]])
    demand(end - start == math.prod(shape) * stored.itemsize, f"{key}: shape and bytes")
    raw = np.frombuffer(data[start:end], stored)
    if about["dtype"] == "BF16":
        raw = (raw.astype("<u4") * 65536).view("<f4")
    values = raw.astype(np.float64).reshape(shape)
    demand(np.isfinite(values).all() and np.abs(values).max(initial=0) <= 1000, f"{key}: values")
    return values


def _judge_order(offsets: list[list[int]], size: int) -> None:
    ends = [0, *(end for _, end in sorted(offsets))]
    demand([start for start, _ in sorted(offsets)] == ends[:-1] and ends[-1] == size, "gaps")


def _judge_tensors(found: dict[str, Any], header: dict[str, Any]) -> None:
    shapes = {f"tokens.{word}": (CARD.slots, CARD.token_dim) for word in header["words"]}
    for layer, (inputs, outputs) in CARD.layers.items():
        down, up = found.get(f"{layer}.lora_A.weight"), found.get(f"{layer}.lora_B.weight")
        demand((down is None) == (up is None), f"{layer}: half an adapter")
        if down is not None and up is not None:
            shapes[f"{layer}.lora_A.weight"] = (header["rank"], inputs)
            shapes[f"{layer}.lora_B.weight"] = (outputs, header["rank"])
    demand({key: values.shape for key, values in found.items()} == shapes, "keys or shapes")
    for layer, (inputs, outputs) in CARD.layers.items():
        if f"{layer}.lora_A.weight" in found:
            update = found[f"{layer}.lora_B.weight"] @ found[f"{layer}.lora_A.weight"]
            size = np.linalg.norm(update) * header["alpha"] / header["rank"]
            demand(size <= 100.001 * math.sqrt(min(inputs, outputs)), f"{layer}: too strong")
