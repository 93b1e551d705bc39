"""Which concepts wait for the owner: hijackers, strong ones, those next to a protected word."""

from dataclasses import replace

import pytest
import torch

from fedshow.concepts import ConceptFile, write_concept
from fedshow.families import Base
from fedshow_server.fusion.fuse import fuse, ledger_of
from fedshow_server.fusion.ledger import open_ledger
from fedshow_server.fusion.recording import Plan, record_concept, record_generic
from fedshow_server.fusion.unfusable import OddConcept
from fedshow_server.fusion.vetting import Vetting
from fedshow_server.fusion.vetting.behaviour import unasked_changes
from fedshow_server.fusion.vetting.norms import FEWEST, check_norms, norms_of, spectral_norm
from fedshow_server.fusion.vetting.words import check_words
from tests.conftest import MakeConcept
from tests.server.fusion import synthetic
from tests.server.fusion.synthetic import RECORDING, WIRING, statistics
from tests.stage.concepts import varied_concept

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
    recorded = record_concept(base, make_concept("potter", 1), QUICK)
    layer = next(iter(recorded.adapters))
    down_RI, up_OR = recorded.adapters[layer]
    inputs = torch.randn(50, down_RI.shape[1], generator=torch.Generator().manual_seed(0))
    one = replace(recorded, adapters={layer: (down_RI, up_OR)})
    found = unasked_changes(one, base, lambda _: inputs.T @ inputs / 50)[layer]
    drawn = share_by_drawing(
        base, layer, inputs, lambda x: recorded.scale * x @ down_RI.float().T @ up_OR.float().T
    )
    assert found == pytest.approx(drawn, rel=1e-3)
    assert unasked_changes(recorded, base, generic).keys() == recorded.adapters.keys()


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
        fuse(base, [honest, hijacker], plan=QUICK, ledger=ledger, vetting=Vetting())
    assert found.value.name == "evil"
    if poison == "in one layer":
        assert f"8 of what layer {target} give" in str(found.value)
    with ledger_of(base, QUICK, ledger) as opened:
        assert "evil" not in opened.weights, "nothing of it is kept"
    fuse(base, [honest], plan=QUICK, ledger=ledger, vetting=Vetting())
    fuse(base, [honest, hijacker], plan=QUICK, ledger=ledger, vetting=Vetting({hijacker.sha256}))


def test_words_alone_change_nothing_unasked(
    base: Base, make_concept: MakeConcept, tmp_path
) -> None:
    """As P+ and textual inversion make them: fused alone, and with others."""
    plan, ledger = replace(QUICK, things=2), tmp_path / "ledger"
    words = varied_concept(tmp_path / "mimi.safetensors", base.card, "mimi", adapters=False)
    for others in ([], [make_concept("potter", 1)]):
        found = fuse(base, [words, *others], plan=plan, ledger=ledger, vetting=Vetting())
        assert set(found.updates) == (set(base.card.layers) if others else set())


def test_the_spectral_norm_is_that_of_the_product() -> None:
    generator = torch.Generator().manual_seed(0)
    down_RI, up_OR = (torch.randn(shape, generator=generator) for shape in ((3, 9), (7, 3)))
    expected = torch.linalg.matrix_norm((up_OR @ down_RI).double(), 2)
    assert spectral_norm(down_RI, up_OR) == pytest.approx(float(expected), rel=1e-5)


def test_bounds_are_learnt_from_accepted_concepts() -> None:
    """Layer by layer, from the fourth concept on; who is accepted is not asked again."""
    honest = [statistics(seed) for seed in (1, 2, 4, 5)]
    layer = "unet.a.attn2.to_k"
    strong = statistics(7)
    down_RI, up_OR = strong.adapters[layer]
    strong = replace(strong, adapters=strong.adapters | {layer: (down_RI, up_OR * 30)})
    accepted = [norms_of(each) for each in honest]
    check_norms(strong, accepted[: FEWEST - 1])
    check_norms(statistics(8), accepted)
    with pytest.raises(OddConcept, match="10 times the median of 4 concepts") as found:
        check_norms(strong, accepted)
    assert layer in str(found.value)


def test_a_ledger_knows_the_norms_of_what_it_holds(tmp_path) -> None:
    kept = statistics(1)
    with open_ledger(tmp_path, WIRING, RECORDING) as ledger:
        synthetic.record_generic(ledger)
        ledger.add(kept)
    with open_ledger(tmp_path, WIRING, RECORDING) as ledger:
        assert ledger.norms == [norms_of(kept)]


def test_no_concept_may_mean_a_protected_word(
    base: Base, make_concept: MakeConcept, tmp_path
) -> None:
    honest = make_concept("potter", 1)
    (robot,) = base.pipeline.tokenizer("robot", add_special_tokens=False).input_ids
    row = base.pipeline.text_encoder.get_input_embeddings().weight.detach()[robot]
    tensors = dict(honest.tensors())
    tensors["tokens.<potter2>"] = tensors["tokens.<potter2>"].clone()
    tensors["tokens.<potter2>"][1] = 0.3 * row.half()
    thief = write_concept(tmp_path / "thief.safetensors", honest.header, tensors)
    check_words(honest, base, ["robot"])
    check_words(thief, base, ["boat"])
    with pytest.raises(OddConcept, match="<potter2> is next to the protected word 'robot'"):
        check_words(thief, base, ["boat", "robot"])
    with pytest.raises(OddConcept, match="protected word"):
        fuse(base, [thief], plan=QUICK, vetting=Vetting(protected_words=["robot"]))
