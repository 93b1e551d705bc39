"""What a step changes, what it leaves alone, and that learning is learning."""

from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from fedshow.edlora.methods import METHODS
from fedshow.errors import FedshowError, InvalidInput
from fedshow.families import Base
from fedshow_client.tuning import trainer as trainer_module
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Trainer
from tests.client.tuning.conftest import MakeTrainer

TOKENS = {"lora": 1, "p-plus": 1, "textual-inversion": 1, "custom-diffusion": 1, "ed-lora": 2}
"""How many words of each method learn."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_loss(trainer: Trainer, number: int) -> float:
    """The loss on a fixed batch with fixed noise."""
    with torch.no_grad(), trainer.loss(trainer.schedule.at(number), generator(number)) as loss:
        return float(loss)


def losses(trainer: Trainer) -> float:
    """Sum over twelve of them."""
    return sum(one_loss(trainer, number) for number in range(12))


def everything(base: Base) -> dict[str, Tensor]:
    """A copy of all weights of the base."""
    parts = base.components | {"vae": base.pipeline.vae}
    return {
        f"{part}.{key}": value.detach().clone()
        for part, module in parts.items()
        for key, value in module.named_parameters()
        if "embeddings.rows" not in key and ".rows." not in key
    }


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_changes_exactly_what_it_should(
    make_trainer: MakeTrainer, base: Base, method: str
) -> None:
    trainer = make_trainer(method)
    weights = everything(base)
    before = {key: value.clone() for key, value in trainer.concept_tensors().items()}
    for index in range(3):
        trainer.step(index)
    changed = {k for k, v in trainer.concept_tensors().items() if not torch.equal(v, before[k])}
    words = {key for key in changed if key.startswith("tokens.")}
    assert len(words) == TOKENS[method]
    layers = {key.rpartition(".lora_")[0] for key in changed - words}
    context = {name for name in base.layers if name.endswith(("attn2.to_k", "attn2.to_v"))}
    expected = {"ed-lora": set(base.layers), "lora": set(base.layers), "custom-diffusion": context}
    assert layers == expected.get(method, set())
    now = everything(base)
    assert all(torch.equal(now[key], weights[key]) for key in weights), (
        "the base must stay as it was"
    )


@pytest.mark.parametrize("method", sorted(METHODS))
def test_slots_differ_only_where_words_are_layered(make_trainer: MakeTrainer, method: str) -> None:
    trainer = make_trainer(method)
    for index in range(3):
        trainer.step(index)
    tensors = trainer.concept_tensors()
    for word, declared in zip(trainer.words, METHODS[method].words, strict=True):
        rows = tensors[f"tokens.{word}"]
        assert rows.shape == (trainer.base.card.slots, trainer.base.card.token_dim)
        differ = bool((rows != rows[0]).any())
        assert differ == (METHODS[method].layered and declared.learned)


def test_the_second_word_starts_from_the_class_and_the_first_from_noise_of_its_length(
    make_trainer: MakeTrainer,
) -> None:
    trainer = make_trainer()
    row = trainer.model.tokens.class_row("monster")
    first, second = (trainer.rows[f"tokens.{word}"].detach() for word in trainer.words)
    assert torch.equal(second, row.expand_as(second))
    assert not torch.allclose(first[0], row)
    torch.testing.assert_close(first.norm(dim=1), row.norm().expand(len(first)))


def test_folded_adapters_get_the_gradients_of_hooks(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    for _, adapter in trainer.adapters.items():
        adapter.up_OR.data.normal_(0, 0.02, generator=generator())
    found: list[dict[str, Tensor]] = []
    for few in (0, 1 << 20):
        monkeypatch.setattr(trainer_module, "FEW_TOKENS", few)
        with trainer.loss(trainer.schedule.at(0), generator()) as loss:
            loss.backward()  # type: ignore[no-untyped-call]
        found.append(
            {k: v.grad.clone() for k, v in trainer.parameters().items() if v.grad is not None}
        )
        assert all(gradient.any() for gradient in found[-1].values())
        assert found[-1].keys() == trainer.parameters().keys()
        trainer.optimizer.zero_grad(set_to_none=False)
    for key, hooked in found[0].items():
        torch.testing.assert_close(found[1][key], hooked, rtol=2e-3, atol=2e-6, msg=key)


@pytest.mark.parametrize(
    "changes", [{}, {"min_snr": 5.0}, {"ema": 0.8}, {"attention_follow": False}]
)
def test_learning_lowers_the_loss_on_the_same_noise(
    make_trainer: MakeTrainer, changes: dict[str, float]
) -> None:
    trainer = make_trainer(**changes)
    before = losses(trainer)
    for index in range(40):
        trainer.step(index)
    assert losses(trainer) < 0.98 * before


def test_averages_lag_behind_and_go_into_the_file(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(ema=0.9)
    key = f"tokens.{trainer.words[0]}"
    start = trainer.concept_tensors()[key].clone()
    for index in range(4):
        trainer.step(index)
    average, now = (
        trainer.concept_tensors()[key],
        trainer.rows[f"tokens.{trainer.words[0]}"].detach(),
    )
    assert 0 < (average - start).norm() < (now - start).norm()


def test_rows_stay_within_the_norm_limit_and_go_on_learning(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(norm_limit=1.02, lr_tokens=0.1)
    class_norm = trainer.model.tokens.class_row("monster").norm()
    before = {word: row.detach().clone() for word, row in trainer.rows.items()}
    for index in range(3):
        trainer.step(index)
        for word, row in trainer.rows.items():
            assert row.norm(dim=1).max() <= 1.0201 * class_norm
            assert not torch.equal(row, before[word])
            before[word] = row.detach().clone()


def test_steps_depend_on_seed_and_number_alone(make_trainer: MakeTrainer) -> None:
    first, again, other = (make_trainer(seed=seed).step(7) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_nan_changes_nothing(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer()
    trainer.subject.latents.buckets[0].mean.fill_(float("nan"))
    before = {key: value.clone() for key, value in trainer.concept_tensors().items()}
    with pytest.raises(FedshowError, match=r"loss is nan at step 0"):
        trainer.step(0)
    found = trainer.concept_tensors()
    assert all(torch.equal(found[key], before[key]) for key in before)


def test_learning_rates_fall_in_a_line_and_by_kind(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer()
    recipe = trainer.recipe
    trainer.step(10)
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    asked = [recipe.lr_tokens, recipe.lr_text, recipe.lr_unet, recipe.lr_self_attention]
    assert rates == pytest.approx([0.75 * rate for rate in asked])
    assert trainer.optimizer.param_groups[0]["weight_decay"] == 0


def test_times_cover_the_schedule_evenly(make_trainer: MakeTrainer) -> None:
    objective = make_trainer().objective
    for seed in range(20):
        times = objective.times(8, generator(seed)).sort().values
        assert [int(t) * 8 // objective.steps for t in times] == list(range(8))


def test_padding_and_background_do_not_count(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(background_weight=0.0)
    bucket = trainer.schedule.at(0).bucket
    outside = (bucket.subject == 0).expand_as(bucket.mean)
    assert outside.any()
    weights = bucket.subject[:, 0]
    clean, noise = bucket.mean[:, 0], torch.zeros_like(bucket.mean[:, 0])
    times = torch.zeros(len(clean), dtype=torch.long)
    predicted = torch.zeros_like(clean)
    spoilt = torch.where(outside[:, 0], 1e3, predicted)
    quiet = trainer.objective.loss(predicted, clean, noise, times, weights)
    assert trainer.objective.loss(spoilt, clean, noise, times, weights) == quiet


def test_drawing_between_steps_changes_no_step(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer()
    undisturbed = [trainer.step(index) for index in range(2)]
    trainer = make_trainer()
    first = trainer.step(0)
    trainer.model("a <gloop>", steps=2)
    assert [first, trainer.step(1)] == undisturbed
    assert make_trainer().step(0) == first, "and the next trainer on this base starts as ever"


def test_alpha_follows_the_rank(base: Base) -> None:
    assert Recipe.for_base(base, rank=16).alpha == 16
    assert Recipe.for_base(base, rank=16, alpha=4.0).alpha == 4


def test_whole_matrices_may_be_as_wide_as_a_file_allows(base: Base) -> None:
    """Nobody gave a rank: the line says what is too large, and what is not."""

    def recipe(width: int) -> Recipe:
        wide = {name: nn.Linear(width, 8) for name in base.layers if "attn2.to_k" in name}
        found = SimpleNamespace(card=base.card, family=base.family, layers=wide)
        return Recipe.for_base(cast(Base, found), "custom-diffusion")

    assert recipe(1024).rank == 1024
    with pytest.raises(InvalidInput, match=r"whole matrices.* 2048 wide, limit 1024; use ed-lora"):
        recipe(2048)


def test_recipes_refuse_what_does_not_exist(base: Base) -> None:
    with pytest.raises(InvalidInput, match="method 'dreambooth': use ed-lora"):
        Recipe.for_base(base, "dreambooth")
    with pytest.raises(InvalidInput, match=r"ema = 1\.5"):
        Recipe.for_base(base, ema=1.5)
