"""`fedshow check`: what tuning would make of a folder of images."""

from pathlib import Path
from typing import Any

import typer

from fedshow.commands.destination import output_file
from fedshow.commands.output import JSON_OPTION, print_json


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("check")(check)


def check(
    images: Path = typer.Argument(help="Folder with your pictures."),
    sheet: Path | None = typer.Option(None, help="Draw a contact sheet to this PNG."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Says for every image whether tuning would use it, and why not.

    Example: fedshow check ~/cat-pictures --sheet sheet.png
    """
    if sheet is not None:
        output_file(sheet, ".png")
    from fedshow_client.tuning.images import examine, scan

    folder = examine(images)
    if sheet is not None and folder.candidates:
        from fedshow_client.tuning.sheet import contact_sheet

        contact_sheet(folder).save(sheet, "PNG")
    rows: list[dict[str, Any]] = [
        {
            "file": c.path.name,
            "accepted": c.accepted,
            "reason": c.reason,
            "width": c.size[0],
            "height": c.size[1],
            "caption": c.caption,
            "mask": c.mask.name if c.mask else None,
        }
        for c in folder.candidates
    ]
    if as_json:
        print_json(rows)
    else:
        _print_rows(rows)
    scan(images)  # exit code 2 when nothing can be used


def _print_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        verdict = "ok" if row["accepted"] else f"rejected: {row['reason']}"
        extras = ", ".join(str(x) for x in (row["caption"], row["mask"]) if x)
        size = f"{row['width']}x{row['height']}"
        print(f"{row['file']}  {size}  {verdict}" + (f"  ({extras})" if extras else ""))
    print(f"{sum(row['accepted'] for row in rows)} of {len(rows)} images usable")
