"""Options of the benchmarks that take hours: measured in parts, raw results kept in between."""

import argparse
from collections.abc import Iterable
from pathlib import Path


def options(doc: str | None, work: Path, parts: Iterable[str]) -> argparse.Namespace:
    """`work`, `workers` and `part` from the command line."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--work", type=Path, default=work, help="raw results, kept between runs")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--part", choices=tuple(parts), help="measure only this, write no figures")
    return parser.parse_args()
