"""`fedshow export`: a concept, a release or a base for other programs."""

from enum import StrEnum
from pathlib import Path

import typer

from fedshow.commands.completing import BASE
from fedshow.commands.destination import output_file, output_folder
from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import elapsed_progress, print_json, say


class FormatName(StrEnum):
    """As in `fedshow.formats`, which loads torch."""

    diffusers = "diffusers"
    kohya = "kohya"
    edlora = "edlora"
    single_file = "single-file"
    peft = "peft"
    embeddings = "embeddings"


FOLDERS = (FormatName.diffusers, FormatName.peft, FormatName.embeddings)
"""The formats that are several files."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export")(export)


def export(
    model: str = typer.Argument(
        help="A concept file or a release folder; for a single file also a base."
    ),
    to: FormatName = typer.Option(..., help="Whose format."),
    out: Path = typer.Option(
        ...,
        "--output",
        "-o",
        help="A .safetensors file (kohya, single-file), a .pth file (edlora), or a new folder.",
    ),
    base: str | None = typer.Option(
        None,
        autocompletion=BASE,
        help="Base that a concept is merged into (default: the one it names); single-file.",
    ),
    bundle: bool = typer.Option(
        False, "--bundle", help="Words in the LoRA file, as A1111 and Forge read them; kohya."
    ),
    full: bool = typer.Option(
        False, "--full", help="Single precision instead of half; single-file."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Writes what other programs load: diffusers, A1111, Forge, ComfyUI, PEFT, the paper's own code.

    What a format cannot hold is said here and in the file; docs/formats.md has a table.

    Example: fedshow export mimi.safetensors --to kohya -o mimi-lora.safetensors
    """
    if to in FOLDERS:
        output_folder(out)
    else:
        output_file(out)
    from fedshow.formats import export_model

    with elapsed_progress("exporting"):
        exported = export_model(model, to, out, base=base, bundle=bundle, full=full)
    about = exported.about
    if about.note:
        say(f"note: {about.note}")
    if as_json:
        concepts = {concept.name: concept.words for concept in about.concepts}
        return print_json({"output": str(out), "concepts": concepts, "lost": about.note})
    listed = ", ".join(f"<{c.name}> as {' '.join(c.words)}" for c in about.concepts)
    return print(f"{out}: {to}, {listed or 'no concepts'}")
