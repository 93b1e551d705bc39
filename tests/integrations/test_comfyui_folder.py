"""The folder that people put into ComfyUI: how it loads, what it needs, releases that it refuses."""

import ast
import importlib.util
import inspect
import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fedshow.transfer.forms import LORA_FILES
from integrations.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from integrations.comfyui.release import RefusedRelease, read_release

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"
THEIRS = {
    "CheckpointLoaderSimple": ({"ckpt_name"}, ("MODEL", "CLIP", "VAE")),
    "EmptyLatentImage": ({"width", "height", "batch_size"}, ("LATENT",)),
    "KSampler": (
        {"model", "positive", "negative", "latent_image", "seed", "steps", "cfg"}
        | {"sampler_name", "scheduler", "denoise"},
        ("LATENT",),
    ),
    "VAEDecode": ({"samples", "vae"}, ("IMAGE",)),
    "SaveImage": ({"images", "filename_prefix"}, ()),
}
"""ComfyUI's own nodes of the workflow: what each needs, and gives."""


def test_it_loads_as_comfyui_loads_a_folder(tmp_path: Path) -> None:
    """From a file, under a name that is a path, through a link."""
    (tmp_path / "fedshow").symlink_to(FOLDER)
    name = str(tmp_path / "fedshow").replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, tmp_path / "fedshow" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        for known in [known for known in sys.modules if known.startswith(name)]:
            del sys.modules[known]
    assert set(module.NODE_CLASS_MAPPINGS) == set(NODE_CLASS_MAPPINGS)


def test_it_needs_torch_and_safetensors_alone() -> None:
    """No fedshow, nothing to install, nothing that reads a pickle."""
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            for name in names:
                part = name.partition(".")[0]
                assert part in {"torch", "safetensors", *sys.stdlib_module_names}, file
                assert part not in {"pickle", "shelve", "marshal", "subprocess", "socket"}, file
        assert "torch.load" not in file.read_text()


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_a_node_asks_for_what_its_function_takes(name: str) -> None:
    node = NODE_CLASS_MAPPINGS[name]
    asked, function = node.INPUT_TYPES(), getattr(node(), node.FUNCTION)
    takes = inspect.signature(function).parameters
    assert set(takes) == {*asked["required"], *asked.get("optional", {})}
    free = {key for key, one in takes.items() if one.default is not inspect.Parameter.empty}
    assert free == set(asked.get("optional", {}))
    names = getattr(node, "RETURN_NAMES", node.RETURN_TYPES)
    assert len(names) == len(node.RETURN_TYPES)
    assert node.CATEGORY == "fedshow"
    assert name in NODE_DISPLAY_NAME_MAPPINGS
    for kind, *settings in [*asked["required"].values(), *asked.get("optional", {}).values()]:
        if kind == "FLOAT":
            assert settings[0]["min"] <= settings[0]["default"] <= settings[0]["max"]


def test_the_workflow_fits_together() -> None:
    """Every node known, every input given, every link from an output of its type."""
    workflow: dict[str, Any] = json.loads((FOLDER / "workflow.json").read_text())
    assert {one["class_type"] for one in workflow.values()} >= set(NODE_CLASS_MAPPINGS)
    gives = {
        number: NODE_CLASS_MAPPINGS[one["class_type"]].RETURN_TYPES
        if one["class_type"] in NODE_CLASS_MAPPINGS
        else THEIRS[one["class_type"]][1]
        for number, one in workflow.items()
    }
    for one in workflow.values():
        if (kind := one["class_type"]) in THEIRS:
            assert set(one["inputs"]) == THEIRS[kind][0]
            continue
        asked = NODE_CLASS_MAPPINGS[kind].INPUT_TYPES()
        assert set(asked["required"]) <= set(one["inputs"])
        types = {**asked["required"], **asked.get("optional", {})}
        for key, value in one["inputs"].items():
            if isinstance(value, list):
                assert gives[value[0]][value[1]] == types[key][0], key


@pytest.fixture
def lora(release: Path, tmp_path: Path) -> Path:
    """The release as `fedshow pull --format lora` leaves it, to spoil."""
    folder = tmp_path / "lora"
    folder.mkdir()
    for name in {*LORA_FILES, "manifest.json"}:
        shutil.copy(release / name, folder / name)
    return folder


def sign(folder: Path, **changes: Any) -> None:
    """The manifest says again what is in the folder."""
    about = json.loads((folder / "manifest.json").read_text()) | changes
    for name in LORA_FILES:
        about["files"][name]["sha256"] = sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(about))


def change(folder: Path, name: str, value: torch.Tensor) -> None:
    """One tensor of the fused weights, which the manifest then knows."""
    with safe_open(folder / "fused.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    save_file(tensors | {name: value}, folder / "fused.safetensors", metadata=metadata)
    sign(folder)


def test_both_forms_of_a_release_are_read(release: Path, lora: Path) -> None:
    whole, part = read_release(release), read_release(lora)
    assert (whole.release, whole.concepts) == (part.release, part.concepts)
    assert whole.concepts == {name: (f"<{name}1>", f"<{name}2>") for name in ("mimi", "potter")}
    assert not any(key.startswith("tokens.") for key in whole.update)


@pytest.mark.parametrize("name", sorted(LORA_FILES))
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_found_before_anything_is_loaded(lora: Path, name: str, damage: str) -> None:
    content = bytearray((lora / name).read_bytes())
    content[len(content) // 2] ^= 1
    (lora / name).write_bytes(content[:-7] if damage == "cut" else content)
    if damage == "remove":
        (lora / name).unlink()
    with pytest.raises(RefusedRelease, match=f"{name}: (sha256|No such file)"):
        read_release(lora)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "manifest.json is no manifest"),
        ("[]", "manifest.json is no manifest"),
        ('{"release": "a", "family": "sd1", "files": {}}', "fused.safetensors"),
        ('{"release": "a", "family": "sd1", "files": {"fused.safetensors": {}}}', "sha256"),
    ],
)
def test_a_broken_manifest_is_named(lora: Path, content: str, says: str) -> None:
    (lora / "manifest.json").write_text(content)
    with pytest.raises(RefusedRelease, match=says):
        read_release(lora)


def test_what_is_not_for_these_nodes_is_named(lora: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedRelease, match="choose a release folder"):
        read_release(tmp_path / "nowhere")
    before = NODE_CLASS_MAPPINGS["FedshowRelease"].IS_CHANGED(folder=str(lora))
    sign(lora, family="sd9")
    assert NODE_CLASS_MAPPINGS["FedshowRelease"].IS_CHANGED(folder=str(lora)) != before
    with pytest.raises(RefusedRelease, match="family 'sd9', these nodes know sd1, sdxl"):
        read_release(lora)
    sign(lora, family="sd1", format=2)
    with pytest.raises(RefusedRelease, match="format 2, these nodes know 1"):
        read_release(lora)


def test_numbers_that_are_none_and_rows_of_another_base_are_refused(lora: Path) -> None:
    rows = read_release(lora).rows["l"]["<mimi1>"].half()
    change(lora, "tokens.<mimi1>", rows * torch.nan)
    with pytest.raises(RefusedRelease, match="<mimi1> contains NaN"):
        read_release(lora)
    change(lora, "tokens.<mimi1>", rows[:-1])
    with pytest.raises(RefusedRelease, match=f"must be {len(rows)} rows"):
        read_release(lora)
