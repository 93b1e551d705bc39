"""Release folders: what may be in them, and what people read when something is wrong with one."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fedshow.concepts import BaseRef
from fedshow.errors import Damaged, FedshowError, RefusedRelease
from fedshow.files import digest
from fedshow.releases import Manifest, verify_release
from fedshow.releases.contents import KNOWN_PIPELINES, STANDALONE
from fedshow.releases.loading import load_release
from fedshow_server.fusion import fuse_to_folder
from tests.releases import concepts_json, standin_manifest

CONCEPTS = {"potter": "a" * 64}
FILES = {"fused.safetensors": b"weights", "concepts.json": concepts_json(CONCEPTS)}
Spoil = Callable[[Path], object]


def write(folder: Path, contents: dict[str, bytes]) -> Path:
    """A folder with these files and a manifest that lists them."""
    manifest = standin_manifest(contents, CONCEPTS, BaseRef(name="toyworld", sha256="b" * 64))
    for path, content in {**contents, "manifest.json": manifest.dump()}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", STANDALONE.values())
def test_the_pipelines_of_today_are_among_the_known(name: str) -> None:
    own = files("fedshow.releases") / name
    assert digest(Path(str(own))) in KNOWN_PIPELINES, "add the new one, keep the old ones"


@pytest.mark.parametrize(
    "path", ["pipeline.py", "unet/evil.py", "weights.bin", "x.json.pkl", "run"]
)
def test_a_folder_with_other_code_is_not_good(call, tmp_path: Path, path: str) -> None:
    folder = write(tmp_path / "release", {**FILES, path: b"import os"})
    with pytest.raises(RefusedRelease, match=path):
        verify_release(folder)
    code, _, err = call("verify", folder)
    assert code == 1
    assert err.startswith(f"fedshow: {path}")


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        (concepts_json({"potter": "b" * 64}), "concepts: potter is bbbb"),
        (concepts_json({**CONCEPTS, "dobby": "a" * 64}), "concepts: dobby is aaaa"),
        (concepts_json({}), "concepts: potter is None"),
        (b"{}x", "concepts: concepts.json is no list"),
        (b"[1]", "concepts: concepts.json is no list"),
    ],
)
def test_concepts_that_are_not_the_manifests(tmp_path: Path, listed: bytes, says: str) -> None:
    with pytest.raises(Damaged, match=says):
        verify_release(write(tmp_path, {**FILES, "concepts.json": listed}))


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    verify_release(write(tmp_path, FILES), lambda *now: seen.append(now))
    assert seen[-1] == (sum(map(len, FILES.values())),) * 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "manifest.json: Invalid JSON"),
        (b"[]", "manifest.json: Input should be an object"),
        (b"\xff\xfe", "manifest.json: Invalid JSON"),
        (b"{}", "manifest.json: release: Field required"),
    ],
)
def test_a_broken_manifest_is_named(call, tmp_path: Path, content: bytes, says: str) -> None:
    (write(tmp_path / "release", FILES) / "manifest.json").write_bytes(content)
    code, _, err = call("verify", tmp_path / "release")
    assert code == 1
    assert says in err


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("concepts", [{"name": "\x1b[2Jpotter", "sha256": "a" * 64}]),
        ("family", "\x1b[2J"),
        ("files", {"\x1b[2J.json": {"sha256": "a" * 64, "size_bytes": 1}}),
        ("files", {"../x.json": {"sha256": "a" * 64, "size_bytes": 1}}),
    ],
)
def test_a_manifest_cannot_speak_to_terminals_or_leave_its_folder(
    tmp_path: Path, field: str, value: object
) -> None:
    about = json.loads((write(tmp_path, FILES) / "manifest.json").read_text())
    with pytest.raises(Damaged) as refused:
        Manifest.parse(json.dumps(about | {field: value}).encode())
    assert str(refused.value).startswith(f"manifest.json: {field}")
    assert str(refused.value).isprintable()


def test_what_is_no_release_folder_is_named(call, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name, code in (("nowhere", 2), ("notes", 2), ("empty", 1)):
        found = call("verify", tmp_path / name)
        assert (found[0], f"{tmp_path / name} is " in found[2]) == (code, True), found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_concept) -> Path:
    """A release of two concepts of noise, averaged."""
    folder = tmp_path_factory.mktemp("made")
    concepts = [make_concept(name) for name in ("potter", "hermione")]
    for concept in concepts:
        concept.save(folder / f"{concept.header.name}.safetensors")
    fuse_to_folder(
        "toyworld", sorted(folder.glob("*.safetensors")), folder / "release", method="average"
    )
    return folder / "release"


@pytest.fixture
def release(made: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(made, tmp_path / "release"))


def test_a_made_release_holds_what_releases_may_hold(made: Path) -> None:
    manifest = verify_release(made)
    assert "pipeline.py" in manifest.files
    assert "unet/diffusion_pytorch_model.safetensors" in manifest.pieces


def cut(path: str) -> Spoil:
    return lambda folder: (folder / path).write_bytes((folder / path).read_bytes()[:1000])


def remove(path: str) -> Spoil:
    return lambda folder: (folder / path).unlink()


def put_nan(folder: Path) -> None:
    """Into the fused update, with the size as before."""
    with safe_open(folder / "fused.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors["tokens.<potter1>"][0, 0] = torch.nan
    save_file(tensors, folder / "fused.safetensors", metadata=metadata)


def rename_family(folder: Path) -> None:
    about = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(about | {"family": "sd9"}))


UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (cut(UNET), 1, f"{UNET}: 1000 bytes, must be"),
        (remove(UNET), 1, f"{UNET} is missing"),
        (cut("fused.safetensors"), 1, "fused.safetensors: 1000 bytes"),
        (remove("fused.safetensors"), 1, "fused.safetensors is missing"),
        (remove("manifest.json"), 1, "is no release folder: manifest.json: No such file"),
        (put_nan, 1, "tokens.<potter1> contains NaN or infinity"),
        (rename_family, 2, "family 'sd9', known are sd1"),
    ],
    ids=["cut", "lost", "fused cut", "fused lost", "no manifest", "nan", "family"],
)
def test_a_spoiled_release_does_not_draw(call, release: Path, spoil, code: int, says: str) -> None:
    spoil(release)
    found, _, err = call("sample", release, "a <potter>", "-o", release.parent / "out.png")
    assert (found, says in err, err.count("\n")) == (code, True, 1), err
    assert not (release.parent / "out.png").exists()


def test_drawing_runs_no_code_out_of_a_release(release: Path, tmp_path: Path) -> None:
    trace = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    (release / "pipeline.py").write_text(trace)
    load_release(release)
    (release / "unet" / "evil.py").write_text(trace)
    index = json.loads((release / "model_index.json").read_text())
    for name in ({"unet": ["evil", "Evil"]}, {"_class_name": ["pipeline", "Evil"]}):
        (release / "model_index.json").write_text(json.dumps(index | name))
        with suppress(FedshowError):
            load_release(release)
    assert not (tmp_path / "ran").exists()


def test_nan_is_found_by_verify_too(release: Path) -> None:
    put_nan(release)
    with pytest.raises(Damaged, match=r"fused\.safetensors: sha256"):
        verify_release(release)
    assert Manifest.read(release)


def test_a_release_takes_no_base(call, made: Path, tmp_path: Path) -> None:
    command = ("sample", made, "a <potter>", "--base", "toyworld", "-o", tmp_path / "out.png")
    code, _, err = call(*command)
    assert code == 2
    assert "only a concept file takes a base" in err
