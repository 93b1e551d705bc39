"""Documents from outside are read strictly, and errors about them can be printed."""

import json
import struct
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ValidationError

from fedshow.concepts import read_concept
from fedshow.documents import MAX_DEPTH, BadDocument, first_fault, read_document, read_json
from fedshow.errors import Damaged, Exhausted, InvalidInput, RefusedConcept
from fedshow.joining import JoinCode
from fedshow.releases import Manifest
from fedshow.releases.verify import check_concepts
from tests.releases import standin_manifest
from tests.stage.concepts import CARD, concept_bytes


class Box(BaseModel):
    """What a test reads."""

    size: int
    at: datetime | None = None


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"b": [{"a": 1, "a": 2}]}',
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1e999}',
        '{"a": -1e999}',
        f'{{"a": {2**64}}}',
        f'{{"a": {"9" * 5000}}}',
        '"\\ud800"',
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 100_000,
        "{'a': 1}",
        "",
        b"\xff",
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused(text):
    with pytest.raises(BadDocument):
        read_json(text)


def test_what_has_one_meaning_is_read():
    found = {"a": [1, 2.5, None, True, "ä"], "b": {"c": 2**64 - 1}}
    assert read_json(json.dumps(found)) == read_json(json.dumps(found).encode()) == found
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(read_json(deep)) == deep


def test_a_document_that_is_too_long_is_not_even_read():
    with pytest.raises(BadDocument, match="11 bytes, limit 10"):
        read_json("[" * 11, 10)


@pytest.mark.parametrize("size", ['"1"', "1.0", "true", "1e0", "null"])
def test_values_must_be_of_the_very_type(size):
    with pytest.raises(BadDocument, match="size: "):
        read_document(Box, f'{{"size": {size}}}')


def test_moments_are_text():
    text = '{"size": 1, "at": "2026-01-01T00:00:00Z"}'
    assert read_document(Box, text).at == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(BadDocument, match="at: "):
        read_document(Box, '{"size": 1, "at": 1700000000}')


def changed(old, new):
    """A concept file whose header says something else."""
    blob = concept_bytes("potter")
    (length,) = struct.unpack("<Q", blob[:8])
    header = blob[8 : 8 + length].rstrip()
    assert old in header
    header = header.replace(old, new, 1)
    return struct.pack("<Q", len(header)) + header + blob[8 + length :]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"shape":[2,3]', b'"shape":[1e999,3]'),
        (b'"shape":[2,3]', b'"shape":[2.0,3]'),
        (b'"shape":[2,3]', b'"shape":["2",3]'),
        (b'"shape":[2,3]', b'"shape":[[[2]],3]'),
        (b'"shape":[2,3]', b'"shape":[4294967296,4294967296,2]'),
        (b'"shape":[2,3]', b'"shape":[2,3],"shape":[2,3]'),
        (b'"dtype":', b'"why":1,"dtype":'),
        (rb"\"rank\":2", rb"\"rank\":2,\"rank\":2"),
        (rb"\"rank\":2", rb"\"rank\":2.0"),
        (rb"\"format\":1", rb"\"format\":1.0"),
        (rb"\"format\":1", rb"\"format\":true"),
        (rb"\"created\":\"2026-01-01T00:00:00Z\"", rb"\"created\":\"0\""),
        (rb"\"alpha\":2.0", rb"\"alpha\":1e999"),
        (rb"\"class\":", rb"\"class_word\":"),
        (rb"\"created\":\"2026-01-01T00:00:00Z\"", rb"\"created\":\"2026-01-01T00:00:00\""),
    ],
)
def test_a_concept_file_says_everything_once_and_in_the_right_type(old, new):
    read_concept(changed(old, old), CARD)
    with pytest.raises(RefusedConcept):
        read_concept(changed(old, new), CARD)


@pytest.mark.parametrize(
    "code",
    [
        {"a": "a:0"},
        {"a": "a:65536"},
        {"a": "..:1"},
        {"a": "[::::]:1"},
        {"a": "[::1%25eth0]:1"},
        {"b": "no\nname"},
        {"b": "../x"},
        {"address": "a:1"},
    ],
)
def test_a_join_code_names_a_place_and_a_base_that_can_be(code):
    import base64

    def encoded(values):
        content = json.dumps(values).encode()
        return "fedshow-join:" + base64.urlsafe_b64encode(content).decode().rstrip("=")

    good = {"a": "fuse.example:8443", "f": "a" * 64, "s": "s" * 43, "b": "owner/base"}
    assert JoinCode.parse(encoded(good)).base == "owner/base"
    with pytest.raises(InvalidInput):
        JoinCode.parse(encoded(good | code))


@pytest.mark.parametrize("path", ["a//b", "./a", "a/", "a/.", "model.json/x", "../a", ""])
def test_a_path_in_a_manifest_is_written_in_one_way(path):
    found = standin_manifest({"model.json": b"{}"}, {"potter": "a" * 64}, CARD.ref).dump()
    entry = '{"sha256": "' + "a" * 64 + '", "size_bytes": 1}'
    assert Manifest.parse(found.replace(b'"files": {', f'"files": {{"a/b": {entry},'.encode()))
    with pytest.raises(Damaged):
        Manifest.parse(found.replace(b'"files": {', f'"files": {{"{path}": {entry},'.encode()))


@pytest.mark.parametrize("path", ["__metadata__", "", "other.json"])
def test_pieces_are_of_listed_files(path):
    found = standin_manifest({"model.json": b"{}"}, {"potter": "a" * 64}, CARD.ref).dump()
    assert b'"pieces": {}' in found
    with pytest.raises(Damaged, match="which is not listed"):
        Manifest.parse(found.replace(b'"pieces": {}', f'"pieces": {{"{path}": ""}}'.encode()))


def test_a_list_of_concepts_has_each_once(tmp_path):
    one, other = "a" * 64, "b" * 64
    twice = f'[{{"name": "potter", "sha256": "{other}", "sha256": "{one}"}}]'.encode()
    again = f'[{{"name": "potter", "sha256": "{other}"}},{{"name": "potter", "sha256": "{one}"}}]'
    for content in (twice, again.encode()):
        manifest = standin_manifest({"concepts.json": content}, {"potter": one}, CARD.ref)
        (tmp_path / "concepts.json").write_bytes(content)
        with pytest.raises(Damaged):
            check_concepts(tmp_path, manifest)


def test_errors_are_one_printable_line():
    text = str(InvalidInput("a\nb\x1b[31m\u202e\udcffü"))
    assert text == "a\\nb\\x1b[31m\\u202e\\udcffü"
    assert str(Exhausted("x\0")) == "x\\x00"


def test_the_first_fault_says_where_what_and_no_more_of_the_value_than_a_line() -> None:
    with pytest.raises(ValidationError) as refused:
        Box.model_validate({"size": "x" * 1000, "at": "never"})
    fault = first_fault(refused.value)
    assert (fault.where, fault.kind, len(fault.given)) == ("size", "int_parsing", 80)
    assert fault.says.startswith("Input should be a valid integer")
    assert first_fault(refused.value, within=1).where == ""
