"""Flower's SuperNode with two rules of ours: it runs no bundle but the installed one, and it ends
when it no longer works.

This is the only place that touches Flower's private parts. Flower is pinned to one version; the
tests prove that a foreign bundle is refused. It pins code, not configuration: what the server sends
to our own app stays something to check.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

PULSE = "FEDSHOW_NODE_PULSE"
"""Environment: the file to touch whenever the server answered."""

LOST_CONNECTION = 75
"""Exit code when Flower's loop has ended while its process would have stayed."""


def installed_bundle() -> str:
    """sha256 of the only bundle that may run here, built from the installed package."""
    from fedshow.bundle import FOLDER
    from flwr.cli.build import build_fab_from_disk

    return hashlib.sha256(build_fab_from_disk(FOLDER)).hexdigest()


def main() -> None:
    """`flower-supernode` with its own arguments, restricted."""
    internal: Any = import_module("flwr.supernode.start_client_internal")
    program: Any = import_module("flwr.supernode.cli.flower_supernode")
    _pin(internal, installed_bundle())
    _feel_pulse(internal, Path(os.environ[PULSE]) if PULSE in os.environ else None)
    _end_when_lost(program)
    program.flower_supernode()


def _pin(internal: Any, allowed: str) -> None:
    """Uses the check made for signed bundles: the same refusal, decided by our digest."""

    def verify(fab: Any, _entities: Any) -> bool:
        digest = hashlib.sha256(fab.content).hexdigest()
        print(f"bundle {digest[:12]}: {'ours' if digest == allowed else 'REFUSED'}", flush=True)
        return bool(digest == allowed)

    internal._verify_fab = verify
    pull = internal._pull_and_store_message

    def pull_checked(**arguments: Any) -> Any:
        arguments["trusted_entities"] = {"installed": allowed}  # or nothing would be checked
        arguments["get_fab"] = _marked(arguments["get_fab"])
        return pull(**arguments)

    internal._pull_and_store_message = pull_checked


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
        with connect(*arguments, **options) as (node_id, receive, *others):

            def receive_and_tell() -> Any:
                message = receive()
                if pulse:
                    pulse.write_text(str(time.time()))
                return message

            yield (node_id, receive_and_tell, *others)

    internal.http_request_response = connected


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
