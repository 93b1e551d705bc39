"""What mkdocs calls while it builds the site: adds pages, turns links, draws formulas."""

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.site import calls, commands, formulas, links, routes, settings

MADE = {
    "reference/commands.md": commands.page,
    "reference/settings.md": settings.page,
    "reference/http.md": routes.page,
    "reference/grpc.md": calls.page,
}
"""Pages that are made from code."""


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Adds pages made from code, and what the docs link to outside of their folder."""
    for path, page in MADE.items():
        files.append(File.generated(config, path, content=page()))
    for source, path in links.brought().items():
        files.append(File.generated(config, path, abs_src_path=str(links.ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links as they lead on the site, formulas as MathML."""
    return formulas.drawn(links.turned(markdown, page.file.src_uri))
