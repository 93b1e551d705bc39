"""A concept, a release or a base in another program's format."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedshow.errors import InvalidInput
from fedshow.files import check_apart
from fedshow.formats.about import About
from fedshow.formats.content import Content
from fedshow.formats.edlora import folds_exactly
from fedshow.formats.format import Format, Options
from fedshow.formats.listed import FORMATS
from fedshow.formats.source import Source
from fedshow.formats.words import loses_layers


@dataclass(frozen=True)
class Exported:
    """What was written where."""

    out: Path
    about: About


def export_model(
    model: str | Path,
    to: str,
    out: str | Path,
    *,
    base: str | None = None,
    bundle: bool = False,
    full: bool = False,
) -> Exported:
    """Writes a concept file, a release folder or (as a single file) a base to `out` in the format `to`.

    What the format cannot hold, `about.note` of the answer says, and so does the file. `base` is where a
    concept's weights are merged into; `bundle` puts words into a kohya file; `full` writes a single file in
    single precision. Raises InvalidInput.
    """
    if to not in FORMATS:
        raise InvalidInput(f"format {to!r}: use {', '.join(FORMATS)}")
    wanted, place = FORMATS[to], Path(out)
    _check_place(wanted, place)
    check_apart(place, model, base)
    _check_options(wanted, {"base": base, "bundle": bundle, "full": full})
    source = Source(str(model), base)
    about = _about(source, wanted)
    wanted.write(source, place, about, Options(bundle, full))
    return Exported(place, about)


def _about(source: Source, wanted: Format) -> About:
    """What is to be said of the content in this format."""
    if wanted.merges and not source.has_content:
        return source.merged[1]
    content = source.content
    if wanted.needs_adapters and not content.layers:
        raise InvalidInput(f"{source.name!r} has words alone; use --to embeddings or diffusers")
    notes = list(_losses(content, wanted))
    mean = not wanted.layered and loses_layers(content)
    said = {"tokens": "mean" if mean else "layers", "note": "; ".join(notes)}
    return content.about.model_copy(update=said)


def _losses(content: Content, wanted: Format) -> list[str]:
    """What the format cannot hold, in words."""
    lost = []
    if not wanted.layered and loses_layers(content):
        lost.append(
            f"words have one vector here: the mean of their {content.about.slots} layer-wise ones"
        )
    if wanted.drops_adapters and content.layers:
        lost.append(f"adapters of {len(content.layers)} layers are not in {wanted.name}")
    if wanted.folds_alpha and not all(map(folds_exactly, content.layers.values())):
        lost.append("alpha / rank is folded into lora_up, rounded once")
    return lost


def _check_options(wanted: Format, given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value and option not in wanted.options:
            takers = [each.name for each in FORMATS.values() if option in each.options]
            raise InvalidInput(f"--{option} is for {', '.join(takers)}, not for {wanted.name}")


def _check_place(wanted: Format, out: Path) -> None:
    """Raises InvalidInput when writing there would mix with something else."""
    if wanted.suffix and out.suffix.lower() != wanted.suffix:
        raise InvalidInput(f"{out}: {wanted.name} is one file, named …{wanted.suffix}")
    if wanted.suffix and out.is_dir():
        raise InvalidInput(f"{out} is a folder; name a file in it")
    if not wanted.suffix and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out}: {wanted.name} is a folder, it must be empty or new")
