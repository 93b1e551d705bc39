"""Recording what a fusion needs to know of a concept, and of the base: drawn here, from prompts alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import product

import torch
from torch import Tensor

from fedshow.concepts import ConceptFile
from fedshow.concepts.keys import DOWN, UP, layers_in
from fedshow.edlora.tokens import ConceptTokens
from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow.releases.updates import as_adapters
from fedshow.sampling.model import Model
from fedshow_server.fusion import prompts
from fedshow_server.fusion.grams import Precision
from fedshow_server.fusion.listening import EMPHASIS, listening_to_pictures, read
from fedshow_server.fusion.moments import Moments
from fedshow_server.fusion.statistics import Seen, Statistics
from fedshow_server.fusion.sums import energy
from fedshow_server.fusion.unfusable import UnfusableConcept
from fedshow_server.fusion.wiring import turned


@dataclass(frozen=True)
class Drawn:
    """Prompts to draw, from which seeds, and texts that are only encoded."""

    prompts: tuple[str, ...]
    texts: tuple[str, ...]
    seeds: tuple[int, ...]

    def naming(self, name: str) -> "Drawn":
        """The same about one concept."""
        drawn, texts = (prompts.for_concept(each, name) for each in (self.prompts, self.texts))
        return Drawn(drawn, texts, self.seeds)

    def about_class(self, templates: tuple[str, ...], class_word: str) -> "Drawn":
        """These prompts, and the same texts, with a class word."""
        drawn, texts = (prompts.for_class(each, class_word) for each in (templates, self.texts))
        return Drawn(drawn, texts, self.seeds)

    def about_anything(self, things: tuple[str, ...]) -> "Drawn":
        """The same about things that nobody teaches."""
        drawn, texts = (prompts.for_anything(each, things) for each in (self.prompts, self.texts))
        return Drawn(drawn, texts, self.seeds)


@dataclass(frozen=True)
class Plan:
    """How richly to record: from which seeds, with how many denoising steps."""

    fit_seeds: tuple[int, ...] = (0, 1)
    heldout_seeds: tuple[int, ...] = (1000,)
    steps: int = 20
    fit_prompts: int = len(prompts.FIT)
    """How many of the prompts for the fit are drawn, the first ones."""

    texts: int = len(prompts.TEXT_FIT)
    """How many texts are read, the first ones."""

    things: int = len(prompts.THINGS_FIT)
    """How many things that nobody teaches are drawn and read, the first ones."""

    precision: Precision | None = None
    """Of the products that are added up; None: what suits the device. All estimate the same moments."""

    at_once: int | None = None
    """How many pictures are drawn together at most, which changes none of them."""

    on_host: bool = False
    """Whether sums are kept in host memory while a card draws."""

    through: Mapping[str, Tensor] | None = None
    """A fused update, as releases keep it, with which concepts are drawn instead of their own adapters."""

    @property
    def fit(self) -> Drawn:
        """What is drawn and read for the fit."""
        texts = prompts.TEXT_FIT[: self.texts]
        return Drawn(prompts.FIT[: self.fit_prompts], texts, self.fit_seeds)

    @property
    def heldout(self) -> Drawn:
        """The same for the choice of the regularisation."""
        return Drawn(prompts.HELDOUT, prompts.TEXT_HELDOUT[: self.texts], self.heldout_seeds)

    def generic(self, class_word: str) -> tuple[Drawn, Drawn]:
        """Both without a concept: about a class, or ('') about anything."""
        if not class_word:
            fit, heldout = self._things
            return self.fit.about_anything(fit), self.heldout.about_anything(heldout)
        return (
            self.fit.about_class(prompts.CLASS_FIT, class_word),
            self.heldout.about_class(prompts.CLASS_HELDOUT, class_word),
        )

    @property
    def _things(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return prompts.THINGS_FIT[: self.things], prompts.THINGS_HELDOUT[: self.things]

    @property
    def settings(self) -> str:
        """All that decides what is recorded, in words; what was recorded otherwise does not add up."""
        classes = (prompts.CLASS_FIT, prompts.CLASS_HELDOUT)
        drawn = (self.fit, self.heldout, classes, self._things, EMPHASIS)
        digest = sha256(repr(drawn).encode()).hexdigest()[:12]
        fit, heldout = (",".join(map(str, s)) for s in (self.fit_seeds, self.heldout_seeds))
        drawn_by = ", through a fusion" if self.through is not None else ""
        return f"prompts {digest}, seeds {fit} and {heldout}, {self.steps} steps{drawn_by}"


def check_prompts(base: Base, concept: ConceptFile, plan: Plan) -> None:
    """Raises UnfusableConcept when what is recorded of a concept or of its class is too long for the base."""
    header = concept.header
    drawn = (plan.fit.naming(header.name), plan.heldout.naming(header.name))
    tokens = ConceptTokens(base.text_encoders, base.card.slots)
    try:
        tokens.load_concept(header.name, header.words, concept.tensors())
        for each in (*drawn, *plan.generic(header.class_word)):
            tokens.check(each.prompts + each.texts)
    except InvalidInput as error:
        raise UnfusableConcept(header.name, str(error)) from None
    finally:
        tokens.detach()


def record_concept(base: Base, concept: ConceptFile, plan: Plan) -> Statistics:
    """What a fusion needs of a concept: the base draws it, with this concept alone."""
    header, tensors = concept.header, concept.tensors()
    fit, heldout = (drawn.naming(header.name) for drawn in (plan.fit, plan.heldout))
    return Statistics(
        name=header.name,
        class_word=header.class_word,
        sha256=concept.sha256,
        base_sha256=header.base.sha256,
        scale=header.scale,
        adapters={
            layer: (tensors[layer + DOWN], tensors[layer + UP]) for layer in layers_in(tensors)
        },
        seen=_record_both(base, [concept], plan, fit, heldout),
    )


def record_generic(base: Base, class_word: str, plan: Plan) -> Seen:
    """What the bare base reads on prompts with a class word, or ('') on those about anything."""
    seen = _record_both(base, [], plan, *plan.generic(class_word))
    return seen if class_word else replace(seen, given=_given(base, seen.heldout))


def _given(base: Base, moments: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean |W0 x|² of what each layer gives for inputs with these moments, a turned one for keys."""
    found = {}
    for layer, module in base.layers.items():
        weight_OI = module.weight.detach().to(base.device).float()
        found[layer] = energy(weight_OI, moments[base.family.input_of(layer)].to(weight_OI))
        keys = base.family.keys_of(layer)
        if keys is not None:
            found[turned(layer)] = energy(weight_OI.T, moments[keys].to(weight_OI))
    return found


