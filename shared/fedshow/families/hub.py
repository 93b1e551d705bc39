"""What the hub has: downloaded, or from its cache when it cannot be asked. Knows no families."""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedshow.errors import FedshowError, InvalidInput, Unreachable, first_line

TRANSIENT_STATUS = (408, 429, 500, 502, 503, 504)
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def fetched_files(repo: str, names: Sequence[str]) -> Path:
    """A base's folder in the hub's cache with those of these files that there are, the first among them.

    Raises InvalidInput when there is no such base, Unreachable when neither hub nor cache has it now.
    """
    from huggingface_hub import snapshot_download

    def download() -> Path:
        wanted = sorted(listed(repo).intersection(names))
        return Path(snapshot_download(repo, allow_patterns=wanted))

    def cached(why: str) -> Path:
        if (found := in_cache(repo, names[0])) is None:
            raise InvalidInput(f"base {repo!r} is not in the hub's cache, and {why}")
        return found.parent

    return asked(repo, download, cached)


def listed(repo: str) -> set[str]:
    """What files a repository has; asks the hub."""
    from huggingface_hub import HfApi

    return {file.rfilename for file in HfApi().model_info(repo).siblings or ()}


def asked(repo: str, download: Callable[[], Path], cached: Callable[[str], Path]) -> Path:
    """What is downloaded of a base, or found in the hub's cache, told why the hub is not asked.

    Raises InvalidInput when there is no such base or, offline, when the cache does not have it; Unreachable
    when the hub cannot be asked now and the cache does not have it either.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return cached("HF_HUB_OFFLINE is set")
    foreseen: tuple[type[Exception], ...] = (OSError, ValueError, *_transport_errors())
    try:
        return download()
    except foreseen as error:
        refused = refusal(f"base {repo!r}", error)
    if not isinstance(refused, Unreachable):
        raise refused
    try:
        return cached("the hub does not answer")
    except InvalidInput:
        raise refused.then(f"fedshow doctor --base {repo}") from None


def in_cache(repo: str, name: str) -> Path | None:
    """A file in the hub's cache, without asking the hub; None, too, for what is no hub id."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(repo, name)
    except ValueError:
        return None
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
