"""`fedshow demo`: the main job, for real, on one machine."""

import time
from pathlib import Path
from typing import Any

import typer

from fedshow.commands.completing import BASE
from fedshow.commands.destination import output_folder
from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import print_json, say


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo")(demo)


def demo(
    out: Path = typer.Option(Path("demo"), help="Folder for everything the demo makes."),
    base: str = typer.Option(
        "toyworld", autocompletion=BASE, help="toyworld, or a folder of the same world."
    ),
    steps: int | None = typer.Option(None, min=1, help="Tuning steps (default: the recipe's)."),
    seeds: int = typer.Option(1, min=1, help="Pictures per prompt that are measured."),
    joint: int = typer.Option(8, min=4, help="Joint pictures that are measured."),
    images_only: bool = typer.Option(
        False, "--images-only", help="Draw the people's private pictures and end."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """One server, two people with private pictures, one fused model that draws both of them.

    Example: fedshow demo --out demo
    """
    output_folder(out)
    if images_only:
        return _draw_images(out, as_json)
    from fedshow.demo.run import Demo, run_demo
    from fedshow.device import choose_device

    choose_device("cpu")
    started = time.monotonic()
    report = run_demo(
        Demo(out.absolute(), base, steps, seeds, joint),
        lambda line: say(f"[{time.monotonic() - started:4.0f} s] {line}"),
    )
    if as_json:
        return print_json(report)
    return _tell(report, out)


def _draw_images(out: Path, as_json: bool) -> None:
    from fedshow.demo.folders import IMAGES_EACH, prepare

    people = prepare(out)
    if as_json:
        return print_json({person.concept: str(person.images) for person in people})
    for person in people:
        print(f"{person.images}: {IMAGES_EACH} pictures of {person.concept}, a {person.class_word}")
    return None


def _tell(report: dict[str, Any], out: Path) -> None:
    """Three lines: what happened, what fusion saved, what to try next."""
    first, second = report["identity"]
    kept = {n: s["fused"] / s["single"] for n, s in report["identity"].items()}
    lost = {n: s["average"] / s["single"] for n, s in report["identity"].items()}
    print(
        f"<{first}> and <{second}> were tuned on two clients, fused and published in "
        f"{report['seconds']:.0f} s; only adapters left the clients."
    )
    print(
        f"Identity kept by fusion: {kept[first]:.0%} and {kept[second]:.0%}; "
        f"by averaging: {lost[first]:.0%} and {lost[second]:.0%}. Look at {out}/grid.png"
    )
    print(f'Try next: fedshow sample {out}/release "a <{first}> in the snow" -o picture.png')
