"""Fitting into memory: what a step keeps, and that computing twice changes nothing."""

import gc
import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from fedshow_client.tuning.attention import Maps, attending
from fedshow_client.tuning.memory import kept_bytes, recompute_if_needed, step_bytes
from tests.client.tuning.conftest import MakeTrainer


def test_a_step_keeps_more_with_a_larger_batch_and_less_when_it_recomputes(
    make_trainer: MakeTrainer, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer(batch=2)
    needed = step_bytes(trainer)
    assert step_bytes(make_trainer(batch=6)) == 3 * needed
    trainer = make_trainer(batch=2)
    assert not recompute_if_needed(trainer, free=2 * needed)
    with caplog.at_level(logging.WARNING):
        assert recompute_if_needed(trainer, free=needed)
    assert "computing activations twice" in caplog.text
    try:
        assert step_bytes(trainer) < 0.8 * needed
    finally:
        trainer.base.pipeline.unet.disable_gradient_checkpointing()


def test_weights_do_not_count_as_kept(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer()
    layer = next(iter(trainer.base.layers.values()))
    x = torch.ones(2, layer.in_features, requires_grad=True)
    with kept_bytes(trainer.base) as sizes:
        (layer(x) * 2).sum()
    assert sum(sizes.values()) <= 4 * 2 * (layer.in_features + layer.out_features) * 4


def test_measuring_keeps_nothing_alive(make_trainer: MakeTrainer) -> None:
    x = torch.ones(2, requires_grad=True)
    with kept_bytes(make_trainer().base):
        kept = x.exp()  # its backward pass needs the result itself
    gone = weakref.ref(kept)
    del kept
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("masks", [True, False])
def test_recomputing_gives_the_same_gradients(make_trainer: MakeTrainer, masks: bool) -> None:
    found = []
    for recompute in (False, True):
        trainer = make_trainer(masks=masks)
        if recompute:
            assert recompute_if_needed(trainer, free=0)
        try:
            with trainer.loss(trainer.schedule.at(0), torch.Generator().manual_seed(1)) as loss:
                loss.backward()  # type: ignore[no-untyped-call]
        finally:
            trainer.base.pipeline.unet.disable_gradient_checkpointing()
        found.append({k: v.grad for k, v in trainer.parameters().items()})
    for key, gradient in found[0].items():
        torch.testing.assert_close(found[1][key], gradient, msg=key)


def test_what_is_computed_twice_is_captured_once(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maps of the second time would hold all that recomputing was to let go."""
    captured: list[Maps] = []

    @contextmanager
    def watched(*modules: object, **settings: object) -> Iterator[Maps]:
        with attending(*modules, **settings) as maps:  # type: ignore[arg-type]
            captured.append(maps)
            yield maps

    monkeypatch.setattr("fedshow_client.tuning.trainer.attending", watched)
    trainer = make_trainer()
    assert recompute_if_needed(trainer, free=0)
    try:
        trainer.step(0)
    finally:
        trainer.base.pipeline.unet.disable_gradient_checkpointing()
    assert len(captured[-1]) == len(trainer.model.cross_attention)
