"""Opening whatever can be drawn with."""

from pathlib import Path

from fedshow.concepts import read_concept
from fedshow.errors import InvalidInput
from fedshow.families.opening import open_base
from fedshow.families.placing import Arrange, settle
from fedshow.given import kind_of
from fedshow.sampling.model import Model


def load(
    model: str | Path, base: str | None = None, device: str = "cpu", arrange: Arrange = settle
) -> Model:
    """A release folder, a concept file (with its base) or a base, ready to draw.

    `arrange` brings the base to the device: on a card in the precision, and as much of it, as fits.
    Raises InvalidInput when `model` is none of them, BaseMismatch for a concept of another base,
    Damaged for a release that is not whole.
    """
    kind = kind_of(model)
    if kind == "concept":
        opened = _bare(base or "toyworld", device, arrange)
        opened.add_concept(read_concept(Path(model), opened.base.card))
        return opened
    if base is not None:
        raise InvalidInput(f"{str(model)!r} is no concept file; only a concept file takes a base")
    if kind == "release":
        from fedshow.releases.loading import load_release

        return load_release(Path(model), device, arrange)
    try:
        return _bare(str(model), device, arrange)
    except InvalidInput as error:
        raise InvalidInput(f"no release folder and no concept file: {error}") from error


def _bare(base: str, device: str, arrange: Arrange) -> Model:
    opened = open_base(base)
    arrange(opened, device)
    return Model(opened)
