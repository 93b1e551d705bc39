"""A concept file of another program's."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from torch import Tensor

from fedshow import __version__
from fedshow.concepts import (
    ConceptFile,
    ConceptHeader,
    check_class,
    check_name,
    words_of,
    write_concept,
)
from fedshow.concepts.header import Method
from fedshow.concepts.keys import DOWN, UP
from fedshow.errors import BaseMismatch, InvalidInput
from fedshow.families import Base, BaseCard, open_base
from fedshow.families.locating import is_public
from fedshow.files import check_apart
from fedshow.formats.about import About, Taught
from fedshow.formats.content import LowRank
from fedshow.formats.format import Foreign
from fedshow.formats.listed import FORMATS
from fedshow.formats.spelling import read_layers
from fedshow.formats.words import Rows, is_shared, read_embedding

MAX_WORDS = 4


def import_concept(
    file: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    class_word: str | None = None,
    base: str | None = None,
    embeddings: Sequence[str | Path] = (),
    leave_out: bool = False,
) -> ConceptFile:
    """Makes a concept file at `out` of what another program made, checked as any other.

    Name, class and base are taken from the file where it says them. `embeddings` are files with the
    concept's words, in order; without any word, the class word stands for the concept. `leave_out` passes
    over adapters of layers that fedshow does not adapt. Raises InvalidInput naming the key or the value,
    BaseMismatch when the file is for another base.
    """
    check_apart(Path(out), file, base, *embeddings)
    foreign = read_foreign(Path(file))
    about = foreign.about
    taught = _only(about, str(file))
    name = check_name(name or _said(taught.name if taught else None, "--name", str(file)))
    class_word = check_class(
        class_word or _said(taught.class_word if taught else None, "--class", str(file))
    )
    opened = open_base(base or _base_of(about, str(file)))
    _check_base(about, opened.card)
    layers = read_layers(
        foreign.tensors,
        foreign.spelling(opened.card.family),
        opened.card.layers,
        foreign.alpha_of,
        leave_out,
    )
    given = [word for each in embeddings for word in read_embedding(Path(each))]
    words = given or list(foreign.words) or [_class_row(opened, class_word)]
    tokens = _tokens(words, name, opened.card)
    if not layers and not (given or foreign.words):
        raise InvalidInput(f"{file}: no adapters and no words in it")
    header = _header(name, class_word, opened.card, layers, tokens)
    return write_concept(Path(out), header, {**_halves(layers), **tokens}, opened.card)


def read_foreign(path: Path) -> Foreign:
    """What is in a file or folder of whatever format it is; raises InvalidInput."""
    if not path.exists():
        raise InvalidInput(f"{path}: no such file or folder")
    for each in FORMATS.values():
        if each.read is not None and each.recognises(path):
            return each.read(path)
    readable = ", ".join(each.name for each in FORMATS.values() if each.read is not None)
    raise InvalidInput(f"{path} is none of {readable}")


def _only(about: About | None, file: str) -> Taught | None:
    if about is None or not about.concepts:
        return None
    if len(about.concepts) > 1:
        names = ", ".join(concept.name for concept in about.concepts)
        raise InvalidInput(f"{file} holds {names} fused; a concept file is of one concept")
    return about.concepts[0]


def _said(value: str | None, option: str, file: str) -> str:
    if value is None:
        raise InvalidInput(f"{option} is missing: {file} does not say it")
    return value


def _base_of(about: About | None, file: str) -> str:
    if about is None:
        raise InvalidInput(f"--base is missing: {file} does not say it")
    if not is_public(about.base.name):
        raise InvalidInput(
            f"--base is missing: {file} is for a folder with fingerprint {about.base.sha256[:12]}"
        )
    return about.base.name


def _check_base(about: About | None, card: BaseCard) -> None:
    if about is not None and about.base.sha256 != card.sha256:
        raise BaseMismatch(
            f"made for base {about.base.name} ({about.base.sha256[:12]}), this is {card.name} "
            f"({card.sha256[:12]})"
        )


def _class_row(base: Base, class_word: str) -> Rows:
    """What the base knows of the class word, where no word was taught."""
    from fedshow.edlora.tokens import ConceptTokens

    tokens = ConceptTokens(base.text_encoders, base.card.slots)
    try:
        return {
            words.encoder.token_key: words.class_row(class_word)[None] for words in tokens.encoders
        }
    finally:
        tokens.detach()


def _tokens(words: Sequence[Rows], name: str, card: BaseCard) -> dict[str, Tensor]:
    """Rows by key, one for every slot; raises InvalidInput for too many words or slots, or other widths."""
    if len(words) > MAX_WORDS:
        raise InvalidInput(f"{len(words)} words or vectors, a concept has at most {MAX_WORDS}")
    widths = card.token_dims
    found = {}
    for word, rows in zip(words_of(name, len(words)), words, strict=True):
        if rows.keys() != widths.keys():
            raise InvalidInput(
                f"{word} has {', '.join(sorted(rows))}; the base has {', '.join(widths)}"
            )
        for place, rows_SD in rows.items():
            found[f"{place}.{word}"] = _spread(word, rows_SD, card.slots, widths[place])
    return found


def _spread(word: str, rows_SD: Tensor, slots: int, width: int) -> Tensor:
    shape = list(rows_SD.shape)
    if len(shape) != 2 or shape[0] not in (1, slots) or shape[1] != width:
        raise InvalidInput(f"{word}: shape {shape}, must be [{slots}, {width}] or [1, {width}]")
    return rows_SD.expand(slots, width).contiguous()


def _halves(layers: Mapping[str, LowRank]) -> dict[str, Tensor]:
    found = {}
    for layer, pair in layers.items():
        found[layer + DOWN] = pair.down_RI
        found[layer + UP] = pair.up_OR
    return found


def _header(
    name: str,
    class_word: str,
    card: BaseCard,
    layers: Mapping[str, LowRank],
    tokens: Mapping[str, Tensor],
) -> ConceptHeader:
    first = next(iter(layers.values()), None)
    try:
        return ConceptHeader(
            family=card.family,
            base=card.ref,
            name=name,
            class_word=class_word,
            words=words_of(name, len({key.partition(".")[2] for key in tokens})),
            slots=card.slots,
            method=_method(layers, tokens),
            rank=first.rank if first else 1,
            alpha=first.alpha if first else 1.0,
            created=datetime.now(UTC).replace(microsecond=0),
            fedshow=__version__,
        )
    except ValueError as error:
        raise InvalidInput(
            f"rank {first and first.rank}, alpha {first and first.alpha}: {error}"
        ) from None


def _method(layers: Mapping[str, LowRank], tokens: Mapping[str, Tensor]) -> Method:
    """The one that makes such a concept."""
    if all(map(is_shared, tokens.values())):
        return "lora" if layers else "textual-inversion"
    return "ed-lora" if layers else "p-plus"
