"""`fedshow pull`: a server's fused checkpoint, verified, in one piece."""

from enum import StrEnum
from pathlib import Path

import typer

from fedshow.commands.destination import output_folder
from fedshow.commands.output import JSON_OPTION, byte_progress, print_json, say_waiting
from fedshow.commands.releases import WAIT_OPTION


class Form(StrEnum):
    """What to download."""

    diffusers = "diffusers"
    lora = "lora"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("pull")(pull)


def pull(
    server: str = typer.Argument(help="A joined server, by name; SERVER@RELEASE for one release."),
    out: Path = typer.Option(..., "--output", "-o", help="Folder for the release."),
    form: Form = typer.Option(
        Form.diffusers, "--format", help="The whole pipeline, or only the fused LoRA with tokens."
    ),
    wait: float = WAIT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Downloads a release: resumes where it stopped, verifies every byte, appears all at once.

    Example: fedshow pull home@latest -o model
    """
    output_folder(out)
    from fedshow.transfer.connection import Connection
    from fedshow.transfer.folder import LORA_FILES, pull_release
    from fedshow.transfer.servers import find_server, home_folder

    name, _, release = server.partition("@")
    with (
        Connection(find_server(name, home_folder())) as connection,
        byte_progress("pulling") as on_progress,
    ):
        manifest = pull_release(
            connection,
            release or "latest",
            out,
            only=LORA_FILES if form is Form.lora else None,
            patience_seconds=wait,
            on_wait=say_waiting,
            on_progress=on_progress,
        )
    concepts = [member.name for member in manifest.concepts]
    if as_json:
        return print_json({"release": manifest.release, "concepts": concepts, "folder": str(out)})
    return print(f"{out}: release {manifest.release} with {', '.join(concepts) or 'no concepts'}")
