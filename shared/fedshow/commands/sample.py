"""`fedshow sample`: pictures from a release, a concept file or a base."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedshow.commands.completing import BASE, words
from fedshow.commands.destination import output_file
from fedshow.commands.options import DEVICE_OPTION, JSON_OPTION
from fedshow.commands.output import elapsed_progress, print_json, say, step_progress
from fedshow.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image

    from fedshow.families import Base
    from fedshow.sampling.carried import Origin
    from fedshow.sampling.conditions import Condition
    from fedshow.sampling.drawing import Drawing
    from fedshow.sampling.judging import Judge, Scores
    from fedshow.sampling.model import Model
    from fedshow.sampling.recipe import Recipe
    from fedshow.sampling.regions import Region


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("sample")(sample)


def sample(
    model: str | None = typer.Argument(None, help="A release folder, a concept file or a base."),
    prompt: str | None = typer.Argument(None, help="What to draw; concepts as <name>."),
    out: Path = typer.Option(
        ..., "--output", "-o", help="PNG to write; with --n more, NAME-2.png and so on."
    ),
    base: str | None = typer.Option(
        None, autocompletion=BASE, help="Base of a concept file (default toyworld)."
    ),
    region: list[str] = typer.Option(
        [], help="'x0,y0,x1,y1: prompt', fractions of width and height; repeatable."
    ),
    region_mask: list[str] = typer.Option(
        [], help="'mask.png: prompt', white where it is; lies above boxes; repeatable."
    ),
    overlap: str | None = typer.Option(
        None,
        autocompletion=words("average", "priority"),
        help="Where regions overlap: average (default), or priority: later ones lie above.",
    ),
    negative: str | None = typer.Option(None, help="What not to draw."),
    control: list[str] = typer.Option(
        [], help="'TYPE=PNG' for a ControlNet: sketch, pose, depth or a folder; repeatable."
    ),
    adapter: list[str] = typer.Option(
        [], help="'TYPE=PNG' for a T2I-Adapter: sketch, pose, depth or a folder; repeatable."
    ),
    image: Path | None = typer.Option(None, help="Picture to begin with."),
    strength: float | None = typer.Option(
        None, help="How much of --image is drawn anew, up to 1 (default 0.6)."
    ),
    separation: float | None = typer.Option(
        None, help="How far regions look away from each other, 0 to 1 (default 0)."
    ),
    presence: float | None = typer.Option(
        None, help="How hard concepts are called into their regions, 0 to 1 (default 0)."
    ),
    layout: float | None = typer.Option(
        None, help="Share of the steps before adapters count, 0 to 1 (default 0)."
    ),
    windows: float | None = typer.Option(
        None,
        help="Share of the steps in which regions have windows of their own, 0 to 1 (default 0).",
    ),
    steps: int | None = typer.Option(None, help="Denoising steps (default 20)."),
    guidance: float | None = typer.Option(
        None, help="Classifier-free guidance (default suits the base)."
    ),
    seed: int | None = typer.Option(None, help="Same seed, same picture (default 0)."),
    n: int | None = typer.Option(None, "--n", help="How many pictures (default 1)."),
    scale: float | None = typer.Option(
        None, help="Adapter strength (default 1); 0 shows the embedding alone."
    ),
    width: int | None = typer.Option(None, help="Pixels (default: the base's)."),
    height: int | None = typer.Option(None, help="Pixels (default: the base's)."),
    again: Path | None = typer.Option(
        None, help="A picture drawn by fedshow: the same once more; other options change it."
    ),
    grid: bool = typer.Option(False, help="One picture of all pictures."),
    compare: list[str] = typer.Option(
        [], help="Another model: a grid of what each of them draws; repeatable."
    ),
    score: bool = typer.Option(False, help="Measure whom each region shows."),
    scorer: Path | None = typer.Option(
        None, help="CLIP, DINOv2 or ArcFace model to measure with (default: the base's own)."
    ),
    recipe: bool = typer.Option(True, help="Write into the picture how it was made."),
    device: str = DEVICE_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Draws pictures, plain or with one prompt per region.

    A region may say more: '0,0,.5,1; weight=.8; feather=.1; start=.2; end=.9; negative=hat: a <potter>';
    any other word there weighs a condition within it: 'sketch=.5'. A condition may: 'sketch=lines.png;
    weight=.8; end=.6'.

    Example: fedshow sample fused "a <potter> and a <mimi>" --region "0,0,.5,1: a <potter>"
    --region ".5,0,1,1: a <mimi>" -o picture.png
    """
    output_file(out, ".png")
    given = {
        "prompt": prompt,
        "regions": _regions(region, region_mask),
        "overlap": overlap,
        "negative": negative,
        "conditions": _conditions(control, adapter),
        "image": image and _picture(image),
        "strength": strength,
        "separation": separation,
        "presence": presence,
        "layout": layout,
        "windows": windows,
        "steps": steps,
        "guidance": guidance,
        "seed": seed,
        "n": n,
        "scale": scale,
        "width": width,
        "height": height,
    }
    changes = {name: value for name, value in given.items() if value not in (None, [])}
    wanted, origin = _wanted(model, changes, again)
    first = model or (origin and origin.base.name) or ""
    if grid or compare:
        _save_grid([first, *compare], wanted, base, device, out)
        return print_json({"files": [str(out)]}) if as_json else print(out)
    opened = _open(first, base, device, wanted)
    if origin is not None and origin != opened.origin:
        say(f"{again} was drawn with {origin}, now it is {opened.origin}")
    judge = _judge(opened, scorer) if score or scorer else None
    report = _draw(opened, wanted, judge, out, recipe)
    return print_json(report) if as_json else print("\n".join(report["files"]))


