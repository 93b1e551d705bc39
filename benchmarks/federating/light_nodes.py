"""Many nodes in one process: each speaks as Flower's SuperNode does, and answers with the client's own app.

python -m benchmarks.federating.light_nodes HOST:PORT CA FOLDER...

A folder a node, with its `key` and its `outbox`. What is left out is a program of its own for each node, and
a process for each message: the server sees the same calls. Prints a line as soon as a node is online.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.app import Context, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    pull_and_inflate_object_from_tree,
    push_objects,
)
from flwr.supernode.fleet_http_connection import http_request_response

from fedshow_client.flower_app import OUTBOX, app
from fedshow_client.supernode import contents, installed_bundle

PAUSE_SECONDS = 3.0
"""As Flower's own loop, when there was no message."""


def main() -> None:
    """Keeps all of them online until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("ca", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    args = parser.parse_args()
    ca_pem, bundle = args.ca.read_bytes(), installed_bundle()
    threads = [
        Thread(target=stay_online, args=(args.address, ca_pem, folder, bundle))
        for folder in args.folders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def stay_online(address: str, ca_pem: bytes, folder: Path, bundle: dict[str, bytes]) -> None:
    """One node's life; a SuperNode ends when the server answers with an error: its daemon starts another."""
    key = load_ssh_private_key((folder / "key").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    keys = (key, key.public_key())
    for start in count():
        with http_request_response(address, False, ca_pem, keys) as (node_id, *calls):
            if not start:
                sys.stdout.write(f"{folder.name}\n")  # in one piece: others say so at the same time
                sys.stdout.flush()
            node = _Node(node_id, folder / "outbox", bundle, *calls)
            while True:
                if not node.step():
                    time.sleep(PAUSE_SECONDS)
        time.sleep(PAUSE_SECONDS)


@dataclass
class _Node:
    """What a SuperNode does with a message; the calls are Flower's own."""

    node_id: int
    outbox: Path
    bundle: dict[str, bytes]
    receive: Callable[[], Any]
    send: Callable[..., Any]
    get_run: Callable[[int], Any]
    get_fab: Callable[[str, int], Any]
    pull_object: Callable[[int, str], bytes]
    push_object: Callable[[int, str, str, bytes], None]
    confirm: Callable[[int, str], None]
    runs: set[int] = field(default_factory=set)

    def step(self) -> bool:
        """Answers one message, if there is one."""
        if (received := self.receive()) is None:
            return False
        message, tree = received
        run_id = message.metadata.run_id
        self._know(run_id)
        question = pull_and_inflate_object_from_tree(
            tree,
            partial(self.pull_object, run_id),
            partial(self.confirm, run_id),
            return_type=Message,
        )
        question.metadata.__dict__["_message_id"] = tree.object_id  # as flwr-clientapp does
        started = time.monotonic()
        config = {OUTBOX: str(self.outbox)}
        answer = app(question, Context(run_id, self.node_id, config, RecordDict(), {}))
        self._push(run_id, answer, time.monotonic() - started)
        return True

    def _know(self, run_id: int) -> None:
        """A run that is new: its bundle has to be ours."""
        if run_id not in self.runs:
            run = self.get_run(run_id)
            assert contents(self.get_fab(run.fab_hash, run_id).content) == self.bundle
            self.runs.add(run_id)

    def _push(self, run_id: int, answer: Message, seconds: float) -> None:
        answer.metadata.__dict__["_message_id"] = answer.object_id
        with no_object_id_recompute():
            tree = get_object_tree(answer)
            wanted, session = self.send(answer, tree, seconds)
            push_objects(
                get_all_nested_objects(answer),
                partial(self.push_object, run_id, session),
                object_ids_to_push=wanted,
            )


if __name__ == "__main__":
    main()
