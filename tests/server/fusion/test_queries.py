"""Cross-attention's queries, fused by the keys that they meet."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_server.fusion.ledger import open_ledger
from fedshow_server.fusion.listening import EMPHASIS, centred
from fedshow_server.fusion.recording import Drawn, Plan, record
from fedshow_server.fusion.report import layer_report
from fedshow_server.fusion.rules.gradient import gradient_fusion
from fedshow_server.fusion.sums import Layer, Part, energy, layer_of
from fedshow_server.fusion.update import Update, smallest
from fedshow_server.fusion.wiring import turned
from tests.conftest import MakeConcept
from tests.server.fusion.synthetic import RECORDING, WIRING, record_generic, statistics

IN, OUT, RANK, CONCEPTS = 10, 12, 2, 3
QUERY = "unet.a.attn2.to_q"


def make_layer() -> Layer:
    """All concepts read the same; each meets keys of its own."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    same_II = torch.eye(IN, dtype=torch.float64)
    near, far = [], []
    for number in range(CONCEPTS):
        down_RI, up_OR, own = (
            random(RANK, IN),
            random(OUT, RANK),
            torch.zeros(OUT, dtype=torch.float64),
        )
        own[number * 4 : number * 4 + 4] = 1.0
        near.append(Part(down_RI, up_OR, 1.0, same_II, same_II))
        far.append(Part(up_OR.T, down_RI.T, 1.0, own.diag(), own.diag()))
    guard_OO = 1e-9 * torch.eye(OUT, dtype=torch.float64)
    layer = layer_of(QUERY, "hidden", near, 1e-9 * same_II, 1e-9 * same_II)
    return replace(layer, turned=layer_of(turned(QUERY), "keys", far, guard_OO, guard_OO))


def missed(layer: Layer, delta_OI: Tensor) -> float:
    """Of the products with every concept's own keys, the worst concept's."""
    assert layer.turned is not None
    return max(
        energy((delta_OI - part.delta_OI.T).T, part.fit_II) / energy(part.delta_OI, part.fit_II)
        for part in layer.turned.parts()
        if part.fit_II is not None
    )


def test_every_concept_keeps_its_products_with_its_keys() -> None:
    """Where all inputs are alike, fusing by inputs is averaging."""
    layer = make_layer()
    assert missed(layer, gradient_fusion(layer).delta_OI) < 1e-3
    assert missed(layer, gradient_fusion(replace(layer, turned=None)).delta_OI) > 0.3


def test_the_update_is_an_exact_lora_of_all_adapters_inputs() -> None:
    layer = make_layer()
    delta_OI = gradient_fusion(layer).delta_OI
    parts = list(layer.parts())[:1]
    mixed = torch.randn(OUT, OUT, dtype=torch.float64) @ parts[0].delta_OI
    update = smallest(mixed, parts)
    assert update.down_NI is not None
    assert update.rank == RANK
    torch.testing.assert_close(update.delta_OI, mixed)
    torch.testing.assert_close(update.turned.delta_OI, mixed.T)
    torch.testing.assert_close(smallest(delta_OI, layer.parts()).delta_OI, delta_OI)


def test_a_report_judges_queries_by_keys() -> None:
    layer = make_layer()
    good = layer_report(layer, smallest(gradient_fusion(layer).delta_OI, layer.parts()))
    poor = layer_report(layer, Update(layer.sums.mean_OI / CONCEPTS, None))
    assert max(good["residual_heldout"]) < 1e-3  # type: ignore[call-overload]
    assert min(poor["residual_heldout"]) > 0.1  # type: ignore[call-overload]


def test_a_ledger_knows_queries_from_both_sides(tmp_path: Path) -> None:
    found = [statistics(seed) for seed in (1, 2)]
    with open_ledger(tmp_path / "ledger", WIRING, RECORDING) as ledger:
        record_generic(ledger)
        for each in found:
            ledger.add(each)
        layers = {layer.name: layer for layer in ledger.layers()}
    assert set(layers) == set(WIRING.layers)
    assert [name for name, layer in layers.items() if layer.turned] == [QUERY]
    other = layers[QUERY].turned
    assert other is not None
    keys = WIRING.queries[QUERY]
    expected = torch.zeros(7, 8, dtype=torch.float64)
    for each in found:
        down_RI, up_OR = (x.double() for x in each.adapters[QUERY])
        expected += each.scale * (up_OR @ down_RI).T @ each.seen.fit[keys].float().double()
    torch.testing.assert_close(other.sums.wanted_OI, expected)
    torch.testing.assert_close(other.sums.mean_OI, layers[QUERY].sums.mean_OI.T)


def test_keys_are_recorded_as_queries_meet_them(base: Base, make_concept: MakeConcept) -> None:
    """The concept's own, head by head, without what all keys of the text have in common."""
    model = Model(base)
    model.add_concept(make_concept("potter", 1))
    text = "photo of a <potter> in the snow"
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    caught: list[Tensor] = []
    spy = base.layers[layer].register_forward_hook(lambda *args: caught.append(args[2][-1]))
    model.sample_latents([text], seed=0, steps=1)
    spy.remove()
    moments = record(model, Drawn((), (text,), ()), Plan())
    ids = model.tokens.token_ids([text])[0].tolist()
    tokenizer = base.pipeline.tokenizer
    words = [tokenizer.convert_tokens_to_ids(w) for w in model.tokens.concepts["potter"]]
    heads = base.components["unet"].get_submodule(layer[5:].removesuffix(".to_k")).heads
    model.restore()
    weight_T = torch.ones(len(ids), dtype=torch.float64)
    weight_T[[ids.index(token) for token in (*words, tokenizer.eos_token_id)]] = EMPHASIS
    share_T1 = weight_T[:, None] / weight_T.sum()
    keys_TO = caught[0].double()
    keys_TO = keys_TO - (share_T1 * keys_TO).sum(0)
    width = keys_TO.shape[1] // heads
    found = moments.mean(str(base.family.keys_of(layer.replace("to_k", "to_q"))))
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        expected = keys_TO[:, own].T @ (share_T1 * keys_TO[:, own])
        torch.testing.assert_close(found[own, own], expected, rtol=1e-4, atol=1e-5)
        found[own, own] = 0
    assert heads > 1
    assert not found.any(), "one head's queries never meet another one's keys"


@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_what_all_keys_have_in_common_does_not_count(shift: float) -> None:
    keys_BTI = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    weights_BT = torch.rand(2, 5, generator=torch.Generator().manual_seed(1))
    found = centred(keys_BTI + shift, weights_BT)
    torch.testing.assert_close(found, centred(keys_BTI, weights_BT), rtol=1e-3, atol=1e-3)
