"""Pictures side by side, to compare them."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

CELL, GAP, LABEL = 96, 4, 210
Row = tuple[str, Sequence[Image.Image]]


def grid(rows: Sequence[Row], cell: int = CELL) -> Image.Image:
    """One labelled row of pictures under another, each within `cell` pixels; small ones stay sharp.

    Rows are as high as their pictures: wide ones leave no white above and below.
    """
    fitted = [(label, [_fit(image, cell) for image in images]) for label, images in rows]
    heights = [max(image.height for image in images) for _, images in fitted]
    columns = max(len(images) for _, images in fitted)
    size = (LABEL + columns * (cell + GAP) + GAP, sum(heights) + len(rows) * GAP + GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font, y = ImageDraw.Draw(sheet), ImageFont.load_default(15), GAP
    for (label, images), height in zip(fitted, heights, strict=True):
        draw.multiline_text((10, y + height // 2), label, "black", font, anchor="lm")
        for column, image in enumerate(images):
            x = LABEL + GAP + column * (cell + GAP)
            sheet.paste(image, (x + (cell - image.width) // 2, y + (height - image.height) // 2))
        y += height + GAP
    return sheet


def _fit(image: Image.Image, cell: int) -> Image.Image:
    kind = Image.Resampling.NEAREST if max(image.size) < cell else Image.Resampling.LANCZOS
    return ImageOps.contain(image.convert("RGB"), (cell, cell), kind)