def _record_both(
    base: Base, concepts: Sequence[ConceptFile], plan: Plan, fit: Drawn, heldout: Drawn
) -> Seen:
    """What the base with these concepts reads; the base is left as it was."""
    model = Model(base)
    try:
        for concept in concepts:
            _add(model, concept, plan.through)
        return Seen(record(model, fit, plan).means(), record(model, heldout, plan).means())
    finally:
        model.restore()


def _add(model: Model, concept: ConceptFile, through: Mapping[str, Tensor] | None) -> None:
    if through is None:
        model.add_concept(concept)
    else:
        model.add_words(concept)
        model.add_adapters(as_adapters(through))


def record(model: Model, drawn: Drawn, plan: Plan) -> Moments:
    """Moments of everything the model's layers read: those that read text from the texts, all others
    while every prompt is drawn from every seed.
    """
    moments = Moments(plan.precision, torch.device("cpu") if plan.on_host else None)
    read(model, drawn.texts, moments)
    at_once = plan.at_once or max(1, len(drawn.prompts))
    for seed, start in product(drawn.seeds, range(0, len(drawn.prompts), at_once)):
        some = list(drawn.prompts[start : start + at_once])
        with listening_to_pictures(model.base, moments.add):
            model.sample_latents(some, seed=seed + start, steps=plan.steps)
    return moments
