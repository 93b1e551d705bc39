"""The page of all settings, from the classes that read them; nothing is imported for it."""

from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[2]
SOURCES = (
    ("server.toml", "fedshow_server.settings", "ServerSettings", "FEDSHOW_SERVER_"),
    ("client.toml", "fedshow_client.settings", "ClientSettings", "FEDSHOW_CLIENT_"),
)
HEAD = """# Settings

Flags win over variables of the environment, those over the file. A name that is no setting is an
error wherever it stands.

`server.toml` lies in the server's data folder, or where `--config` says; `client.toml` in
`~/.fedshow`, or in the folder that `FEDSHOW_HOME` names, which moves everything of the client for
every command.
"""


def page() -> str:
    """The page in Markdown."""
    paths = [ROOT / part for part in ("server", "client", "shared")]
    loader = griffe.GriffeLoader(search_paths=paths)
    return "\n".join([HEAD, *(line for source in SOURCES for line in _section(loader, *source))])


def _section(
    loader: griffe.GriffeLoader, file: str, module: str, name: str, prefix: str
) -> Iterator[str]:
    settings = loader.load(module)[name]
    yield f"## {file}\n"
    yield f"In the environment `{prefix}NAME`, in capitals.\n"
    yield "| setting | default | |\n|---|---|---|"
    for field in settings.members.values():
        if isinstance(field, griffe.Attribute) and field.annotation and _is_setting(field):
            yield f"| `{field.name}` | {_default(field)} | {_told(field)} |"
    yield ""


def _is_setting(field: griffe.Attribute) -> bool:
    return "property" not in field.labels


def _default(field: griffe.Attribute) -> str:
    """What the code says, and the bounds with it."""
    value = field.value
    if isinstance(value, griffe.ExprCall):
        given = {a.name: str(a.value) for a in value.arguments if isinstance(a, griffe.ExprKeyword)}
        bounds = [f"{_BOUNDS[key]} {given[key]}" for key in _BOUNDS if key in given]
        default = given.get("default", "")
        return ", ".join(filter(None, [f"`{default}`" if default else "", *bounds]))
    return "" if str(value) == "None" else f"`{value}`"


_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most"}


def _told(field: griffe.Attribute) -> str:
    said = field.docstring.value if field.docstring else ""
    return " ".join(said.split()).replace("|", "\\|")
