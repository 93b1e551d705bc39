"""`fedshow server prune`: room on the disk, and withdrawn concepts gone for good."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import print_json, step_progress
from fedshow_server.commands.options import DATA_OPTION, data_folder

if TYPE_CHECKING:
    from fedshow_server.store import Release


def prune(
    data: Path | None = DATA_OPTION,
    older_than: float | None = typer.Option(
        None,
        min=0,
        max=36_500,
        help="Days: also releases of earlier that are nobody's latest.",
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would go; delete nothing."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Deletes releases with withdrawn concepts, and files of concepts that are out; the server may run.

    Out are concepts that were withdrawn, removed, refused or replaced. Copies that clients have stay.

    Example: fedshow server prune --older-than 90 --dry-run
    """
    from fedshow_server.folder import owners_store
    from fedshow_server.upkeep.pruning import find_prunable
    from fedshow_server.upkeep.pruning import prune as run

    folder = data_folder(data)
    days = None if older_than is None else timedelta(days=older_than)
    with owners_store(folder) as store:
        found = find_prunable(store, days)
        if dry_run:
            freed = None
        else:
            with step_progress("deleting") as on_progress:
                freed = run(store, folder, found, on_progress)
    if as_json:
        releases = [release.id for release in found.releases]
        listed = {"releases": releases, "concepts": [one.name for one in found.concepts]}
        return print_json(listed | ({"files": freed.files, "bytes": freed.bytes} if freed else {}))
    for release in found.releases:
        print(f"release {release.id}, {_why(release)}")
    for concept in found.concepts:
        print(f"file of {concept.name}, {concept.state}, {concept.size_bytes} bytes")
    if freed is None:
        return print("nothing was deleted (--dry-run)")
    return print(f"{freed.files} files deleted, {freed.bytes} bytes")


def _why(release: "Release") -> str:
    made = f"{release.created:%Y-%m-%d}"
    return f"of {made}, with {', '.join(release.withdrawn)}" if release.withdrawn else f"of {made}"
