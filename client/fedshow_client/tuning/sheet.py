"""A contact sheet: what `fedshow check` found, at a glance."""

from PIL import Image, ImageDraw

from fedshow_client.tuning.images import Candidate, ImageFolder

CELL, TEXT, COLUMNS = 160, 28, 5


def contact_sheet(folder: ImageFolder) -> Image.Image:
    """One cell per image; rejected ones crossed out with their reason."""
    rows = -(-len(folder.candidates) // COLUMNS)
    sheet = Image.new("RGB", (CELL * COLUMNS, (CELL + TEXT) * rows), "white")
    for index, candidate in enumerate(folder.candidates):
        corner = (index % COLUMNS * CELL, index // COLUMNS * (CELL + TEXT))
        _draw_cell(sheet, candidate, corner)
    return sheet


def _draw_cell(sheet: Image.Image, candidate: Candidate, corner: tuple[int, int]) -> None:
    x, y = corner
    draw = ImageDraw.Draw(sheet)
    if candidate.size != (0, 0):
        picture = candidate.load()
        picture.thumbnail((CELL - 8, CELL - 8), Image.Resampling.LANCZOS)
        sheet.paste(picture, (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
    if not candidate.accepted:
        draw.line((x + 8, y + 8, x + CELL - 8, y + CELL - 8), fill="red", width=4)
    note = candidate.reason or candidate.caption or candidate.path.name
    draw.text((x + 4, y + CELL + 2), note[:26], fill="red" if candidate.reason else "black")
