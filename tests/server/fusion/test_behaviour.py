"""What adapters do to prompts that do not name their concept: hijackers are put aside, others are fused."""

from dataclasses import replace

import pytest
import torch

from fedshow.concepts import ConceptFile, write_concept
from fedshow.families import Base
from fedshow_server.fusion.behaviour import unasked_changes
from fedshow_server.fusion.fuse import fuse, ledger_of
from fedshow_server.fusion.recording import Plan, record_concept, record_generic
from fedshow_server.unfusable import OddConcept
from tests.conftest import MakeConcept

QUICK = Plan(fit_seeds=(0,), heldout_seeds=(1,), steps=2, fit_prompts=2, texts=4)


@pytest.fixture(scope="module")
def generic(opened_base: Base):
    """What the base reads at each input on prompts without a concept."""
    seen = record_generic(opened_base, "", QUICK)
    return lambda name: seen.fit[name]


def changed(concept: ConceptFile, change, path) -> ConceptFile:
    """The same concept with other adapters; `change` gets layer and `lora_B`."""
    tensors = {
        key: change(key, tensor) if key.endswith("lora_B.weight") else tensor
        for key, tensor in concept.tensors().items()
    }
    return write_concept(path, concept.header, tensors)


def share_by_drawing(base: Base, layer: str, inputs, adapter) -> float:
    weight = base.layers[layer].weight.detach()
    return float((adapter(inputs)).square().sum() / (inputs @ weight.T).square().sum())


def test_shares_are_what_the_adapter_adds_to_a_layers_output(base, make_concept, generic) -> None:
    """Against the definition, for inputs whose moment is known."""
    statistics = record_concept(base, make_concept("potter", 1), QUICK)
    layer = next(iter(statistics.adapters))
    down_RI, up_OR = statistics.adapters[layer]
    inputs = torch.randn(50, down_RI.shape[1], generator=torch.Generator().manual_seed(0))
    one = replace(statistics, adapters={layer: (down_RI, up_OR)})
    found = unasked_changes(one, base, lambda _: inputs.T @ inputs / 50)[layer]
    drawn = share_by_drawing(
        base, layer, inputs, lambda x: statistics.scale * x @ down_RI.float().T @ up_OR.float().T
    )
    assert found == pytest.approx(drawn, rel=1e-3)
    assert unasked_changes(statistics, base, generic).keys() == statistics.adapters.keys()


@pytest.mark.parametrize("poison", ["everywhere", "in one layer"])
def test_a_hijacker_is_put_aside_unless_the_owner_trusts_it(
    base: Base, make_concept: MakeConcept, generic, tmp_path, poison: str
) -> None:
    honest, evil = make_concept("potter", 1), make_concept("evil", 2)
    shares = unasked_changes(record_concept(base, evil, QUICK), base, generic)
    target = min(layer for layer in shares if "attn2.to_k" in layer)

    def change(key: str, up_OR):
        if poison == "everywhere":
            return up_OR * 40
        factor = (8 / shares[target]) ** 0.5  # to eight times what the layer itself gives
        return up_OR * factor if key.startswith(target) else up_OR

    hijacker = changed(evil, change, tmp_path / "evil.safetensors")
    ledger = tmp_path / "ledger"
    with pytest.raises(OddConcept, match="prompts that do not name it") as found:
        fuse(base, [honest, hijacker], plan=QUICK, ledger=ledger, trusted=())
    assert found.value.name == "evil"
    if poison == "in one layer":
        assert f"8 of what layer {target} give" in str(found.value)
    with ledger_of(base, QUICK, ledger) as opened:
        assert "evil" not in opened.weights, "nothing of it is kept"
    fuse(base, [honest], plan=QUICK, ledger=ledger, trusted=())
    fuse(base, [honest, hijacker], plan=QUICK, ledger=ledger, trusted={hijacker.sha256})
