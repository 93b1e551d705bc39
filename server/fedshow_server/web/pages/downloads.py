"""The ways to take a release home: what to press, what it is, and what to type instead."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedshow.releases import FileEntry
from fedshow.releases.file_names import FUSED, MANIFEST
from fedshow.transfer.forms import Form
from fedshow_server.store import Release
from fedshow_server.web.archives import SUFFIX, Archive
from fedshow_server.web.hub import NAMESPACE
from fedshow_server.web.pages.places import RELEASES


@dataclass(frozen=True)
class Way:
    """One of them."""

    name: str
    about: str
    command: str
    link: str = ""
    """Where the button leads; without one there is none."""
    size_bytes: int = 0
    sha256: str = ""
    """Of the file; of the folder that of its manifest, which names all others."""


def archive_of(release: Release, files: Mapping[str, FileEntry]) -> Archive:
    """All its files in a folder named after it."""
    return Archive(name_of(release), files, release.created)


def name_of(release: Release) -> str:
    """What its folder is called."""
    return f"fedshow-{release.id}"


def ways_to_have(release: Release, files: Mapping[str, FileEntry], server: str) -> list[Way]:
    """Every format that there is, with the command of one line for each."""
    pull = f"fedshow pull {server}@{release.id}"
    whole = Way(
        name="Diffusers folder",
        about="everything, in one tar file; plain diffusers loads it",
        command=f"{pull} -o model",
        link=f"{RELEASES}/{release.id}/{name_of(release)}{SUFFIX}",
        size_bytes=archive_of(release, files).size_bytes,
        sha256=files[MANIFEST].sha256,
    )
    single = Way(
        name="Single file",
        about="one checkpoint for A1111 and ComfyUI, made on your machine of the folder",
        command=f"{pull} --format {Form.single_file} -o model",
    )
    hub = Way(
        name="Hugging Face",
        about="with the hub's own program, once fedshow hub has told it of this server",
        command=f"hf download {NAMESPACE}/{release.id} --local-dir model",
    )
    return [whole, *_lora(release, files, pull), single, hub]


def _lora(release: Release, files: Mapping[str, FileEntry], pull: str) -> list[Way]:
    entry = files.get(FUSED)
    if entry is None:
        return []
    return [
        Way(
            name="LoRA",
            about="the fused update with all words, for whoever has the base",
            command=f"{pull} --format {Form.lora} -o model",
            link=f"/releases/{release.id}/{FUSED}",
            size_bytes=entry.size_bytes,
            sha256=entry.sha256,
        )
    ]
