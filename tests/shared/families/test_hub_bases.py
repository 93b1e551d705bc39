"""Bases of the hub: only what is needed, never a pickle, and from the cache without the hub."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from fedshow.errors import InvalidInput, Unreachable
from fedshow.families import open_base
from fedshow_client.tuning.data.bases import frame_and_width
from tests.stage import stored
from tests.stage.hub import Hub

ID = "people/model"
EXTRAS = (
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "vae/diffusion_pytorch_model.bin",
    "text_encoder/pytorch_model.bin",
    "text_encoder/flax_model.msgpack",
    "safety_checker/model.safetensors",
    "feature_extractor/preprocessor_config.json",
    "v1-5-pruned.ckpt",
    "v1-5-pruned.safetensors",
)
NAMED = {
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "requires_safety_checker": True,
}
"""What the indexes of such bases name and nothing here reads."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored.make_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with this base and all that lies beside such bases; its cache is this test's own."""
    from huggingface_hub import constants

    repo = shutil.copytree(folder, tmp_path / "repo")
    index = json.loads((repo / "model_index.json").read_text())
    (repo / "model_index.json").write_text(json.dumps(index | NAMED))
    for name in EXTRAS:
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_bytes(b"\x80\x04.")
    with Hub({ID: repo}) as server:
        point_at(server.address, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def point_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does when the library is imported."""
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def silence(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at("http://127.0.0.1:9", monkeypatch)


def test_only_what_is_needed_is_downloaded(hub: Hub, folder: Path) -> None:
    opened = open_base(ID)
    needed = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert hub.asked == needed
    assert opened.card.name == ID
    assert opened.card.sha256 == open_base(str(folder)).card.sha256


def test_halves_are_taken_where_there_is_nothing_else(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    hub.repos[ID] = stored.sharded(folder, tmp_path / "halves", ".fp16")
    opened = open_base(ID)
    assert sum(name.endswith(".safetensors") for name in hub.asked) == 6
    assert opened.card.sha256 == open_base(str(folder)).card.sha256


@pytest.mark.parametrize("gone", [offline, silence])
def test_what_was_downloaded_opens_without_the_hub(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, gone
) -> None:
    first = open_base(ID).card
    gone(monkeypatch) if gone is offline else gone(hub, monkeypatch)
    hub.asked.clear()
    assert open_base(ID).card == first
    assert not hub.asked


def test_offline_and_not_in_the_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    with pytest.raises(InvalidInput, match="not in the hub's cache, and HF_HUB_OFFLINE is set"):
        open_base(ID)


def test_offline_and_not_whole_in_the_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(ID, allow_patterns=["*.json"])
    offline(monkeypatch)
    with pytest.raises(InvalidInput, match=r"not whole .*HF_HUB_OFFLINE.*model.safetensors is mis"):
        open_base(ID)


def test_not_in_the_cache_and_the_hub_is_silent(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    silence(hub, monkeypatch)
    with pytest.raises(Unreachable, match=f"base '{ID}' cannot be fetched now"):
        open_base(ID)


def test_sizes_are_read_from_three_small_files(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert frame_and_width(ID) == frame_and_width(str(folder))
    parts = ("unet", "vae", "text_encoder")
    assert hub.asked == {"model_index.json", *(f"{part}/config.json" for part in parts)}
    hub.asked.clear()
    silence(hub, monkeypatch)
    assert frame_and_width(ID) == frame_and_width(str(folder)), "from the cache"
    assert not hub.asked


def test_sizes_that_cannot_be_asked_for_are_refused_as_bases_are(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match="base 'people/other' cannot be loaded"):
        frame_and_width("people/other")
    silence(hub, monkeypatch)
    with pytest.raises(Unreachable, match=f"base '{ID}' cannot be fetched now"):
        frame_and_width(ID)
    offline(monkeypatch)
    with pytest.raises(InvalidInput, match=f"'{ID}' is not in the hub's cache, and HF_HUB_OFFLINE"):
        frame_and_width(ID)


def test_pickles_are_not_even_downloaded(hub: Hub) -> None:
    for weights in hub.repos[ID].glob("unet/*.safetensors"):
        weights.unlink()
    with pytest.raises(InvalidInput, match=rf"'{ID}'.*no safetensors in unet/; pickles are never"):
        open_base(ID)
    assert hub.asked == {"model_index.json"}


def test_no_diffusers_folder(hub: Hub) -> None:
    (hub.repos[ID] / "model_index.json").unlink()
    with pytest.raises(InvalidInput, match=rf"'{ID}'.*no model_index.json in it"):
        open_base(ID)
