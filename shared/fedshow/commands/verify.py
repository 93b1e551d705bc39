"""`fedshow verify`: is a release folder what its manifest promises?"""

from pathlib import Path

import typer

from fedshow.commands.output import JSON_OPTION, byte_progress, print_json


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("verify")(verify)


def verify(
    folder: Path = typer.Argument(help="A release folder."), as_json: bool = JSON_OPTION
) -> None:
    """Checks every file of a release folder against its manifest; exit code 1 if a byte is wrong.

    Example: fedshow verify model
    """
    from fedshow.errors import InvalidInput
    from fedshow.releases import verify_release

    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder; verify needs a release folder")
    with byte_progress("verifying") as on_progress:
        manifest = verify_release(folder, on_progress)
    concepts = [member.name for member in manifest.concepts]
    if as_json:
        report = {"release": manifest.release, "files": len(manifest.files), "concepts": concepts}
        return print_json(report)
    listed = ", ".join(concepts) or "no concepts"
    return print(
        f"{folder}: release {manifest.release}, {len(manifest.files)} files ({listed}): good"
    )
