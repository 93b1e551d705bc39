"""`fedshow fuse`: concept files into a release folder, without any server."""

from pathlib import Path

import typer

from fedshow.commands.completing import words
from fedshow.commands.destination import output_folder
from fedshow.commands.options import BASE_OPTION, DEVICE_OPTION, JSON_OPTION
from fedshow.commands.output import elapsed_progress, print_json, say
from fedshow.errors import InvalidInput

METHODS = (
    *("gradient", "lbfgs", "exact", "average", "sum", "ties", "dare", "subspace"),
    "custom-diffusion",
)
"""As in `fedshow_server.fusion.rules`, which loads torch."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("fuse")(fuse)


def fuse(
    files: list[Path] = typer.Argument(help="Concept files, all for one base."),
    out: Path = typer.Option(
        ..., "--output", "-o", help="Folder for the release; must be empty or new."
    ),
    base: str = BASE_OPTION,
    method: str = typer.Option(
        METHODS[0],
        autocompletion=words(*METHODS),
        help=f"{', '.join(METHODS[:-1])} or {METHODS[-1]}.",
    ),
    weight: list[str] = typer.Option([], help="NAME=1.0, how much a concept counts; repeatable."),
    report: bool = typer.Option(
        False, help="Judge any method by its statistics, and say what conflicts."
    ),
    ledger: Path = typer.Option(
        None, help="Folder that keeps what was recorded: no concept is drawn twice."
    ),
    refine: int = typer.Option(
        0, min=0, max=5, help="How many times to record once more, through the fused model."
    ),
    device: str = DEVICE_OPTION,
    ray: str = typer.Option(
        None, help="Ray cluster that does the work: auto, HOST:PORT or ray://HOST:PORT."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Fuses concepts into one model that can draw them all.

    Example: fedshow fuse potter.safetensors hermione.safetensors -o fused
    """
    if not out.is_dir():  # else it is filled, wherever it lies
        output_folder(out)
    if ray is not None:
        from fedshow_server.fusion.ray_cluster import check_address

        check_address(ray)
    from fedshow.device import choose_device
    from fedshow.releases.file_names import CROSSTALK, REPORT, RESIDUALS
    from fedshow_server.fusion import fuse_to_folder
    from fedshow_server.fusion.summary import sentences, summarise

    weights = dict(map(parse_weight, weight))
    with elapsed_progress("fusing"):
        manifest = fuse_to_folder(
            base,
            files,
            out,
            method=method,
            weights=weights,
            device=choose_device(device),
            say=say,
            ledger=ledger,
            judge=report,
            refine=refine,
            ray=ray,
        )
    summary = summarise(out / REPORT)
    if as_json:
        return print_json({"release": manifest.release, "folder": str(out), **summary})
    print(f"{out}: release {manifest.release} of {', '.join(m.name for m in manifest.concepts)}")
    if report:
        print("\n".join(sentences(summary)))
        shown = [name for name in (RESIDUALS, CROSSTALK) if (out / name).exists()]
        if shown:
            print(f"{out / REPORT} has it per layer, as pictures {' and '.join(shown)}")
    return None


def parse_weight(text: str) -> tuple[str, float]:
    """`NAME=1.5` as a pair; raises InvalidInput."""
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise InvalidInput(f"--weight {text!r}: write NAME=1.0") from None
