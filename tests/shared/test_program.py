"""The program as a whole: its help is readable, and quick commands load nothing heavy."""

import subprocess
import sys

import pytest
import typer.core
from click import Group
from typer.main import get_command

from fedshow.cli import build

PROGRAM = get_command(build())


def commands(group: Group = PROGRAM, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command there is, by its words."""
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        inner = (*path, name)
        found += commands(command, inner) if isinstance(command, Group) else [inner]
    return found


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


@pytest.mark.parametrize(
    "command", ["--help", "--version", "pull nobody -o x", "client --help", "sample --help"]
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
