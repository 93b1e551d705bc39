"""Our trainer and the plain loop on the same images, behind one function: step number to loss."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.plain_loop import PlainLoop
from benchmarks.tuning.private_folder import candidates, person
from fedshow.edlora.methods import METHODS
from fedshow.families import open_base
from fedshow.sampling.model import Model
from fedshow_client.tuning.data.captions import Captions
from fedshow_client.tuning.data.latents import cache_latents
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Subject, Trainer

Step = Callable[[int], float]
CHARACTER = "gloop"


def ours(folder: Path, captions: bool) -> Step:
    """The step of `fedshow tune`."""
    someone, base = person(CHARACTER, folder), open_base("toyworld")
    images, recipe = candidates(someone, captions), Recipe.for_base(base)
    texts = Captions(someone.concept, someone.class_word, [image.caption for image in images])
    latents = cache_latents(base, images, recipe, recipe.seed)
    subject = Subject(someone.concept, someone.class_word, texts, latents)
    return Trainer(Model(base), subject, METHODS["ed-lora"], recipe).step


def plain(folder: Path, captions: bool) -> Step:
    """The step of the plain loop."""
    someone, base = person(CHARACTER, folder), open_base("toyworld")
    images, recipe = candidates(someone, captions), Recipe.for_base(base)
    return PlainLoop(base, images, someone.concept, someone.class_word, recipe).step


LOOPS = {"ours": ours, "plain": plain}
