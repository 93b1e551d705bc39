"""Our trainer and the plain loop on the same images, behind one function: step number to loss."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.plain_loop import PlainLoop
from benchmarks.private_folder import candidates, person
from fedshow.commands.output import say
from fedshow.demo.folders import Person
from fedshow.families import Base, open_base
from fedshow_client.tuning.data.folder import Candidate
from fedshow_client.tuning.preparing import Lesson, prepare
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Trainer

Step = Callable[[int], float]
CHARACTER = "gloop"


def ours(folder: Path, captions: bool) -> Step:
    """The step of `fedshow tune` on toyworld."""
    someone, base = person(CHARACTER, folder), open_base("toyworld")
    return our_trainer(base, someone, candidates(someone, captions), Recipe.for_base(base)).step


def plain(folder: Path, captions: bool) -> Step:
    """The step of the plain loop on toyworld."""
    someone, base = person(CHARACTER, folder), open_base("toyworld")
    return plain_loop(base, someone, candidates(someone, captions), Recipe.for_base(base)).step


def our_trainer(
    base: Base,
    someone: Person,
    images: list[Candidate],
    recipe: Recipe,
    method: str = "ed-lora",
    device: str = "cpu",
) -> Trainer:
    """What `fedshow tune` makes before its first step, of a base in host memory."""
    lesson = Lesson(someone.concept, someone.class_word, images, recipe, method)
    return prepare(base, lesson, device, say)


def plain_loop(base: Base, someone: Person, images: list[Candidate], recipe: Recipe) -> PlainLoop:
    """The same concept as the paper's code would tune it."""
    return PlainLoop(base, images, someone.concept, someone.class_word, recipe)
