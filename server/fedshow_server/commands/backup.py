"""`fedshow server backup` and `restore`: everything that a server cannot make again, in one file."""

from pathlib import Path

import typer

from fedshow.commands.destination import output_file
from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import byte_progress, print_json, say
from fedshow_server.commands.options import DATA_OPTION, data_folder


def backup(
    file: Path = typer.Argument(help="The file to write; it holds private keys."),
    data: Path | None = DATA_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Writes members, concepts, releases and keys into one file, while the server runs or not.

    Example: fedshow server backup /backup/fedshow-monday.tar
    """
    from fedshow_server.folder import owners_store
    from fedshow_server.upkeep.backup import make_backup

    output_file(file)
    folder = data_folder(data)
    with owners_store(folder) as store:
        store.audit.happened("server.backed_up", file.name)
    with byte_progress("writing") as on_bytes:
        listing = make_backup(folder, file, on_bytes)
    for what in listing.left_out:
        say(f"not in the file: {what}")
    if as_json:
        return print_json(
            {"file": file, "bytes": file.stat().st_size, "left_out": listing.left_out}
        )
    return print(f"{file}: {len(listing.blobs)} files of content, {file.stat().st_size} bytes")


def restore(
    file: Path = typer.Argument(help="What `server backup` wrote."),
    data: Path = typer.Option(..., "--data", help="The new server's folder: empty, or none yet."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Makes a data folder out of a backup; everything in it is checked.

    Example: fedshow server restore /backup/fedshow-monday.tar --data /srv/fedshow
    """
    from fedshow_server.upkeep.backup import restore_backup

    with byte_progress("restoring") as on_bytes:
        listing = restore_backup(file, data.absolute(), say, on_bytes)
    for what in listing.left_out:
        say(f"was not in the file: {what}")
    if as_json:
        return print_json({"data": data, "created": listing.created.isoformat()})
    made = listing.created.isoformat(" ", "seconds")
    return print(f"{data}: as of {made}; start it with fedshow server run --data {data}")
