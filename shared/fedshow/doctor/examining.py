"""Runs the checks of every installed part side by side; whatever one of them raises is a finding, too."""

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from threading import Thread

from fedshow.doctor.finding import Check, Finding, Question, problem, warning
from fedshow.errors import FedshowError, first_line

GROUP = "fedshow.checks"
REINSTALL = "pip install --force-reinstall --no-deps fedshow; from a clone: make setup"
NOTHING = problem("fedshow", "no part brings any checks: it is not well installed", REINSTALL)


def all_checks() -> dict[str, Check]:
    """The checks of every part, the shared ones last, because the slowest is among them.

    A part that cannot be loaded has one check, which says so; so has an installation without any.
    """
    found: dict[str, Check] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        try:
            brought: Mapping[str, Check] = point.load()
        except Exception as error:
            brought = {f"part {point.name}": _unusable(point.name, error)}
        found |= brought
    return found or {"installed": lambda _: [NOTHING]}


def examine(checks: Mapping[str, Check], question: Question) -> Iterator[tuple[str, Finding]]:
    """Every finding with its check's name, in the checks' order, each check as soon as it is through."""
    looks = [_Look(name, check, question) for name, check in checks.items()]
    for look in looks:
        look.start()
    for look in looks:
        look.join()
        yield from ((look.name, finding) for finding in look.found)


class _Look(Thread):
    """One check at work; nobody waits for it after Ctrl-C."""

    def __init__(self, name: str, check: Check, question: Question) -> None:
        super().__init__(name=name, daemon=True)
        self._check, self._question = check, question
        self.found: list[Finding] = []

    def run(self) -> None:
        """Looks."""
        self.found = _guarded(self.name, self._check, self._question)


def _guarded(name: str, check: Check, question: Question) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check(question))  # keeps what came before an error
    except FedshowError as error:
        found.append(problem(name, str(error), error.next_step))
    except Exception as error:
        says = f"this check failed: {type(error).__name__}: {first_line(error)}"
        found.append(warning(name, says, "please report it: that is a mistake of fedshow's"))
    return found


def _unusable(part: str, error: Exception) -> Check:
    finding = problem(
        f"part {part}",
        f"is here, but cannot be used: {first_line(error)}",
        f"pip install 'fedshow[{part}]'",
    )
    return lambda _: [finding]
