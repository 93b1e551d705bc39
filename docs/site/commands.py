"""The page of all commands, from the program itself."""

from collections.abc import Iterator

from click import Command, Context, Group, Option, Parameter
from typer.main import get_command

from fedshow.cli import build

HEAD = """# Commands

One program. `--json` prints what programs read, on everything that lists or reports; `--debug`
shows tracebacks. Results go to stdout, all else to stderr. Exit codes: 0 done, 2 the input is wrong
(one line says what), 1 it failed.
"""
BARE = {"help", "as_json"}
"""Options that every command has, and that the head tells of."""


def page() -> str:
    """The page in Markdown."""
    return "\n".join([HEAD, *_sections(get_command(build()), "fedshow")])


def _sections(command: Command, path: str) -> Iterator[str]:
    if not isinstance(command, Group):
        yield from _section(command, path)
        return
    if command.invoke_without_command:
        yield from _section(command, path)
    for name in sorted(command.commands):
        yield from _sections(command.commands[name], f"{path} {name}")


def _section(command: Command, path: str) -> Iterator[str]:
    told, _, example = (command.help or "").partition("Example: ")
    usage = command.collect_usage_pieces(Context(command))
    yield f"## {path}\n"
    yield f"```text\n{' '.join([path, *usage])}\n```\n"
    yield told.strip() + "\n"
    if example:
        yield f"Example: `{' '.join(example.split())}`\n"
    rows = [_row(parameter) for parameter in command.params if parameter.name not in BARE]
    if rows:
        yield "| | |\n|---|---|"
        yield "\n".join(rows) + "\n"


def _row(parameter: Parameter) -> str:
    return f"| {_name(parameter)} | {_cell(str(getattr(parameter, 'help', '') or ''))} |"


def _name(parameter: Parameter) -> str:
    if not isinstance(parameter, Option):
        return f"`{parameter.human_readable_name}`"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    kind = "" if parameter.is_flag else f" {_cell(parameter.metavar or parameter.type.name)}"
    return names + kind + (", needed" if parameter.required else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[").replace("*", "\\*")
