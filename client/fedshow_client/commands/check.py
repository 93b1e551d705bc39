"""`fedshow check`: what tuning would make of a folder of images."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedshow.commands.destination import output_file
from fedshow.commands.options import BASE_OPTION, JSON_OPTION
from fedshow.commands.output import elapsed_progress, print_json, say

if TYPE_CHECKING:
    from fedshow_client.tuning.data.preview import Preview


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("check")(check)


def check(
    images: Path = typer.Argument(help="Folder with your pictures."),
    base: str = BASE_OPTION,
    name: str = typer.Option("your-concept", help="The concept's name, as captions will say it."),
    class_word: str = typer.Option("thing", "--class", help="One word for the kind of thing."),
    sheet: Path | None = typer.Option(None, help="Draw a contact sheet to this PNG."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Says for every image whether and how tuning would use it, and why.

    Example: fedshow check ~/cat-pictures --class cat --sheet sheet.png
    """
    if sheet is not None:
        output_file(sheet, ".png")
    with elapsed_progress("looking at the images"):
        from fedshow_client.tuning.data.checking import check_folder
        from fedshow_client.tuning.data.folder import require_usable

        found = check_folder(images, base, name, class_word)
    if sheet is not None and found.previews:
        from fedshow_client.tuning.data.sheet import contact_sheet

        contact_sheet(found.previews).save(sheet, "PNG")
    if as_json:
        print_json([preview.facts() for preview in found.previews])
    else:
        _print_for_people(found.previews, found.lines)
    for note in found.notes:
        say(f"note: {note}")
    require_usable(images, found.folder)  # exit code 2 when nothing can be used


def _print_for_people(previews: "list[Preview]", lines: list[str]) -> None:
    for found in previews:
        width, height = found.image.size
        print(f"{found.image.path.name}  {width}x{height}  {_verdict(found)}")
        for note in found.notes:
            print(f"    {note}")
    for line in lines:
        print(line)


def _verdict(found: "Preview") -> str:
    if found.frame is None:
        return f"rejected: {found.image.reason}"
    shown = f"ok: {len(found.crops)} crops at {found.frame[0]}x{found.frame[1]}"
    mask = f", {found.image.mask.name}" if found.image.mask else ""
    more = f" (and {len(found.captions) - 1} more)" if len(found.captions) > 1 else ""
    return f'{shown}{mask}, "{found.captions[0]}"{more}'
