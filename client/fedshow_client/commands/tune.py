"""`fedshow tune`: one concept from a folder of images, without any server."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedshow.commands.completing import METHODS, words
from fedshow.commands.destination import output_file
from fedshow.commands.options import BASE_OPTION, DEVICE_OPTION, JSON_OPTION
from fedshow.commands.output import print_json, say

if TYPE_CHECKING:
    from fedshow.concepts import ConceptFile
    from fedshow_client.tuning.checkpoint import Progress
    from fedshow_client.tuning.trainer import Report
    from fedshow_client.tuning.tune import TuneRequest

PROGRESS_EVERY_STEPS = 10


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("tune")(tune)


def tune(
    images: Path = typer.Argument(help="Folder with 4 to 20 pictures of one thing."),
    name: str = typer.Option(..., help="The concept's name; prompts say <NAME>."),
    class_word: str = typer.Option(
        ..., "--class", help="One word for the kind of thing: man, dog, mug."
    ),
    out: Path = typer.Option(..., "--output", "-o", help="The concept file to write."),
    base: str = BASE_OPTION,
    base_sha256: str = typer.Option(
        "", help="Refuse any base but the one with this fingerprint, before any work."
    ),
    method: str = typer.Option(
        METHODS[0],
        autocompletion=words(*METHODS),
        help=f"{', '.join(METHODS[:-1])} or {METHODS[-1]}; custom-diffusion is not for SDXL.",
    ),
    rank: int | None = typer.Option(None, help="Rank of the adapters (default 4)."),
    steps: int | None = typer.Option(None, help="Optimizer steps (default: what suits the base)."),
    seed: int = typer.Option(0, help="Same seed, same weights."),
    flip: bool | None = typer.Option(
        None, "--flip/--no-flip", help="Mirror half of the crops; not where left and right differ."
    ),
    changes: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Any other number of the recipe; repeatable."
    ),
    device: str = DEVICE_OPTION,
    wait: bool = typer.Option(
        True, help="Wait while another run of yours has the card, or refuse."
    ),
    resume: bool = typer.Option(True, help="Continue an interrupted run of the same settings."),
    work: Path | None = typer.Option(None, help="Folder for checkpoints (default: OUT.work)."),
    checkpoint_steps: int = typer.Option(50, min=1, help="Steps between two checkpoints."),
    progress: Path | None = typer.Option(
        None, help="Append progress to this file, one JSON object a line."
    ),
    samples: bool = typer.Option(True, help="Draw pictures during tuning, into the work folder."),
    sample_steps: int | None = typer.Option(
        None,
        min=1,
        help="Steps between pictures (default: as often as a seventh of the time allows).",
    ),
    scorer: Path | None = typer.Option(
        None, help="CLIP, DINOv2 or ArcFace model that scores them (default: the base's own)."
    ),
    keep_best: bool = typer.Option(
        True, help="Keep the weights with the best scores, not always the last."
    ),
    patience: int = typer.Option(
        0, min=0, help="End after so many scores in a row below the best; 0: never."
    ),
    tensorboard: Path | None = typer.Option(None, help="Folder for TensorBoard's event files."),
    leakage: bool = typer.Option(
        True, help="Estimate how much of single pictures the concept gives back."
    ),
    max_leakage: float = typer.Option(
        1.0, min=0, max=1, help="Fail above this estimate (the file stays); 1 allows everything."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Teaches one concept; interrupted, the same command continues.

    Leaves a page about the run beside the file: NAME.report.html.

    Example: fedshow tune ~/cat-pictures --name mimi --class cat -o mimi.safetensors
    """
    for file in filter(None, (out, progress)):
        output_file(file)
    from fedshow.device import choose_device
    from fedshow_client.tuning.changes import read_changes
    from fedshow_client.tuning.tune import TuneRequest
    from fedshow_client.tuning.tune import tune as run
    from fedshow_client.tuning.watching.settings import WatchSettings

    named = {"seed": seed, "rank": rank, "steps": steps, "flip": flip}
    recipe = {key: value for key, value in named.items() if value is not None}
    request = TuneRequest(
        images=images,
        name=name,
        class_word=class_word,
        out=out,
        work=work or out.with_name(out.name + ".work"),
        base=base,
        base_sha256=base_sha256,
        method=method,
        device=choose_device(device),
        resume=resume,
        checkpoint_steps=checkpoint_steps,
        recipe=recipe | read_changes(changes),
        watch=WatchSettings(samples, sample_steps, scorer, keep_best, patience, tensorboard),
        leakage=leakage,
        max_leakage=max_leakage,
    )
    with _own_card(request, wait, progress), _reporter(progress) as report:
        concept = run(request, report, lambda found: say(str(found)), say)
    _show(concept, request, as_json)


