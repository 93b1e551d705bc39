"""`fedshow evaluate`: how near models come to the real thing, and to what prompts say."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from fedshow.commands.completing import BASE
from fedshow.commands.destination import output_file, output_folder
from fedshow.commands.options import DEVICE_OPTION, JSON_OPTION
from fedshow.commands.output import print_json, say, show_table, step_progress


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    models: list[str] = typer.Argument(
        help="Concept files (before fusion), release folders (after it), the base (class words)."
    ),
    reference: list[str] = typer.Option(
        [], help="NAME=FOLDER of a concept's own pictures, which stay here; repeatable."
    ),
    base: str | None = typer.Option(
        None,
        autocompletion=BASE,
        help="Base of the models (default: the one they name, if everybody can get it).",
    ),
    prompts: Path | None = typer.Option(
        None, help="Text file, one prompt a line, {} where the concept stands (default: twenty)."
    ),
    per_prompt: int | None = typer.Option(
        None, help="Pictures of each prompt (default 50; 5 on toyworld)."
    ),
    drift: int | None = typer.Option(
        None, help="Pictures of each prompt without a concept (default 5); 0: none."
    ),
    scene: list[Path] = typer.Option(
        [], help="Picture drawn by fedshow with regions: each is measured; repeatable."
    ),
    scorer: list[Path] = typer.Option(
        [],
        help="CLIP, DINOv2 or ArcFace model, a local path (default: the base's own); repeatable.",
    ),
    steps: int = typer.Option(20, help="Denoising steps."),
    guidance: float | None = typer.Option(
        None, help="Classifier-free guidance (default suits the base)."
    ),
    negative: str = typer.Option("", help="What not to draw."),
    seed: int = typer.Option(0, help="First seed of each prompt."),
    work: Path | None = typer.Option(
        None, help="Folder that keeps pictures and features: a killed run goes on from there."
    ),
    sheet: Path | None = typer.Option(
        None, help="PNG to draw: prompts below one another, models side by side."
    ),
    device: str = DEVICE_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Measures image and text alignment, what a fusion keeps of it, and how far it moves the base.

    All models draw the same prompts from the same seeds; values come with 95 % intervals.

    Example: fedshow evaluate mimi.safetensors fused --reference mimi=cat-pictures --work work
    --sheet sheet.png
    """
    if sheet is not None:
        output_file(sheet, ".png")
    from fedshow.device import choose_device
    from fedshow.evaluation.lineup import line_up
    from fedshow.evaluation.references import parse_references
    from fedshow.evaluation.run import Place
    from fedshow.evaluation.run import evaluate as run
    from fedshow.evaluation.settings import Settings
    from fedshow.evaluation.sheet import sheet as draw_sheet
    from fedshow.evaluation.tables import tables
    from fedshow.scoring.prompts import read_prompts

    lineup = line_up(models, base, parse_references(reference), scene)
    settings = Settings.chosen(
        lineup.is_toyworld,
        prompts=None if prompts is None else read_prompts(prompts),
        per_prompt=per_prompt,
        drift=drift,
        seed=seed,
        steps=steps,
        guidance=guidance,
        negative=negative,
    )
    with _work_folder(work) as folder:
        place = Place(folder, choose_device(device))
        report, drawn = run(lineup, settings, scorer, place, say, step_progress)
        if sheet is not None:
            draw_sheet(drawn, lineup.classes).save(sheet, "PNG")
    if as_json:
        return print_json(report.facts() | ({} if sheet is None else {"sheet": str(sheet)}))
    for head, rows in tables(report):
        show_table(head, rows)
    return None


@contextmanager
def _work_folder(named: Path | None) -> Iterator[Path]:
    """The folder named, else one that is gone afterwards."""
    if named is not None:
        output_folder(named)
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="fedshow-evaluate-") as folder:
        yield Path(folder)
