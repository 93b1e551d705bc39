"""Queuing a concept: what can be refused is refused now, not hours later when its turn comes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedshow.concepts import check_class, check_name
from fedshow.errors import InvalidInput
from fedshow.transfer.servers import KnownServer, find_server, known_servers
from fedshow_client.queue import Job, NewJob, Queue
from fedshow_client.tuning.changes import read_changes
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.visibility import check_visible_to

if TYPE_CHECKING:
    from fedshow_client.tuning.data.folder import ImageFolder


@dataclass(frozen=True)
class Wishes:
    """What somebody asks for beside images, name and class; None: as the recipe or the settings say."""

    named: Mapping[str, Any]
    """Options of `fedshow tune` by name."""
    changes: Sequence[str] = ()
    """Other numbers of the recipe, as KEY=VALUE."""
    max_leakage: float | None = None
    priority: int = 0
    visible_to: Sequence[str] = ()


@dataclass(frozen=True)
class Queued:
    """What has become of a wish."""

    job: Job
    images: "ImageFolder"
    base_is_here: bool
    """Whether captions could be checked already."""


def queue_concept(
    queue: Queue, server: KnownServer, images: Path, name: str, class_word: str, wishes: Wishes
) -> Queued:
    """The job, checked and queued for the server.

    Raises InvalidInput for all that `check_contributes`, `tune_options`, `check` and the queue refuse.
    """
    check_contributes(server)
    options = tune_options(wishes.changes, **wishes.named, max_leakage=wishes.max_leakage)
    new = NewJob(
        server.name,
        name,
        class_word,
        images.absolute(),
        server.base_source,
        wishes.priority,
        options,
        check_visible_to(wishes.visible_to),
    )
    found, base_is_here = check(new)
    return Queued(queue.add(new), found, base_is_here)


def one_server(name: str | None, home: Path) -> KnownServer:
    """The joined server of this name, or the only one; raises InvalidInput, NotFound."""
    if name is not None:
        return find_server(name, home)
    servers = known_servers(home)
    if len(servers) != 1:
        listed = ", ".join(server.name for server in servers)
        raise InvalidInput(
            f"several servers are joined; choose with --server: {listed}"
            if servers
            else "no server joined yet: fedshow client join CODE"
        )
    return servers[0]


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
