"""`fedshow sample`: pictures from a release, a concept file or a base."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedshow.commands.destination import output_file
from fedshow.commands.output import JSON_OPTION, print_json, step_progress

if TYPE_CHECKING:
    from fedshow.sampling.model import Drawing


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("sample")(sample)


def sample(
    model: str = typer.Argument(help="A release folder, a concept file or a base."),
    prompt: str = typer.Argument(help="What to draw; concepts as <name>."),
    out: Path = typer.Option(
        ..., "--output", "-o", help="PNG to write; with --n more, NAME-2.png and so on."
    ),
    base: str | None = typer.Option(None, help="Base of a concept file (default toyworld)."),
    region: list[str] = typer.Option(
        [], help="'x0,y0,x1,y1: prompt', fractions of width and height; repeatable."
    ),
    negative: str = typer.Option("", help="What not to draw."),
    steps: int = typer.Option(20, min=1, max=1000, help="Denoising steps."),
    guidance: float | None = typer.Option(
        None, help="Classifier-free guidance (default suits the base)."
    ),
    seed: int = typer.Option(0, min=0, help="Same seed, same picture."),
    n: int = typer.Option(1, "--n", min=1, max=64, help="How many pictures."),
    scale: float = typer.Option(
        1.0, min=0, max=4, help="Adapter strength; 0 shows the embedding alone."
    ),
    width: int | None = typer.Option(None, help="Pixels (default: the base's)."),
    height: int | None = typer.Option(None, help="Pixels (default: the base's)."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Draws pictures, plain or with one prompt per region.

    Example: fedshow sample fused "a <potter> and a <mimi>" --region "0,0,.5,1: a <potter>"
    --region ".5,0,1,1: a <mimi>" -o picture.png
    """
    output_file(out, ".png")
    from fedshow.device import choose_device
    from fedshow.sampling.model import load
    from fedshow.sampling.regions import Region

    regions = [Region.parse(spec) for spec in region]
    with step_progress("drawing") as on_step:
        drawing = load(model, base, choose_device(device))(
            prompt,
            regions=regions,
            negative=negative,
            steps=steps,
            guidance=guidance,
            seed=seed,
            n=n,
            scale=scale,
            width=width,
            height=height,
            on_step=on_step,
        )
    paths = _save(drawing, out)
    if as_json:
        return print_json({"files": [str(path) for path in paths], "seeds": drawing.seeds})
    return print("\n".join(str(path) for path in paths))


def _save(drawing: "Drawing", out: Path) -> list[Path]:
    """The files of the pictures: the one asked for, then NAME-2.png and so on."""
    count = len(drawing.images)
    paths = [out] + [out.with_name(f"{out.stem}-{k}{out.suffix}") for k in range(2, count + 1)]
    for path, image in zip(paths, drawing.images, strict=True):
        image.save(path, "PNG")
    return paths
