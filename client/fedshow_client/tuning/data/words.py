"""Whether a base can read captions and class: asked of its tokenizer alone, without weights or torch."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fedshow.concepts.names import expand_prompt, words_of
from fedshow.errors import InvalidInput
from fedshow.toyworld import WEIGHTS
from fedshow_client.tuning.data.captions import captions_for

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
    concepts = {name: words_of(name, words)}
    tokenizer.add_tokens(list(concepts[name]))
    for image in images:
        for caption in captions_for(name, class_word, image.caption):
            try:
                _check_caption(tokenizer, base, expand_prompt(caption, concepts))
            except InvalidInput as error:
                raise InvalidInput(f"caption of {image.path.name}: {error}") from None
    return True


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
    from transformers import CLIPTokenizer

    source = str(WEIGHTS) if base == "toyworld" else base
    try:
        return CLIPTokenizer.from_pretrained(source, subfolder="tokenizer", local_files_only=True)
    except (OSError, ValueError):
        return None
