"""Bases from the hub: their folder in its cache, with no more files than are needed, never a pickle."""

from collections.abc import Collection
from pathlib import Path

from fedshow.errors import InvalidInput
from fedshow.families.family import Family
from fedshow.families.hub import TOKENIZER_FILES, asked, in_cache, listed
from fedshow.families.locating import INDEX
from fedshow.families.stored import choose
from fedshow.families.telling import family_at, told_by


def fetched(repo: str) -> Path:
    """The folder of a hub id, downloaded where it is not in the hub's cache; offline what is there.

    Raises InvalidInput when there is no such base or, offline, when it is not whole in the cache; Unreachable
    when the hub cannot be asked now and the cache does not have it either.
    """
    return asked(repo, lambda: _download(repo), lambda why: _cached(repo, why))


def _download(repo: str) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download

    names = listed(repo)
    if INDEX not in names:
        raise InvalidInput(
            f"base {repo!r}: the hub has it, but no {INDEX} in it: not a diffusers folder"
        )
    family = told_by(Path(hf_hub_download(repo, INDEX)))
    return Path(snapshot_download(repo, allow_patterns=sorted(needed(family, names, repo))))


def needed(family: Family, there: Collection[str], repo: str) -> set[str]:
    """Of the files in a repository those to open it with; raises InvalidInput when weights are pickles."""
    wanted = {INDEX, "scheduler/scheduler_config.json"}
    for part, class_name in family.parts.items():
        inside = {name.removeprefix(f"{part}/") for name in there if name.startswith(f"{part}/")}
        if class_name == "CLIPTokenizer":
            names = inside.intersection(TOKENIZER_FILES)
        else:
            names = {"config.json", *choose(inside)}
            if len(names) == 1:
                raise InvalidInput(
                    f"base {repo!r}: the hub has no safetensors in {part}/; pickles are never opened"
                )
        wanted |= {f"{part}/{name}" for name in names}
    return wanted


def _cached(repo: str, why: str) -> Path:
    """The snapshot in the hub's cache; raises InvalidInput unless all files are there."""
    if (index := in_cache(repo, INDEX)) is None:
        raise InvalidInput(f"base {repo!r} is not in the hub's cache, and {why}")
    folder = index.parent
    try:
        family_at(folder)
    except InvalidInput as error:
        raise InvalidInput(
            f"base {repo!r} is not whole in the hub's cache, and {why}: {error}"
        ) from None
    return folder
