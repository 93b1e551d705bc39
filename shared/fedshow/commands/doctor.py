"""`fedshow doctor`: what stands in the way on this machine, and what to type next."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedshow.colour import Colour, coloured
from fedshow.commands.completing import BASE, servers
from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import print_json, say

if TYPE_CHECKING:
    from fedshow.doctor.finding import Finding

COLOURS = {"ok": Colour.GREEN, "warning": Colour.YELLOW, "problem": Colour.RED}
WIDTH = 9
"""Of the column of states."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor(
    server: str | None = typer.Option(
        None,
        autocompletion=servers,
        help="A joined server by name, or any as HOST[:PORT]. [default: all joined ones]",
    ),
    base: str | None = typer.Option(
        None,
        autocompletion=BASE,
        help="toyworld, a folder, a file or a hub id. [default: those of joined servers]",
    ),
    data: Path | None = typer.Option(
        None, help="A server's folder on this machine. [default: ~/.fedshow-server if it is there]"
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Looks for what is in the way: packages, card, memory, disks, ports, servers, base, clock, settings.

    Each finding is ok, a warning or a problem, and says what to type next. Ends with 1 if there is a problem,
    with 0 if not, whatever the warnings. Changes nothing, and sends nothing but questions whether servers and
    the hub are there.

    Example: fedshow doctor --server art.example.org --base ./stable-diffusion-v1-5
    """
    from fedshow.doctor.examining import all_checks, examine
    from fedshow.doctor.finding import Question
    from fedshow.transfer.servers import home_folder

    found = examine(all_checks(), Question(home_folder(), data, server, base))
    states = _print_all(found) if as_json else _tell_all(found)
    if states["problem"]:
        raise typer.Exit(1)


def _print_all(found: "Iterator[tuple[str, Finding]]") -> Counter[str]:
    listed: list[dict[str, Any]] = [{"check": check, **asdict(one)} for check, one in found]
    states = Counter(str(one["state"]) for one in listed)
    counted = {f"{state}s": states[state] for state in ("problem", "warning")}
    print_json({**counted, "findings": listed})
    return states


def _tell_all(found: "Iterator[tuple[str, Finding]]") -> Counter[str]:
    """A line for each, as soon as it is known, and another for what to do."""
    states: Counter[str] = Counter()
    for _, one in found:
        states[one.state] += 1
        state = coloured(one.state.ljust(WIDTH), COLOURS[one.state])
        print(f"{state}{one.about}: {one.says}", flush=True)
        if one.advice:
            print(f"{'':{WIDTH}}-> {one.advice}", flush=True)
    say(f"{states['problem']} problems, {states['warning']} warnings")
    return states