def _show(concept: "ConceptFile", request: "TuneRequest", as_json: bool) -> None:
    metrics = concept.header.metrics
    files = {"file": request.out, "sha256": concept.sha256, "report": request.report}
    if as_json:
        return print_json({**files, **metrics})
    size = f"{len(concept.blob) / 1024:.0f} KiB"
    print(f"{request.out}: <{request.name}>, {size}, {_in_words(metrics)}")
    return print(f"{request.report}: how it went")


def _in_words(metrics: Mapping[str, float]) -> str:
    """Loss, and the scores where there are any."""
    shown = [f"{key} {metrics[key]}" for key in ("loss", "identity", "text") if key in metrics]
    if metrics["kept_step"] != metrics["steps"]:
        shown.append(f"step {metrics['kept_step']} of {metrics['steps']} was best")
    return ", ".join(shown)


@contextmanager
def _own_card(request: "TuneRequest", wait: bool, progress: Path | None) -> Iterator[None]:
    """Inside, no other run of this user is on the card; raises Busy instead of waiting for it."""
    from fedshow_client.locks import card_of, one_run

    def waiting(text: str) -> None:
        if text:
            say(f"waiting: {text}")
        _append(progress, {"waiting": text})

    me = f"fedshow tune --name {request.name}"
    with one_run(card_of(request.device), me, waiting if wait else None):
        yield


def _append(progress: Path | None, line: dict[str, Any]) -> None:
    if progress:
        with progress.open("a") as file:
            file.write(json.dumps(line) + "\n")


@contextmanager
def _reporter(progress: Path | None) -> Iterator["Report"]:
    """Progress to a bar on a terminal, and to a file when one is named."""
    from fedshow_client.tuning.watching.rate import Rate

    rate = Rate()
    with _bar() as show:

        def report(now: "Progress", steps: int) -> None:
            rate.hear(now)
            left = rate.seconds_left(now, steps)
            show(now, steps, rate.steps_per_second, left)
            if progress and (now.step % PROGRESS_EVERY_STEPS == 0 or now.step == steps):
                line = {
                    "step": now.step,
                    "steps": steps,
                    "loss": now.losses[-1],
                    "seconds": now.seconds,
                    "steps_per_second": rate.steps_per_second,
                    "seconds_left": left,
                }
                _append(progress, line)

        yield report


@contextmanager
def _bar() -> Iterator[Callable[["Progress", int, float | None, float | None], None]]:
    """A bar on stderr, on terminals only; gives what moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = [
        TextColumn("tuning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
    ]
    hidden = not sys.stderr.isatty()
    with Bar(*columns, console=Console(stderr=True), disable=hidden) as bar:
        task = bar.add_task("", total=None, pace="")

        def show(now: "Progress", steps: int, rate: float | None, left: float | None) -> None:
            pace = f"loss {now.losses[-1]:.3f}"
            if rate is not None and left is not None:
                pace += f"  {rate:.2f} steps/s  {timedelta(seconds=round(left))} left"
            bar.update(task, completed=now.step, total=steps, pace=pace)

        yield show
