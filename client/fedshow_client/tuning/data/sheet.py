"""A contact sheet: every image with its subject's outline and the crops that tuning will see."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from fedshow.pictures import HALF
from fedshow_client.tuning.data.folder import Candidate
from fedshow_client.tuning.data.preview import Preview

CELL, TEXT, COLUMNS, MARGIN = 240, 52, 4, 8
FIRST, OTHERS, SUBJECT, REFUSED = (255, 214, 10), (255, 214, 10, 110), (0, 200, 255), (220, 30, 30)


def contact_sheet(previews: Sequence[Preview]) -> Image.Image:
    """One cell for each image: crops in yellow, the subject in blue, rejected ones crossed out in red."""
    columns = min(COLUMNS, max(1, len(previews)))
    rows = -(-len(previews) // columns)
    sheet = Image.new("RGB", (CELL * columns, (CELL + TEXT) * rows), "white")
    for number, preview in enumerate(previews):
        corner = (number % columns * CELL, number // columns * (CELL + TEXT))
        sheet.paste(_cell(preview), corner)
    return sheet


def _cell(preview: Preview) -> Image.Image:
    cell = Image.new("RGB", (CELL, CELL + TEXT), "white")
    draw = ImageDraw.Draw(cell, "RGBA")
    if preview.image.accepted:
        _draw_used(cell, draw, preview)
    else:
        _draw_rejected(cell, draw, preview.image)
    font = ImageFont.load_default(12)
    for line, (text, colour) in enumerate(_lines(preview)):
        draw.text((4, CELL + 2 + 16 * line), _fitted(text, font), fill=colour, font=font)
    return cell


def _draw_used(cell: Image.Image, draw: ImageDraw.ImageDraw, preview: Preview) -> None:
    image = preview.image
    left, top, scale = _paste(cell, image)

    def on_cell(box: Sequence[float]) -> tuple[float, ...]:
        x0, y0, x1, y1 = (edge * scale for edge in box)
        return left + x0, top + y0, left + x1 - 1, top + y1 - 1

    if mask := image.load_mask():
        size = (max(1, round(mask.width * scale)), max(1, round(mask.height * scale)))
        small = mask.resize(size, Image.Resampling.BOX).point(HALF)
        edge = Image.new("L", (size[0] + 2, size[1] + 2))
        edge.paste(small, (1, 1))
        edge = edge.filter(ImageFilter.FIND_EDGES).crop((1, 1, size[0] + 1, size[1] + 1))
        cell.paste(SUBJECT, (left, top), edge)
    for crop in preview.crops[1:]:
        draw.rectangle(on_cell(crop.outline), outline=OTHERS)
    draw.rectangle(on_cell(preview.crops[0].outline), outline=FIRST, width=2)


def _draw_rejected(cell: Image.Image, draw: ImageDraw.ImageDraw, image: Candidate) -> None:
    if image.shown:
        _paste(cell, image)
    for start, end in (((MARGIN, MARGIN), (CELL, CELL)), ((CELL, MARGIN), (MARGIN, CELL))):
        draw.line((*start, *end), fill=REFUSED, width=4)


def _paste(cell: Image.Image, image: Candidate) -> tuple[int, int, float]:
    """Puts the picture into the cell's middle; gives its left, its top and its scale there."""
    picture = image.load()
    scale = (CELL - 4 * MARGIN) / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    left, top = (CELL - size[0]) // 2, (CELL - size[1]) // 2
    cell.paste(picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), (left, top))
    return left, top, scale


def _lines(preview: Preview) -> list[tuple[str, str]]:
    """Name, what becomes of it, and what to know."""
    image = preview.image
    if image.reason:
        return [(image.path.name, "black"), (image.reason, "red")]
    width, height = preview.frame or (0, 0)
    title = f"{image.path.name}  {width}x{height}"
    return [
        (title, "black"),
        (preview.captions[0], "black"),
        *((note, "darkorange") for note in preview.notes[:1]),
    ]


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of the text as the cell is wide."""
    if font.getlength(text) <= CELL - 8:
        return text
    while text and font.getlength(text + "…") > CELL - 8:
        text = text[:-1]
    return text + "…"
