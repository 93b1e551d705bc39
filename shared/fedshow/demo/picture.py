"""grid.png: what went in, what came out, and what averaging would have made of it."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

CELL, GAP, LABEL = 96, 4, 210
Row = tuple[str, Sequence[Image.Image]]


def grid(rows: Sequence[Row]) -> Image.Image:
    """One labelled row of pictures under another, small ones enlarged without smoothing."""
    columns = max(len(images) for _, images in rows)
    size = (LABEL + columns * (CELL + GAP) + GAP, len(rows) * (CELL + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for line, (label, images) in enumerate(rows):
        y = GAP + line * (CELL + GAP)
        draw.multiline_text((10, y + CELL // 2), label, "black", font, anchor="lm")
        for column, image in enumerate(images):
            sheet.paste(_fit(image), (LABEL + GAP + column * (CELL + GAP), y))
    return sheet


def _fit(image: Image.Image) -> Image.Image:
    kind = Image.Resampling.NEAREST if image.width < CELL else Image.Resampling.LANCZOS
    return image.convert("RGB").resize((CELL, CELL), kind)
