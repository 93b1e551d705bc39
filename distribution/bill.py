"""The bill of materials: what an environment with the wheel in it is made of (CycloneDX)."""

import json
from pathlib import Path
from typing import Any

from distribution.building import ROOT
from distribution.trying import Environment
from fedshow import __version__

READ = {"protobuf": "BSD-3-Clause", "transformers": "Apache-2.0"}
"""Licences of packages that say theirs in words which no program knows."""


def write_bill(tools: Environment, clean: Environment, path: Path) -> Path:
    """Writes the bill of all that is installed in `clean` to `path`, the same for the same content."""
    options = ("--output-reproducible", "--short-PURLs", "--pyproject", "pyproject.toml")
    form = ("--output-format", "JSON", "--spec-version", "1.6")
    interpreter = str(clean.folder / "bin" / "python")
    bill = json.loads(tools.ask(ROOT, "cyclonedx-py", "environment", *options, *form, interpreter))
    bill["metadata"]["component"]["version"] = __version__
    forget_places(bill)
    tell_licences(bill)
    if strange := unlicensed(bill):
        raise SystemExit(f"no licence is told by: {', '.join(strange)}; read it and add it to READ")
    path.write_text(json.dumps(bill, indent=1) + "\n")
    return path


def forget_places(bill: dict[str, Any]) -> None:
    """Takes out where on this machine a wheel was found: it is nobody else's business."""
    for part in bill["components"]:
        known = part.get("externalReferences", [])
        part["externalReferences"] = [r for r in known if not r["url"].startswith("file:")]


def tell_licences(bill: dict[str, Any]) -> None:
    """Fills in those that somebody has read."""
    for part in bill["components"]:
        if not part.get("licenses") and part["name"] in READ:
            part["licenses"] = [{"license": {"id": READ[part["name"]]}}]


def unlicensed(bill: dict[str, Any]) -> list[str]:
    """The parts whose licence the bill does not know."""
    return [part["name"] for part in bill["components"] if not part.get("licenses")]
