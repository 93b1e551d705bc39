"""The site: it builds, has every page and every command, and asks for nothing from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.site.formulas import drawn
from docs.site.links import turned
from fedshow_server.web.doors import POLICIES
from tests.docs.blocks import ROOT
from tests.shared.test_program import commands

FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""Tags that make a browser fetch what they name."""
CALLED, TOLD_ELSEWHERE = ("/api/", "/releases/", "/healthz"), ("/api/models/", "/api/openapi")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a link that leads nowhere, or a page that is in no menu, is an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Fetched(HTMLParser):
    """Collects what a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs).get(FETCHED.get(tag, ""))
        self.found += [found] if found else []


def test_the_site_asks_for_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        reader = Fetched()
        reader.feed(page.read_text())
        assert reader.found, page
        assert not [url for url in reader.found if re.match(r"(\w+:)?//", url)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )['\"]?(\w+:)?//", sheet.read_text()), sheet


def test_every_command_is_in_the_reference(site: Path) -> None:
    text = (site / "reference" / "commands.html").read_text()
    for path in commands():
        assert f">fedshow {' '.join(path)}<" in text, path


@pytest.mark.parametrize(
    ("page", "what"),
    [
        ("settings", "wrong_tokens_per_minute"),
        ("settings", "keep_release"),
        ("grpc", "WatchReleases"),
        ("grpc", "Tells the server that this node has a concept to hand over"),
        ("http", "/api/releases/{release}"),
        ("python", "fedshow.sampling.regions.Region"),
        ("python", "RefusedConcept"),
    ],
)
def test_the_reference_tells_what_the_code_has(site: Path, page: str, what: str) -> None:
    assert what in (site / "reference" / f"{page}.html").read_text()


def test_every_call_over_http_is_in_the_reference(site: Path) -> None:
    text = (site / "reference" / "http.html").read_text()
    for route in POLICIES:
        path = route.partition(" ")[2].replace(":path", "")
        if path.startswith(CALLED) and not path.startswith(TOLD_ELSEWHERE):
            assert f">{path}<" in text, path


def test_formulas_are_drawn_without_scripts(site: Path) -> None:
    text = (site / "method.html").read_text()
    assert text.count("<math ") >= 5
    assert drawn("```math\nW^*\n```").startswith("<math ")


@pytest.mark.parametrize(
    ("page", "written", "leads_to"),
    [
        ("index.md", "[a](docs/bases.md#memory)", "[a](bases.md#memory)"),
        (
            "drawing.md",
            "[a](../integrations/comfyui/README.md)",
            "[a](integrations/comfyui/README.md)",
        ),
        ("integrations/comfyui/README.md", "[a](../../docs/drawing.md)", "[a](../../drawing.md)"),
        (
            "tutorials/server.md",
            "[a](../../README.md#two-commands)",
            "[a](../index.md#two-commands)",
        ),
        ("method.md", "[a](https://arxiv.org/abs/1)", "[a](https://arxiv.org/abs/1)"),
        ("index.md", "```python\nFUSIONS[a](docs/x)\n```", "```python\nFUSIONS[a](docs/x)\n```"),
    ],
)
def test_links_lead_to_the_same_on_the_site(page: str, written: str, leads_to: str) -> None:
    assert turned(written, page) == leads_to
