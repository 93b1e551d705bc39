"""Flower's simulation engine runs the very apps that a federation runs, with a virtual node for each concept.

python -m benchmarks.federating.simulation DATA OUTBOXES COUNT

Nodes exist once the engine has made them, so that they are entered into the server's store, each with a small
outbox, by a ServerApp that then runs the installed one.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.federating.concepts import concept_file, header_of
from benchmarks.federating.size import Size
from fedshow.children import QUIET
from fedshow.families.card import BaseCard
from fedshow.families.opening import describe
from fedshow_client.flower_app import OUTBOXES
from fedshow_server.folder import DATA_VARIABLE, DataFolder, Facts
from fedshow_server.store import Offer, State, Store
from tests.stage.concepts import make_data
from tests.stage.waiting import eventually

BASE = "toyworld"
LONGEST_SECONDS = 3600.0
RAY_APART = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": "local"}
"""Ray tells nobody, and joins no cluster that somebody else has started here."""


def measure(work: Path, size: Size) -> dict[str, Any]:
    """Virtual nodes, concepts of theirs that the server took, and those that it did not."""
    data, outboxes = make_data(work / "data", describe(BASE), BASE), work / "outboxes"
    facts = Facts(
        name="localhost",
        address="localhost:1",
        grpc="localhost:2",
        database=f"sqlite:///{data / 'fedshow.db'}",
    )
    DataFolder(data).keep_facts(facts)
    started = time.monotonic()
    _run_apart(data, outboxes, size.virtual)
    return what_became(data) | {"simulation_seconds": time.monotonic() - started}


def what_became(data: Path) -> dict[str, Any]:
    """Of each concept in a data folder, all of them of virtual nodes."""
    store = DataFolder(data).open_store()
    concepts = store.concepts.all()
    store.close()
    left = [one for one in concepts if one.state is not State.ADMITTED]
    return {
        "virtual_clients": len(concepts),
        "virtual_admitted": len(concepts) - len(left),
        "virtual_left_out": [f"{one.name}: {one.state} {one.reason}".strip() for one in left],
    }


def _run_apart(data: Path, outboxes: Path, count: int) -> None:
    """The simulation as a process group of its own, which is gone afterwards."""
    command = [sys.executable, "-m", "benchmarks.federating.simulation"]
    with (data / "simulation.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, str(data), str(outboxes), str(count)],
            env=os.environ
            | QUIET
            | RAY_APART
            | {DATA_VARIABLE: str(data), OUTBOXES: str(outboxes)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        status = process.wait(LONGEST_SECONDS)
        assert status == 0, (data / "simulation.log").read_text()[-3000:]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    """Runs the simulation."""
    from flwr.app import Context
    from flwr.serverapp import Grid, ServerApp
    from flwr.simulation import run_simulation

    from fedshow_client.flower_app import app as client_app
    from fedshow_server.flower.app import app as server_app

    folder, outboxes = DataFolder(Path(sys.argv[1])), Path(sys.argv[2])
    count = int(sys.argv[3])
    entering = ServerApp()

    @entering.main()  # type: ignore[untyped-decorator]  # Flower has no types
    def enter_and_collect(grid: Grid, context: Context) -> None:
        eventually(lambda: len(list(grid.get_node_ids())) == count)
        described = folder.base()
        assert described is not None
        store = folder.open_store()
        for number, node_id in enumerate(grid.get_node_ids()):
            enter(store, described.card, number, node_id, outboxes / str(node_id))
        store.close()
        server_app(grid, context)

    run_simulation(
        server_app=entering,
        client_app=client_app,
        num_supernodes=count,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )


def enter(store: Store, card: BaseCard, number: int, node_id: int, outbox: Path) -> None:
    """A virtual node as a member, and its concept: in its outbox, and offered."""
    header, blob = header_of(number, card), concept_file(number, card)
    digest = sha256(blob).hexdigest()
    outbox.mkdir(parents=True)
    (outbox / f"{digest}.safetensors").write_bytes(blob)
    secret = store.members.invite(f"n{number:04d}", timedelta(hours=1))
    node, _ = store.members.join(secret, f"virtual {node_id}", node_id)
    store.concepts.submit(node.id, Offer(header.name, header.class_word, digest, len(blob)), 1)


if __name__ == "__main__":
    main()
