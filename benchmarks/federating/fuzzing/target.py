"""One reader under fire: what it is fed, what it makes of it, and an independent judge."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from fedshow.errors import FedshowError

HANG_SECONDS = 5.0
LONGEST_WORDS = 2000
SHOWN_BYTES = 4096
KEPT = 20
"""Of each kind of finding."""


class Hang(BaseException):
    """A case takes longer than any may."""


class Broken(Exception):
    """A reader in another process failed: its answer is neither yes nor a typed no."""


@dataclass(frozen=True)
class Target:
    """A reader. It refuses by raising a FedshowError; anything else that it raises is a crash."""

    name: str
    cases: SearchStrategy[bytes]
    seeds: tuple[bytes, ...]
    feed: Callable[[bytes], Any]
    fault: Callable[[bytes, Any], str | None]
    """Why a case that was taken is bad, by rules that do not share the reader's code."""
    guided: bool = True
    """Whether it runs in this process, so that coverage can be followed."""


@dataclass
class Outcome:
    """What came of all cases; findings with the bytes that show them, in hexadecimal digits."""

    cases: int = 0
    taken: int = 0
    crashes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)

    def judge(self, target: Target, case: bytes) -> None:
        """Feeds one case and writes down what is not as it must be."""
        self.cases += 1
        started = time.monotonic()
        try:
            with alarm(HANG_SECONDS):
                made = target.feed(case)
        except FedshowError as error:
            if not str(error).isprintable() or len(str(error)) > LONGEST_WORDS:
                self._note(
                    "crashes", target, f"refused in unreadable words: {str(error)!r:.80}", case
                )
        except Hang:
            self._note("hangs", target, f"more than {HANG_SECONDS:g} s", case)
        except Exception as error:
            self._note("crashes", target, f"{type(error).__name__}: {error!s:.120}", case)
        else:
            self.taken += 1
            if fault := _verdict(target, case, made):
                self._note("accepted", target, fault, case)
        if (seconds := time.monotonic() - started) > HANG_SECONDS:
            self._note("hangs", target, f"{seconds:.1f} s", case)

    def _note(self, kind: str, target: Target, what: str, case: bytes) -> None:
        self.totals[kind] = self.totals.get(kind, 0) + 1
        found: list[str] = getattr(self, kind)
        if len(found) < KEPT:
            found.append(f"{target.name}: {what!a}: {case[:SHOWN_BYTES].hex()}")


def _verdict(target: Target, case: bytes, made: Any) -> str | None:
    """Why the case is bad; so is what the judge cannot make sense of."""
    try:
        return target.fault(case, made)
    except (ValueError, TypeError, LookupError) as error:
        return f"the judge is at a loss: {type(error).__name__}: {error!s:.80}"


def generate(target: Target, cases: int, start: int) -> Outcome:
    """So many cases of the target's strategy, the valid ones first."""
    outcome = Outcome()
    for case in target.seeds[:cases]:
        outcome.judge(target, case)

    @seed(start)
    @settings(
        max_examples=max(1, cases - outcome.cases),
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=tuple(HealthCheck),
    )
    @given(target.cases)
    def each(case: bytes) -> None:
        outcome.judge(target, case)

    each()
    return outcome


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raises Hang inside when it takes longer; in the main thread only."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
