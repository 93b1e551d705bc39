"""How much of everything the benchmark does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The whole is what issue and docs ask for; less is a dry run."""

    kills: int = 5
    """Of each kind of process."""
    cases: int = 10_000
    """Of each kind of input that is fuzzed."""
    clients: int = 200
    """That offer a concept at once."""
    downloads: int = 50
    """At once, with random aborts."""
    virtual: int = 100
    """Clients of Flower's simulation engine."""
    fused: int = 14
    """Concepts in the release whose size is measured: the paper's largest fusion."""
    seed: int = 0
