"""Flower's SuperNode with two rules of ours: it runs no bundle but the installed one, and it ends
when it no longer works.

This is the client's only place that touches Flower's private parts. Flower is pinned to one version; the
tests prove that a foreign bundle is refused. It pins code, not configuration: what the server sends
to our own app stays something to check.
"""

import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

PULSE = "FEDSHOW_NODE_PULSE"
"""Environment: the file to touch whenever the server answered."""
RECEIVE, PUSH_OBJECT = 1, 6
"""Their places among what Flower's connection is made of."""

MAX_BUNDLE_BYTES = 1 << 20

PIECE_BYTES = 256 << 10
"""Of a concept on its way up. Flower gives each piece 30 s, two at a time: its own 5 MB would never
arrive over an uplink of less than 350 kB/s."""

LOST_CONNECTION = 75
"""Exit code when Flower's loop has ended while its process would have stayed."""


def installed_bundle() -> dict[str, bytes]:
    """The files of the only bundle that may run here, built from the installed package."""
    from flwr.cli.build import build_fab_from_disk

    from fedshow.bundle import FOLDER

    return contents(build_fab_from_disk(FOLDER))


def contents(bundle: bytes) -> dict[str, bytes]:
    """Every file of a bundle; raises ValueError when it is not plainly one.

    Digests of bundles would not do: the same files are packed differently by another zlib.
    """
    try:
        with ZipFile(BytesIO(bundle)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > MAX_BUNDLE_BYTES:
                raise ValueError("larger than any bundle of ours")
            files = {entry.filename: archive.read(entry) for entry in entries}
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(str(error)) from error
    if len(files) != len(entries):
        raise ValueError("two files of the same name")
    return files


def main() -> None:
    """`flower-supernode` with its own arguments, restricted."""
    os.environ["FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE"] = str(PIECE_BYTES)  # Flower reads it once
    internal: Any = import_module("flwr.supernode.start_client_internal")
    program: Any = import_module("flwr.supernode.cli.flower_supernode")
    _pin(internal, installed_bundle())
    _feel_pulse(internal, Path(os.environ[PULSE]) if PULSE in os.environ else None)
    _end_when_lost(program)
    program.flower_supernode()


def _pin(internal: Any, allowed: dict[str, bytes]) -> None:
    """Uses the check made for signed bundles: the same refusal, decided by our own build."""

    def verify(fab: Any, _entities: Any) -> bool:
        ours = _is(fab.content, allowed)
        digest = hashlib.sha256(fab.content).hexdigest()
        print(f"bundle {digest[:12]}: {'ours' if ours else 'REFUSED'}", flush=True)
        return ours

    internal._verify_fab = verify
    pull = internal._pull_and_store_message

    def pull_checked(**arguments: Any) -> Any:
        arguments["trusted_entities"] = {"installed": ""}  # or nothing would be checked
        arguments["get_fab"] = _marked(arguments["get_fab"])
        return pull(**arguments)

    internal._pull_and_store_message = pull_checked


def _is(bundle: bytes, allowed: dict[str, bytes]) -> bool:
    try:
        return contents(bundle) == allowed
    except Exception:  # whatever it is, it is not ours
        return False


def _marked(get_fab: Callable[[str, int], Any]) -> Callable[[str, int], Any]:
    """Lets every bundle reach our check; Flower refuses unmarked ones before, with other words."""

    def get(digest: str, run_id: int) -> Any:
        fab = get_fab(digest, run_id)
        fab.verifications.setdefault("valid_license", "{}")
        return fab

    return get


def _feel_pulse(internal: Any, pulse: Path | None) -> None:
    connect = internal.http_request_response

    @contextmanager
    def connected(*arguments: Any, **options: Any) -> Iterator[Any]:
        with connect(*arguments, **options) as parts:
            told = list(parts)
            for place in (RECEIVE, PUSH_OBJECT):  # while it uploads, it asks for nothing
                told[place] = _telling(parts[place], pulse)
            yield tuple(told)

    internal.http_request_response = connected


def _telling(call: Callable[..., Any], pulse: Path | None) -> Callable[..., Any]:
    def call_and_tell(*arguments: Any, **options: Any) -> Any:
        answer = call(*arguments, **options)
        if pulse:
            pulse.write_text(str(time.time()))
        return answer

    return call_and_tell


def _end_when_lost(program: Any) -> None:
    """Flower logs a lost connection and leaves its loop, but its threads keep the process up."""
    start = program.start_client_internal

    def start_and_end(**arguments: Any) -> None:
        start(**arguments)
        print("the connection to the server is lost", flush=True)
        os._exit(LOST_CONNECTION)

    program.start_client_internal = start_and_end


if __name__ == "__main__":
    main()
