"""Queuing a concept: what can be refused is refused now, not hours later when its turn comes."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fedshow.concepts import check_class, check_name
from fedshow.errors import InvalidInput
from fedshow.transfer.servers import KnownServer
from fedshow_client.queue import NewJob
from fedshow_client.tuning.changes import read_changes
from fedshow_client.tuning.recipe import Recipe

if TYPE_CHECKING:
    from fedshow_client.tuning.data.folder import ImageFolder


def check_contributes(server: KnownServer) -> None:
    """Raises InvalidInput unless this node may bring concepts to the server."""
    if not server.role.contributes:
        raise InvalidInput(
            f"this node is a {server.role} at {server.name}, which takes concepts from contributors "
            "and owners: ask its owner for a contributor's join code"
        )


def tune_options(changes: Iterable[str], **named: Any) -> dict[str, Any]:
    """The options of `fedshow tune` that were given, by name.

    Raises InvalidInput for a method, a setting or a value that does not exist.
    """
    settings = list(changes)
    given = {name: value for name, value in named.items() if value is not None}
    numbers = {name: value for name, value in given.items() if name in Recipe.model_fields}
    Recipe.of(numbers | read_changes(settings))
    _words(given)
    return given | ({"set": settings} if settings else {})


def check(new: NewJob) -> tuple["ImageFolder", bool]:
    """The images of a job, and whether the base is here already, so that all captions fit.

    Raises InvalidInput for impossible names, no usable images and captions that the base cannot read.
    """
    from fedshow_client.tuning.data.folder import scan
    from fedshow_client.tuning.data.words import check_words

    check_name(new.name)
    check_class(new.class_word)
    found = scan(new.images)
    words = _words(new.options)
    return found, check_words(new.base, new.name, new.class_word, found.accepted, words)


def _words(options: Mapping[str, Any]) -> int:
    """How many token words the method gives a concept."""
    if "method" not in options:
        return 2
    from fedshow.edlora.methods import method_named  # needs torch

    return len(method_named(options["method"]).words)
