"""What makes a concept wait for the server's owner before anybody gets it in a release.

Everything here is known without drawing, as soon as a concept is recorded.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from fedshow.concepts import ConceptFile
from fedshow.families import Base
from fedshow_server.fusion.statistics import Statistics
from fedshow_server.fusion.vetting.behaviour import MomentOf, check_behaviour
from fedshow_server.fusion.vetting.norms import Norms, check_norms
from fedshow_server.fusion.vetting.words import check_words

__all__ = ["Vetting"]


@dataclass(frozen=True)
class Vetting:
    """What one server's owner wants to see first."""

    trusted: Collection[str] = ()
    """Digests of concept files that nobody need look at."""

    protected_words: Collection[str] = ()
    """Words of prompts that no concept may mean as well."""

    def check(
        self,
        concept: ConceptFile,
        statistics: Statistics,
        base: Base,
        generic: MomentOf,
        accepted: Iterable[Norms],
    ) -> None:
        """Raises OddConcept; `accepted` are the norms of the concepts that are fused already."""
        if concept.sha256 in self.trusted:
            return
        check_norms(statistics, list(accepted))
        check_words(concept, base, self.protected_words)
        check_behaviour(statistics, base, generic)
