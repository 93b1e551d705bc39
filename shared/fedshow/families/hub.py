"""Bases from the hub: their folder in its cache, with no more files than are needed, never a pickle."""

from collections.abc import Collection
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedshow.errors import FedshowError, InvalidInput, Unreachable, first_line
from fedshow.families.family import Family
from fedshow.families.stored import choose
from fedshow.families.telling import INDEX, family_at, told_by

TRANSIENT_STATUS = (408, 429, 500, 502, 503, 504)
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def fetched(repo: str) -> Path:
    """The folder of a hub id, downloaded where it is not in the hub's cache; offline what is there.

    Raises InvalidInput when there is no such base or, offline, when it is not whole in the cache; Unreachable
    when the hub cannot be asked now and the cache does not have it either.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return _cached(repo, "HF_HUB_OFFLINE is set")
    foreseen: tuple[type[Exception], ...] = (OSError, ValueError, *_transport_errors())
    try:
        return _download(repo)
    except foreseen as error:
        refused = refusal(f"base {repo!r}", error)
    if not isinstance(refused, Unreachable):
        raise refused
    try:
        return _cached(repo, "the hub does not answer")
    except InvalidInput:
        raise refused from None


def _download(repo: str) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    listed = {file.rfilename for file in HfApi().model_info(repo).siblings or ()}
    if INDEX not in listed:
        raise InvalidInput(
            f"base {repo!r}: the hub has it, but no {INDEX} in it: not a diffusers folder"
        )
    family = told_by(Path(hf_hub_download(repo, INDEX)))
    return Path(snapshot_download(repo, allow_patterns=sorted(needed(family, listed, repo))))


def needed(family: Family, listed: Collection[str], repo: str) -> set[str]:
    """Of the files in a repository those to open it with; raises InvalidInput when weights are pickles."""
    wanted = {INDEX, "scheduler/scheduler_config.json"}
    for part, class_name in family.parts.items():
        inside = {name.removeprefix(f"{part}/") for name in listed if name.startswith(f"{part}/")}
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


def in_cache(repo: str, name: str) -> Path | None:
    """A file in the hub's cache, without asking the hub."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, name)
    return Path(found) if isinstance(found, str) else None


def refusal(what: str, error: BaseException) -> FedshowError:
    """What a failure to fetch or load means for the caller: another base, or another try."""
    if isinstance(error, FedshowError) and str(error).startswith(what):
        return error
    if cause := _network_trouble(error):
        return Unreachable(f"{what} cannot be fetched now: {first_line(cause)}")
    return InvalidInput(f"{what} cannot be loaded: {first_line(error)}")


def _network_trouble(error: BaseException | None) -> Any:
    """The error among the causes that time may heal: no answer from the hub, or a busy one."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    transient = (*_transport_errors(), ConnectionError, TimeoutError)
    while error is not None:
        if isinstance(error, HfHubHTTPError):
            return error if error.response.status_code in TRANSIENT_STATUS else None
        if isinstance(error, transient):
            return None if isinstance(error, OfflineModeIsEnabled) else error
        error = error.__cause__ or error.__context__
    return None


def _transport_errors() -> tuple[type[Exception], ...]:
    """Those of the library that the hub's client talks through, which changed its name."""
    found = (find_spec(name) and import_module(name) for name in ("httpx", "httpx2"))
    return tuple(library.TransportError for library in found if library)
