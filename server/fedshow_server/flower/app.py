"""Flower's ServerApp: collects the wanted concepts into the server's store. Never imports torch."""

import os
from pathlib import Path
from threading import Timer

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedshow_server.flower.admitting import Admission
from fedshow_server.flower.handovers import Handovers
from fedshow_server.folder import DATA_VARIABLE, DataFolder

LAST_SECONDS = 60.0
"""Within these Flower has told that the run is over."""

app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]  # Flower has no types
def collect(grid: Grid, context: Context) -> None:
    """One run; where the store is comes from our own environment, never from the run."""
    folder = DataFolder(Path(os.environ[DATA_VARIABLE]))
    described = folder.base()
    assert described is not None, "the server describes its base before it starts runs"
    store = folder.open_store()
    handovers = Handovers(grid, context.run_id, store, Admission(store, described.card))
    try:
        handovers.run()
    finally:
        store.close()
        if handovers.under_way:
            _end_soon()


def _end_soon() -> None:
    """Ends this process although Flower would wait in it, for two hours, for an upload that broke off."""
    timer = Timer(LAST_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()
