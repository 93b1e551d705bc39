"""`make bench-gallery`: what the first look costs, how soon it can be used, and whether everybody can."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from xml.etree import ElementTree

from benchmarks.report import print_table, write_result
from fedshow.roles import Role
from tests.stage.browser import chromium, key_of, prepare_chromium
from tests.stage.concepts import make_data
from tests.stage.gallery import MEMBERS, session_for, stock
from tests.stage.member import Member
from tests.stage.page import DESK, PHONE, Page
from tests.stage.released import put_fused
from tests.stage.sampled import paint_samples
from tests.stage.server import Server

ROOT = Path(__file__).parent.parent
CONCEPTS, PAINTED, EDGE, LOADS = 1000, 60, 512, 7
GATES = {"flows": 12}
LIMITS = {"first_load_kilobytes": 300, "usable_seconds_1000": 1.0, "axe_serious": 0}
PAGES = (
    *("/", "/gallery/concepts/thing-1000x", "/gallery/concepts/imperius", "/gallery/nowhere"),
    *("/gallery/releases", "/gallery/releases/latest", "/gallery/live", "/gallery/studio"),
)
SETTLED_SECONDS = 3.0
"""Pictures near the first view come after the page itself."""
TYPE_AT_ONCE = """
document.addEventListener("DOMContentLoaded", () => {
  const field = document.querySelector("#q");
  if (!field || !document.querySelector(".card")) return;
  field.value = "thing-500x";
  field.dispatchEvent(new Event("input", {bubbles: true}));
  new MutationObserver(() => {
    if (document.querySelectorAll(".card").length === 1) window.usable ??= performance.now() / 1000;
  }).observe(document.body, {childList: true, subtree: true});
});
"""
"""Somebody who types as soon as there are cards, and is answered."""
BYTES = """
const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
return entries.map((entry) => [new URL(entry.name).pathname, entry.transferSize]);
"""


def main() -> None:
    """Measures on a server of its own, then counts the flows that pass."""
    if missing := prepare_chromium():
        sys.exit(missing)
    with tempfile.TemporaryDirectory() as folder, looking(Path(folder)) as page:
        figures = first_load(page) | usable(page) | serious_faults(page)
    figures |= flows()
    print_table(figures, GATES, LIMITS)
    write_result("gallery", figures)


@contextmanager
def looking(folder: Path) -> Iterator[Page]:
    """An owner, signed in at a server with a thousand concepts and two releases."""
    server = Server(make_data(folder / "data"), options=("--quiet-seconds", "86400"))
    server.start()
    try:
        people = {role: Member.redeem(server, server.invite(MEMBERS[role], role)) for role in Role}
        stock(server, people[Role.CONTRIBUTOR].reply.node, CONCEPTS)
        newest = [name_of(k) for k in range(CONCEPTS - PAINTED + 1, CONCEPTS + 1)]
        paint_samples(server, newest, EDGE)
        put_fused(server, newest[:4])
        put_fused(server, newest[2:7])
        with chromium(folder, (key_of(server.address),), folder) as driver:
            page = Page(driver, server.address)
            page.hold(session_for(server, people[Role.OWNER]))
            yield page
    finally:
        server.end()


def name_of(number: int) -> str:
    """As `stock` names them."""
    return f"thing-{number:03}x"


def first_load(page: Page) -> dict[str, Any]:
    """Every byte of the first look at the cards, as sent, headers too."""
    page.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    page.go("/")
    time.sleep(SETTLED_SECONDS)
    found = page.driver.execute_script(BYTES)
    kinds: dict[str, float] = {"pictures": 0.0, "page": 0.0, "scripts_and_styles": 0.0}
    for path, size in found:
        kind = "page" if path == "/" else "scripts_and_styles" if "/static/" in path else "pictures"
        kinds[kind] += size / 1000
    parts = {f"first_load_{kind}": round(size, 1) for kind, size in kinds.items()}
    return {
        "first_load_kilobytes": round(sum(kinds.values()), 1),
        **parts,
        "first_load_files": len(found),
    }


def usable(page: Page) -> dict[str, Any]:
    """Seconds from navigation until a search is answered, which waits 0.12 s for more letters."""
    told = page.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": TYPE_AT_ONCE}
    )
    seconds = []
    for _ in range(LOADS):
        page.go("/")
        page.sees("1 concept")
        seconds.append(round(page.driver.execute_script("return window.usable"), 3))
    page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", told)
    return {"usable_seconds_1000": median(seconds), "usable_seconds_all": seconds}


def serious_faults(page: Page) -> dict[str, Any]:
    """What axe finds on every page, in both looks, on desk and phone."""
    found = []
    for path in PAGES:
        page.go(path)
        for scheme in ("light", "dark"):
            page.look(scheme)
            for size in (DESK, PHONE):
                page.be(size)
                faults = [
                    *page.serious_faults(),
                    *(["scrolls sideways"] if page.overflows() else []),
                ]
                found += [f"{path} {scheme} {size[0]}: {fault}" for fault in faults]
    return {"axe_serious": len(found), "axe_found": found, "axe_looks": 4 * len(PAGES)}


def flows() -> dict[str, Any]:
    """How many tests in a browser pass."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "flows.xml"
        command = [sys.executable, "-m", "pytest", "-q", "tests/browser", f"--junitxml={result}"]
        subprocess.run(command, cwd=ROOT, env=os.environ, check=False)
        cases = list(ElementTree.parse(result).iter("testcase"))  # noqa: S314  # we wrote it
    bad = [case.get("name") for case in cases if any(c.tag != "properties" for c in case)]
    return {"flows": len(cases) - len(bad), "flows_not_passed": bad}


if __name__ == "__main__":
    main()
