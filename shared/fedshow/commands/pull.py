"""`fedshow pull`: a server's fused checkpoint, verified, in one piece."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedshow.commands.completing import servers
from fedshow.commands.destination import output_folder
from fedshow.commands.options import JSON_OPTION, WAIT_OPTION
from fedshow.commands.output import byte_progress, elapsed_progress, print_json, say_waiting
from fedshow.formats.pulled import RELEASE, check_checkpoint_folder, make_checkpoint_folder
from fedshow.transfer.forms import FILES_OF, Form

if TYPE_CHECKING:
    from fedshow.releases import Manifest
    from fedshow.transfer.servers import KnownServer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("pull")(pull)


def pull(
    server: str = typer.Argument(
        autocompletion=servers, help="A joined server, by name; SERVER@RELEASE for one release."
    ),
    out: Path = typer.Option(..., "--output", "-o", help="Folder for the release."),
    form: Form = typer.Option(
        Form.diffusers,
        "--format",
        help="The whole pipeline, only the fused LoRA with tokens, or a single-file checkpoint.",
    ),
    wait: float = WAIT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Downloads a release: resumes where it stopped, verifies every byte, appears all at once.

    A single file is made here of the verified pipeline: OUT/model.safetensors, words beside it.

    Example: fedshow pull home@latest -o model
    """
    output_folder(out)
    out_folder = out.resolve()
    if form is Form.single_file:
        check_checkpoint_folder(out_folder)
    from fedshow.transfer.servers import find_server, home_folder
    from fedshow.transfer.staging import staged

    name, _, release = server.partition("@")
    found = find_server(name, home_folder())
    fetch = partial(_fetch, found, release or "latest", form, wait)
    if form is Form.single_file:
        with staged(out_folder) as staging:
            manifest = fetch(staging / RELEASE)
            with elapsed_progress("converting"):
                make_checkpoint_folder(out_folder, staging)
    else:
        manifest = fetch(out)
    concepts = [member.name for member in manifest.concepts]
    if as_json:
        return print_json({"release": manifest.release, "concepts": concepts, "folder": str(out)})
    return print(f"{out}: release {manifest.release} with {', '.join(concepts) or 'no concepts'}")


def _fetch(found: "KnownServer", release: str, form: Form, wait: float, place: Path) -> "Manifest":
    """Pulls the release, or what the form takes of it, into the folder `place`."""
    from fedshow.transfer.connection import Connection
    from fedshow.transfer.folder import pull_release
    from fedshow.transfer.servers import home_folder

    with (
        Connection(found) as connection,
        byte_progress("pulling") as on_progress,
    ):
        return pull_release(
            connection,
            release,
            place,
            only=FILES_OF[form],
            patience_seconds=wait,
            on_wait=say_waiting,
            on_progress=on_progress,
            others=[found.copy_folder(home_folder(), kept) for kept in Form],
        )
