"""AdamW over joined vectors is AdamW."""

import torch
from torch import Tensor, nn

from fedshow_client.tuning.optimizing import JoinedAdamW

RATES = {"fast": {"lr": 0.1, "weight_decay": 0.0}, "slow": {"lr": 0.01, "weight_decay": 0.1}}


SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "fast": {"a": (3, 5)},
    "slow": {"b": (4,), "c": (2, 1, 3)},
}
Members = dict[str, dict[str, nn.Parameter]]


def members() -> Members:
    generator = torch.Generator().manual_seed(0)
    return {
        kind: {key: nn.Parameter(torch.randn(s, generator=generator)) for key, s in shapes.items()}
        for kind, shapes in SHAPES.items()
    }


def step(found: Members, optimizer: torch.optim.Optimizer, number: int) -> None:
    optimizer.zero_grad(set_to_none=False)
    parameters = [parameter for group in found.values() for parameter in group.values()]
    generator = torch.Generator().manual_seed(number)
    wanted = [torch.randn(parameter.shape, generator=generator) for parameter in parameters]
    losses = [(p - w).square().sum() for p, w in zip(parameters, wanted, strict=True)]
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def values(found: Members) -> list[Tensor]:
    return [parameter.detach().clone() for group in found.values() for parameter in group.values()]


def test_joined_parameters_learn_as_single_ones() -> None:
    joined, single = members(), members()
    ours = JoinedAdamW(RATES, joined)
    groups = [{"params": list(single[kind].values()), **own} for kind, own in RATES.items()]
    plain = torch.optim.AdamW(groups)
    for number in range(4):
        step(joined, ours, number)
        step(single, plain, number)
        torch.testing.assert_close(values(joined), values(single))
    moments = ours.tensors()
    for key, parameter in {k: p for group in single.values() for k, p in group.items()}.items():
        for name, value in plain.state[parameter].items():
            torch.testing.assert_close(moments[f"{name}.{key}"], value)


def test_what_is_put_back_goes_on_to_the_bit() -> None:
    first, again = members(), members()
    undisturbed, resumed = JoinedAdamW(RATES, first), JoinedAdamW(RATES, again)
    for number in range(2):
        step(first, undisturbed, number)
    for name, saved in undisturbed.tensors().items():
        resumed.tensors()[name].copy_(saved)
    with torch.no_grad():
        for group, saved_group in zip(again.values(), first.values(), strict=True):
            for own, saved in zip(group.values(), saved_group.values(), strict=True):
                own.copy_(saved)
    for found, optimizer in ((first, undisturbed), (again, resumed)):
        step(found, optimizer, 2)
    assert all(map(torch.equal, values(first), values(again)))
