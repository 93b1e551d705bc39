"""What is recorded: the very inputs of the layers, text side and pictures."""

from pathlib import Path

import pytest
import torch

from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_server.fusion.fuse import fuse
from fedshow_server.fusion.listening import EMPHASIS, context_slots, emphasised
from fedshow_server.fusion.prompts import THINGS_FIT, THINGS_HELDOUT
from fedshow_server.fusion.recording import Drawn, Plan, record, record_generic
from fedshow_server.fusion.unfusable import UnfusableConcept
from fedshow_server.fusion.wiring import Wiring
from tests.conftest import MakeConcept
from tests.stage.concepts import random_concept


def test_moments_are_those_of_the_layers_inputs(base: Base) -> None:
    """One layer's recorded moment equals the one computed from inputs caught by hand."""
    model = Model(base)
    caught: list[torch.Tensor] = []
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"
    spy = base.layers[layer].register_forward_pre_hook(lambda _, args: caught.append(args[0]))
    moments = record(model, Drawn(("a robot", "a bunny"), ("a kitten",), (3,)), Plan(steps=2))
    spy.remove()
    model.restore()
    prompted = torch.cat([x[len(x) // 2 :].flatten(0, 1) for x in caught]).double()
    expected = prompted.T @ prompted / len(prompted)
    torch.testing.assert_close(moments.mean(base.family.input_of(layer)), expected)
    wiring = Wiring.of(base.card, base.family)
    assert set(moments.sums) == set(wiring.readers)


def test_text_features_are_recorded_as_cross_attention_reads_them(
    base: Base, make_concept: MakeConcept
) -> None:
    """Encoded once, slot by slot, with the concept's words and the end counting more."""
    model = Model(base)
    model.add_concept(make_concept("potter", 1))
    text = "photo of a <potter> in the snow"
    slots = context_slots(base)
    caught: dict[str, torch.Tensor] = {}
    spies = [
        module.register_forward_pre_hook(
            lambda _, args, layer=name: caught.update({base.family.input_of(layer): args[0][-1]})
        )
        for name, module in base.layers.items()
        if name.endswith("attn2.to_v")
    ]
    model.sample_latents([text], seed=0, steps=1)
    for spy in spies:
        spy.remove()
    moments = record(model, Drawn((), (text,), ()), Plan())
    ids = model.tokens.token_ids([text])[0].tolist()
    words = [
        base.pipeline.tokenizer.convert_tokens_to_ids(w) for w in model.tokens.concepts["potter"]
    ]
    counts = {ids.index(token) for token in (*words, base.pipeline.tokenizer.eos_token_id)}
    weight_T = torch.ones(len(ids), dtype=torch.float64)
    weight_T[list(counts)] = EMPHASIS
    model.restore()
    assert len(counts) == len(words) + 1
    assert len(slots) == base.card.slots
    for name in slots:
        features_TD = caught[name].double()
        expected = features_TD.T @ (features_TD * weight_T[:, None]) / weight_T.sum()
        torch.testing.assert_close(moments.mean(name), expected, rtol=1e-4, atol=1e-5)


def test_in_texts_without_a_concept_words_count_more_than_padding(base: Base) -> None:
    model = Model(base)
    rows_BST, weights_BST = emphasised(model.tokens.first, ["a robot in the snow", ""])
    model.restore()
    ends = [row.index(base.pipeline.tokenizer.eos_token_id) for row in rows_BST[:, 0].tolist()]
    assert rows_BST.shape[1] == 1, "all slots read the same"
    assert ends[0] - ends[1] == 5
    for weights_T, end in zip(weights_BST[:, 0], ends, strict=True):
        assert (weights_T[: end + 1] == EMPHASIS).all()
        assert (weights_T[end + 1 :] == 1).all()


def test_fit_and_choice_read_different_texts() -> None:
    plan = Plan()
    for part in (lambda drawn: drawn.prompts, lambda drawn: drawn.texts, lambda drawn: drawn.seeds):
        assert not set(part(plan.fit)) & set(part(plan.heldout))
    assert len(set(plan.fit.texts)) > 40
    assert len(set(plan.heldout.texts)) > 40


def test_things_that_nobody_teaches_differ_between_fit_and_choice() -> None:
    """The empty text, every template and every thing, in both."""
    fit, heldout = Plan().generic("")
    classes = Plan().generic("robot")
    for drawn, things in ((fit, THINGS_FIT), (heldout, THINGS_HELDOUT)):
        assert "" in drawn.prompts
        assert all(any(thing in prompt.split() for prompt in drawn.prompts) for thing in things)
        assert all(any(thing in text.split() for text in drawn.texts) for thing in things)
    assert not set(THINGS_FIT) & set(THINGS_HELDOUT)
    assert all("robot" in prompt for drawn in classes for prompt in drawn.prompts + drawn.texts)


def test_texts_name_company_and_what_is_worn_and_a_short_base_reads_them_whole(base: Base) -> None:
    tokenizer = base.text_encoders[0].tokenizer
    for drawn, things in ((Plan().fit, THINGS_FIT), (Plan().heldout, THINGS_HELDOUT)):
        company = [text for text in drawn.texts if " and a " in f" {text} " or "left of" in text]
        assert len({text for text in company if "red" in text or "blue" in text}) >= 8
        assert sum("wearing" in text for text in drawn.texts) >= 24
        every = [text.format(thing) for text in drawn.texts for thing in things]
        assert max(map(len, tokenizer(every).input_ids)) <= tokenizer.model_max_length


def test_what_a_layer_gives_is_what_its_weight_makes_of_what_it_reads(base: Base) -> None:
    """Mean square of a layer's output while held-out prompts are drawn; of the base alone."""
    plan = Plan(fit_seeds=(0,), heldout_seeds=(3,), steps=2, fit_prompts=1, texts=2, things=2)
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_v"
    given: list[torch.Tensor] = []

    def spy(_: torch.nn.Module, __: object, output: torch.Tensor) -> None:
        given.append(output[len(output) // 2 :].flatten(0, 1))

    seen = record_generic(base, "", plan)
    assert record_generic(base, "robot", plan).given == {}
    model = Model(base)
    handle = base.layers[layer].register_forward_hook(spy)
    model.sample_latents(list(plan.generic("")[1].prompts), seed=3, steps=2)
    handle.remove()
    model.restore()
    expected = torch.cat(given).square().sum(1).mean()
    assert base.layers[layer].bias is None
    assert seen.given[layer] == pytest.approx(float(expected), rel=1e-4)


def test_a_class_that_makes_prompts_too_long_is_the_concepts_fault(
    base: Base, make_concept: MakeConcept, tmp_path: Path
) -> None:
    """It passes as a word, but is 30 tokens; with the name, the others can be fused without it."""
    table = base.pipeline.text_encoder.get_input_embeddings()
    path = tmp_path / "mimi.safetensors"
    strange = random_concept(path, base.card, "mimi", 2, class_word="x-" * 15)
    quick = Plan(fit_seeds=(0,), heldout_seeds=(1,), steps=1, fit_prompts=1, texts=2, things=1)
    with pytest.raises(UnfusableConcept, match=r"prompt of \d+ tokens, limit \d+: .*x-x-") as found:
        fuse(base, [make_concept("potter", 1), strange], plan=quick)
    assert found.value.name == "mimi"
    assert base.pipeline.text_encoder.get_input_embeddings() is table
