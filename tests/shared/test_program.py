"""The program as a whole: its help and its docs are right, and quick commands load nothing heavy."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.core
from click import Group
from typer.main import get_command

from fedshow.cli import build
from tests.docs.blocks import PAGES, blocks_of

PROGRAM = get_command(build())
ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def commands(group: Group = PROGRAM, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command there is, by its words."""
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        inner = (*path, name)
        found += commands(command, inner) if isinstance(command, Group) else [inner]
    return found


def test_the_program_does_not_grow_with_every_use_in_one_process() -> None:
    def size() -> list[int]:
        app = build()
        parts = [app, *(part.typer_instance for part in app.registered_groups)]
        return [len(part.registered_commands) for part in parts]

    assert size() == size()


def find(path: tuple[str, ...]) -> typer.core.TyperCommand:
    command = PROGRAM
    for word in path:
        command = command.commands[word]
    return command


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_help_explains_every_argument_and_has_an_example(call, path: tuple[str, ...]) -> None:
    code, out, _ = call(*path, "--help")
    shown = " ".join(out.split())
    assert code == 0
    assert f"Example: fedshow {' '.join(path)}" in shown
    assert "\\[" not in shown
    for parameter in find(path).params:
        assert parameter.help, f"{' '.join(path)}: {parameter.name} has no help"
        assert " ".join(parameter.help.split()[:4]) in shown


def parse(line: str) -> None:
    """Takes a written command apart as the program would; raises for what it would refuse."""
    program, *words = shlex.split(line, comments=True)
    assert program == "fedshow"
    command = PROGRAM
    while isinstance(command, Group):
        name = words.pop(0)
        assert name in command.commands, f"{line}: no command {name}"
        command = command.commands[name]
    command.make_context(command.name, words)


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_the_example_in_the_help_is_right(path: tuple[str, ...]) -> None:
    example = (find(path).help or "").split("Example: ")[1].split("\n\n")[0]
    parse(example.replace("\n", " "))


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_docs_are_right(page: str) -> None:
    shells = [block.text for block in blocks_of(page) if block.language == "sh"]
    lines = [line for text in shells for line in text.replace("\\\n", " ").splitlines()]
    for line in lines:
        if line.startswith("fedshow "):
            parse(line)
        elif line.startswith("make "):
            target = line.split()[1]
            assert re.search(rf"^({target}|{target.split('-')[0]}-%):", MAKEFILE, re.MULTILINE), (
                line
            )


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "pull nobody -o x",
        "client --help",
        "sample --help",
        "evaluate --help",
        "export --help",
    ],
)
def test_quick_commands_load_nothing_heavy(command: str, tmp_path) -> None:
    script = (
        "import sys; from fedshow.cli import main\n"
        f"sys.argv = ['fedshow', *{command.split()!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'flwr', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = {"FEDSHOW_HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env=environment)
