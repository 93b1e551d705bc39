"""`fedshow check`: what tuning would make of a folder of images."""

from pathlib import Path

import typer

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
    from fedshow_client.tuning.images import scan

    folder = scan(images)
    if sheet is not None:
        from fedshow_client.tuning.sheet import contact_sheet

        contact_sheet(folder).save(sheet, "PNG")
    rows = [
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
        return print_json(rows)
    for row in rows:
        verdict = "ok" if row["accepted"] else f"rejected: {row['reason']}"
        extras = ", ".join(str(x) for x in (row["caption"], row["mask"]) if x)
        print(
            f"{row['file']}  {row['width']}x{row['height']}  {verdict}"
            + (f"  ({extras})" if extras else "")
        )
    return print(f"{len(folder.accepted)} of {len(rows)} images usable")