def _regions(boxes: list[str], masks: list[str]) -> "list[Region]":
    from fedshow.sampling.regions import Region

    return [*map(Region.parse, boxes), *map(Region.parse_mask, masks)]


def _conditions(controls: list[str], adapters: list[str]) -> "list[Condition]":
    from fedshow.sampling.conditions import Condition

    return [
        *(Condition.parse("control", spec) for spec in controls),
        *(Condition.parse("adapter", spec) for spec in adapters),
    ]


def _picture(path: Path) -> "Image":
    from fedshow.sampling.pictures import read_picture

    return read_picture(path)


def _wanted(
    model: str | None, changes: dict[str, Any], again: Path | None
) -> "tuple[Recipe, Origin | None]":
    """What to draw, from options or from a picture that they change, and what that was drawn with."""
    from fedshow.sampling.recipe import Recipe

    if again is None:
        if model is None or "prompt" not in changes:
            raise InvalidInput(
                "say what to draw with and what to draw: fedshow sample MODEL PROMPT"
            )
        return Recipe(**changes), None
    from fedshow.sampling.carried import read
    from fedshow.sampling.conditions import is_content_name

    said = read(again)
    if model is None and said.model.is_more_than_base:
        raise InvalidInput(
            f"{again} was drawn with {said.model}: say where that is, "
            f"fedshow sample MODEL --again {again}"
        )
    if said.image_sha256 is not None and "image" not in changes:
        raise InvalidInput(
            f"{again} began with an image, which it does not carry: name it with --image"
        )
    own = [one for one in said.recipe.conditions if is_content_name(one.name)]
    if own and "conditions" not in changes:
        raise InvalidInput(
            f"{again} was drawn with a module of somebody's own ({own[0].name[:19]}): say where that is, "
            f"--{own[0].kind} FOLDER=PNG"
        )
    return said.again(changes), said.model


def _open(model: str, base: str | None, device: str, wanted: "Recipe") -> "Model":
    from fedshow.device import choose_device
    from fedshow.families.placing import settle
    from fedshow.sampling.loading import load

    def arrange(opened: "Base", device: str) -> None:
        height, width = size = wanted.size(opened.sample_pixels)
        wanted.check_size(size)
        settle(opened, device, say, height * width, wanted.pictures_at_once(size))

    return load(model, base, choose_device(device), arrange)


def _judge(model: "Model", folder: Path | None) -> "Judge":
    from fedshow.sampling.judging import Judge
    from fedshow.scoring.scorers import scorer_of

    scorer = scorer_of(model.base, folder)
    if scorer is None:
        raise InvalidInput(
            f"base {model.base.card.name} has no measuring encoder; "
            "name a CLIP, DINOv2 or ArcFace model with --scorer"
        )
    return Judge(model, scorer)


def _draw(
    model: "Model", recipe: "Recipe", judge: "Judge | None", out: Path, tell: bool
) -> dict[str, Any]:
    """Draws, measures where somebody wants that, keeps the pictures, and says which they are."""
    from fedshow.sampling.carried import check

    if tell:
        check(model, recipe)
    with step_progress("drawing") as on_step:
        drawing = model.draw(recipe, on_step)
    scores = None
    if judge:
        with elapsed_progress("scoring"):
            scores = judge(drawing.images, recipe)
    paths = _save(model, recipe, drawing, scores, out, tell)
    return _report(paths, drawing, scores)


def _save(
    model: "Model",
    recipe: "Recipe",
    drawing: "Drawing",
    scores: "Scores | None",
    out: Path,
    tell: bool,
) -> list[Path]:
    """The files of the pictures: the one asked for, then NAME-2.png and so on."""
    from fedshow.sampling.carried import carried, save

    count = len(drawing.images)
    paths = [out] + [out.with_name(f"{out.stem}-{k}{out.suffix}") for k in range(2, count + 1)]
    for number, (path, image) in enumerate(zip(paths, drawing.images, strict=True)):
        found = None if scores is None else scores[number]
        save(image, path, carried(model, recipe, number, found) if tell else None)
    return paths


def _save_grid(
    models: list[str], recipe: "Recipe", base: str | None, device: str, out: Path
) -> None:
    """A row for each model; one is in memory at a time."""
    from fedshow.sampling.grid import grid

    rows = []
    for name in models:
        own_base = base if Path(name).is_file() else None
        with step_progress(f"drawing with {name}") as on_step:
            rows.append(
                (
                    Path(name).name,
                    _open(name, own_base, device, recipe).draw(recipe, on_step).images,
                )
            )
    edge = max(max(image.size) for _, images in rows for image in images)
    grid(rows, cell=min(256, max(96, edge))).save(out, "PNG")


def _report(paths: list[Path], drawing: "Drawing", scores: "Scores | None") -> dict[str, Any]:
    report: dict[str, Any] = {"files": [str(path) for path in paths], "seeds": drawing.seeds}
    if scores is not None:
        report["scores"] = [[one and one.model_dump() for one in picture] for picture in scores]
    return report
