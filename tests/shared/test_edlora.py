"""Layer-wise tokens, adapters as hooks, and which layer sees which encoding."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from fedshow.concepts import header
from fedshow.edlora.adapters import Adapter, Adapters
from fedshow.edlora.conditioning import LayeredConditioning, pack
from fedshow.edlora.methods import METHODS
from fedshow.edlora.tokens import ConceptTokens
from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow.sampling.model import Model
from tests.conftest import MakeConcept


@pytest.fixture
def tokens(base: Base):  # type: ignore[no-untyped-def]
    found = ConceptTokens(base.text_encoders, base.card.slots)
    yield found
    found.detach()


def rows(base: Base, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (base.card.slots, base.card.token_dim)
    return {f"<potter{i}>": torch.randn(shape, generator=generator) for i in (1, 2)}


def plain(base: Base, prompt: str) -> Tensor:
    limit = base.pipeline.tokenizer.model_max_length
    ids = base.pipeline.tokenizer(
        prompt, padding="max_length", max_length=limit, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        return base.pipeline.text_encoder(ids)[0]  # type: ignore[no-any-return]


def test_prompt_without_concept_is_encoded_as_ever(base: Base, tokens: ConceptTokens) -> None:
    tokens.add_concept("potter", rows(base))
    with torch.no_grad():
        layered = tokens.encoded(["a red robot on the beach"]).features
    expected = plain(base, "a red robot on the beach")
    for slot in range(base.card.slots):
        assert torch.equal(layered[:, slot], expected)


def test_each_slot_reads_its_own_row(base: Base, tokens: ConceptTokens) -> None:
    """Changing one slot's row changes that slot's encoding and no other."""
    first = tokens.add_concept("potter", rows(base))[0]
    with torch.no_grad():
        before = tokens.encoded(["a <potter>"]).features
        first[3].neg_()
        after = tokens.encoded(["a <potter>"]).features
    changed = [
        (before[:, s] - after[:, s]).abs().max().item() > 1e-4 for s in range(base.card.slots)
    ]
    assert changed == [slot == 3 for slot in range(base.card.slots)]


def test_gradients_reach_the_concepts_rows_only(base: Base, tokens: ConceptTokens) -> None:
    parameters = tokens.add_concept("potter", rows(base))
    tokens.encoded(["photo of a <potter>"]).features.square().sum().backward()
    for parameter in parameters:
        assert parameter.grad is not None
        assert (parameter.grad.abs().sum(1) > 0).all(), "every slot's row must learn"
    assert base.pipeline.text_encoder.get_input_embeddings().table.weight.grad is None


def test_two_concepts_keep_their_own_rows(base: Base, tokens: ConceptTokens) -> None:
    tokens.add_concept("potter", rows(base))
    with torch.no_grad():
        alone = tokens.encoded(["a <potter>"]).features
        tokens.add_concept(
            "mimi", {k.replace("potter", "mimi"): -v for k, v in rows(base, 1).items()}
        )
        assert torch.equal(tokens.encoded(["a <potter>"]).features, alone)
        assert not torch.allclose(tokens.encoded(["a <mimi>"]).features, alone)


def test_class_word_of_two_tokens_is_refused(tokens: ConceptTokens) -> None:
    assert tokens.class_row("robot").shape == (128,)
    with pytest.raises(InvalidInput, match=r"'robotmonster' is \d tokens"):
        tokens.class_row("robotmonster")


def test_prompt_over_the_limit_is_refused(tokens: ConceptTokens) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        tokens.encoded(["red robot " * 40])


def test_layers_take_slots_in_execution_order(base: Base) -> None:
    """The n-th cross-attention that runs gets encoding n: down, then mid, then up."""
    unet, slots, limit = (
        base.pipeline.unet,
        base.card.slots,
        base.pipeline.tokenizer.model_max_length,
    )
    layers = base.family.slotted_layers(unet)
    conditioning = LayeredConditioning(layers, slots, limit)
    seen: list[float] = []
    spies = [
        module.to_k.register_forward_pre_hook(lambda _, args: seen.append(args[0].mean().item()))
        for module, _ in layers
    ]
    marked = torch.arange(slots).float()[None, :, None, None].expand(1, slots, limit, 128)
    latents = torch.zeros(1, unet.config.in_channels, 8, 8)
    with torch.no_grad():
        unet(latents, 1, pack([marked]))
        unet(latents, 1, marked)
    for spy in spies:
        spy.remove()
    conditioning.detach()
    assert seen == [*range(slots), *range(slots)]


def test_equal_encodings_for_all_slots_change_nothing(base: Base) -> None:
    unet, limit = base.pipeline.unet, base.pipeline.tokenizer.model_max_length
    features = torch.randn(2, limit, 128, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(
        2, unet.config.in_channels, 8, 8, generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        expected = unet(latents, 5, features).sample
        conditioning = LayeredConditioning(base.family.slotted_layers(unet), base.card.slots, limit)
        packed = pack([features[:, None].expand(-1, base.card.slots, -1, -1)])
        found = unet(latents, 5, packed).sample
    conditioning.detach()
    assert torch.equal(found, expected)


def test_adapter_equals_the_dense_update_and_leaves_without_trace(
    base: Base, make_concept: MakeConcept
) -> None:
    tensors = make_concept().tensors()
    adapters = Adapters.from_tensors(tensors, scale=0.5)
    name, adapter = adapters.items()[10]
    layer = base.layers[name]
    x = torch.randn(5, layer.in_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = layer(x)
        adapters.attach(base.layers)
        inside = layer(x)
        adapters.detach()
        delta = 0.5 * adapter.up_OR @ adapter.down_RI
        torch.testing.assert_close(
            inside, x @ (layer.weight + delta).T + (0 if layer.bias is None else layer.bias)
        )
        assert torch.equal(layer(x), before)


def test_files_may_name_every_method_and_no_other() -> None:
    assert set(get_args(header.Method)) == set(METHODS)


@pytest.mark.parametrize("method", ["ed-lora", "custom-diffusion"])
def test_fresh_adapters_change_nothing(base: Base, method: str) -> None:
    generator, declared = torch.Generator().manual_seed(0), METHODS[method]
    layers = declared.layers(base.family, base.layers)
    fresh = declared.adapters(layers, rank=4, alpha=4, generator=generator)
    assert fresh.names == list(layers)
    for _, adapter in fresh.items():
        assert adapter.up_OR.abs().max() == 0
        assert adapter.down_RI.abs().max() > 0


def test_whole_matrices_learn_through_an_identity_that_stays(base: Base) -> None:
    name, layer = next(iter(base.layers.items()))
    adapter = Adapter.whole(layer)
    with torch.no_grad():
        adapter.up_OR.normal_(generator=torch.Generator().manual_seed(0))
    x = torch.randn(3, layer.in_features, generator=torch.Generator().manual_seed(1))
    before = layer(x)
    adapters = Adapters({name: adapter}, scale=1.0).attach(base.layers)
    after = layer(x)
    after.sum().backward()
    adapters.detach()
    torch.testing.assert_close(after - before, x @ adapter.up_OR.T, atol=1e-5, rtol=1e-5)
    assert adapter.up_OR.grad is not None
    assert adapter.down_RI.grad is None


def test_strength_zero_is_the_base_with_the_tokens(base: Base, make_concept: MakeConcept) -> None:
    concept = make_concept()
    model = Model(base)
    model.add_concept(concept)
    word = model(["a red robot"], steps=2, scale=0).images[0]
    loud = model(["a red robot"], steps=2).images[0]
    model.restore()
    bare = Model(base)
    expected = bare(["a red robot"], steps=2).images[0]
    bare.restore()
    assert word.tobytes() == expected.tobytes()
    assert loud.tobytes() != expected.tobytes()
