"""Whether a base can read captions and class: asked of its tokenizer alone, without weights or torch."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedshow.concepts.names import expand_prompt, words_of
from fedshow.errors import InvalidInput
from fedshow.families.checkpoint_kinds import read_checkpoint
from fedshow.families.hub import in_cache
from fedshow.families.tokenizer import tokenizer_here
from fedshow.toyworld import WEIGHTS
from fedshow_client.tuning.data.captions import captions_for

FILES = ("vocab.json", "tokenizer.json")
NOT_HERE = "whether captions fit is seen when the tokenizer of base {} is here"

if TYPE_CHECKING:
    from fedshow_client.tuning.data.folder import Candidate


def check_words(
    base: str, name: str, class_word: str, images: Iterable["Candidate"], words: int = 2
) -> bool:
    """Whether the base's tokenizer is here; if so it can read all captions, `words` to a concept.

    Raises InvalidInput for a class that is not one token, a caption that is too long and one that
    mentions another concept.
    """
    tokenizer = _tokenizer(base)
    if tokenizer is None:
        return False
    _check_class(tokenizer, base, class_word)
    for image, fault in _faults(tokenizer, base, name, class_word, images, words):
        raise InvalidInput(f"caption of {image.path.name}: {fault}")
    return True


def unreadable(
    base: str, name: str, class_word: str, images: Iterable["Candidate"]
) -> dict[Path, str] | None:
    """Why captions cannot be read, by image; None when the base's tokenizer is not here to ask.

    Captions made here always fit, so without written ones no tokenizer is loaded.
    """
    written = [image for image in images if image.caption]
    if not written:
        return {}
    tokenizer = _tokenizer(base)
    if tokenizer is None:
        return None
    found = _faults(tokenizer, base, name, class_word, written, words=2)
    return {image.path: str(fault) for image, fault in found}


def _faults(
    tokenizer: Any,
    base: str,
    name: str,
    class_word: str,
    images: Iterable["Candidate"],
    words: int,
) -> Iterator[tuple["Candidate", InvalidInput]]:
    concepts = {name: words_of(name, words)}
    tokenizer.add_tokens(list(concepts[name]))
    for image in images:
        try:
            for caption in captions_for(name, class_word, image.caption):
                _check_caption(tokenizer, base, expand_prompt(caption, concepts))
        except InvalidInput as error:
            yield image, error


def _check_class(tokenizer: Any, base: str, class_word: str) -> None:
    count = len(tokenizer(class_word, add_special_tokens=False).input_ids)
    if count != 1:
        raise InvalidInput(
            f"class {class_word!r} is {count} tokens for base {base!r}; use a word that is one token"
        )


def _check_caption(tokenizer: Any, base: str, text: str) -> None:
    limit = tokenizer.model_max_length
    count = len(tokenizer(text, verbose=False).input_ids)
    if count > limit:
        raise InvalidInput(f"{count} tokens, base {base!r} reads {limit}: {text!r}")


def _tokenizer(base: str) -> Any:
    """The base's tokenizer; None when it is not on this machine."""
    if Path(base).is_file():
        return tokenizer_here(read_checkpoint(Path(base)), "text_encoder")
    from transformers import CLIPTokenizer

    # asked for a folder that is not there, it would make up an empty one
    folder = _folder(base)
    return CLIPTokenizer.from_pretrained(folder) if folder else None


def _folder(base: str) -> Path | None:
    folder = WEIGHTS if base == "toyworld" else Path(base)
    places = (folder / "tokenizer" / name for name in FILES)
    if not folder.is_dir():
        places = (found for name in FILES if (found := in_cache(base, f"tokenizer/{name}")))
    return next((place.parent for place in places if place.is_file()), None)
