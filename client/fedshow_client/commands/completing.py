"""Names of this user's concepts, for the shell to complete."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing


def concepts(incomplete: str) -> Iterator[str]:
    """Completes the name of a concept in the queue here; no name where that cannot be read."""
    from fedshow.transfer.servers import home_folder
    from fedshow_client.home import Home

    file = Home(home_folder()).database
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT DISTINCT name FROM jobs ORDER BY name").fetchall()
    except sqlite3.Error:
        return iter(())
    return (name for (name,) in rows if name.startswith(incomplete))
