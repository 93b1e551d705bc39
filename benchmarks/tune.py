"""`make bench-tune`: how fast tuning is, and how good its concepts are, method against method."""

import argparse
from pathlib import Path

from benchmarks.tuning.study import do, search_runs

WORK = Path("build/bench-tune")


def main() -> None:
    """Measures what the work folder does not have yet, prints tables, writes `tune.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK, help="raw results, kept between runs")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--search", action="store_true", help="only search learning rates")
    args = parser.parse_args()
    if args.search:
        for run, result in do(search_runs(), args.work, args.workers):
            print(run.method, run.character, run.factor, f"{result['scores']['1']['identity']:.3f}")


if __name__ == "__main__":
    main()
