"""Flower's ServerApp: collects the wanted concepts into the server's store. Never imports torch."""

import os
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedshow_server.flower.admitting import Admission
from fedshow_server.flower.handovers import Handovers
from fedshow_server.folder import DATA_VARIABLE, DataFolder

app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]  # Flower has no types
def collect(grid: Grid, context: Context) -> None:
    """One run; where the store is comes from our own environment, never from the run."""
    folder = DataFolder(Path(os.environ[DATA_VARIABLE]))
    described = folder.base()
    assert described is not None, "the server describes its base before it starts runs"
    store = folder.open_store()
    try:
        Handovers(grid, context.run_id, store, Admission(store, described.card)).run()
    finally:
        store.close()
