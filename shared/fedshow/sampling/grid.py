"""Pictures side by side, to compare them."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

CELL, GAP, LABEL = 96, 4, 210
Row = tuple[str, Sequence[Image.Image]]


def grid(rows: Sequence[Row], cell: int = CELL) -> Image.Image:
    """One labelled row of pictures under another, each within `cell` pixels; small ones stay sharp."""
    columns = max(len(images) for _, images in rows)
    size = (LABEL + columns * (cell + GAP) + GAP, len(rows) * (cell + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for line, (label, images) in enumerate(rows):
        y = GAP + line * (cell + GAP)
        draw.multiline_text((10, y + cell // 2), label, "black", font, anchor="lm")
        for column, image in enumerate(images):
            sheet.paste(_fit(image, cell), (LABEL + GAP + column * (cell + GAP), y))
    return sheet


def _fit(image: Image.Image, cell: int) -> Image.Image:
    kind = Image.Resampling.NEAREST if max(image.size) < cell else Image.Resampling.LANCZOS
    return ImageOps.pad(image.convert("RGB"), (cell, cell), kind, color="white")
