"""The seam every format fills in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fedshow.formats.about import About
from fedshow.formats.source import Source
from fedshow.formats.spelling import AlphaOf, Spelling
from fedshow.formats.words import Rows


@dataclass(frozen=True)
class Options:
    """What some formats can be told."""

    bundle: bool = False
    """Words inside the file of the adapters, not beside it."""

    full: bool = False
    """Weights of a checkpoint in single precision, not in half."""


@dataclass(frozen=True)
class Foreign:
    """Another program's file, read but not yet understood for a base."""

    tensors: Mapping[str, Tensor]
    """Halves, and alphas where these are tensors."""

    spelling: Callable[[str], Spelling]
    """Of a family."""

    words: tuple[Rows, ...] = ()
    about: About | None = None
    """What the file says of itself, when fedshow has written it."""
    alpha_of: AlphaOf = lambda _name, rank: float(rank)


@dataclass(frozen=True)
class Format:
    """One way to keep adapters and words."""

    name: str
    suffix: str
    """What OUT ends with when it is a file; nothing when it is a folder."""

    layered: bool
    """Whether a word keeps a row for every layer."""

    write: Callable[[Source, Path, About, Options], None]
    """Puts the source's content into a file or a new folder."""

    recognises: Callable[[Path], bool] = lambda _path: False
    """Whether a file or folder is of this format, as far as names tell."""

    read: Callable[[Path], Foreign] | None = None
    """What is in it; raises InvalidInput. None: the format is only written."""

    needs_adapters: bool = False
    """Whether words alone are nothing to write."""

    drops_adapters: bool = False
    """Whether words are all that it holds."""

    merges: bool = False
    """Whether adapters go into whole weights, so that a bare base can be written, too."""

    folds_alpha: bool = False
    """Whether `alpha / rank` goes into the halves."""

    options: frozenset[str] = frozenset()
    """Which of `base`, `bundle` and `full` it can be told."""
