"""`fedshow import`: a concept file of what another program made."""

from pathlib import Path

import typer

from fedshow.commands.completing import BASE
from fedshow.commands.destination import output_file
from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import elapsed_progress, print_json


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("import")(import_concept)


def import_concept(
    file: Path = typer.Argument(
        help="A LoRA of kohya's or diffusers' (file or folder), edlora.pth, or a PEFT folder."
    ),
    out: Path = typer.Option(..., "--output", "-o", help="The concept file to write."),
    name: str | None = typer.Option(
        None, help="The concept's name, if the file does not say it; prompts say <NAME>."
    ),
    class_word: str | None = typer.Option(
        None, "--class", help="One word for the kind of thing, if the file does not say it."
    ),
    base: str | None = typer.Option(
        None,
        autocompletion=BASE,
        help="toyworld, a diffusers folder or a hub id, if the file does not say it.",
    ),
    embedding: list[Path] = typer.Option(
        [], help="A file with the concept's word, or with several; repeatable, in order."
    ),
    leave_out: bool = typer.Option(
        False, "--leave-out", help="Pass over adapters of layers other than attention."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Makes a concept of another program's adapters and words, checked as any other.

    Example: fedshow import mimi-lora.safetensors --embedding mimi.safetensors --name mimi
    --class cat --base ./stable-diffusion-v1-5 -o mimi-concept.safetensors
    """
    output_file(out)
    from fedshow.formats import import_concept as run

    with elapsed_progress("importing"):
        concept = run(
            file,
            out,
            name=name,
            class_word=class_word,
            base=base,
            embeddings=embedding,
            leave_out=leave_out,
        )
    header = concept.header
    if as_json:
        return print_json(
            {
                "file": out,
                "sha256": concept.sha256,
                "name": header.name,
                "method": header.method,
                "rank": header.rank,
                "alpha": header.alpha,
            }
        )
    return print(
        f"{out}: <{header.name}> as {' '.join(header.words)}, method {header.method}, rank {header.rank}"
    )
