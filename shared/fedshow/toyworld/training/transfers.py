"""Batches on the device that trains, without waiting for what a card still computes."""

from __future__ import annotations

import torch
from torch import Tensor


def there(value: Tensor, device: torch.device) -> Tensor:
    """The values on the device; to a card they travel while it works."""
    if device.type == "cpu":
        return value
    return value.pin_memory().to(device, non_blocking=True)


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of this shape and device, fixed by the generator; a card draws it by one of its own."""
    if like.device.type == "cpu":
        return torch.randn(like.shape, generator=generator)
    own = torch.Generator(like.device)
    own.manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
    return torch.randn(like.shape, generator=own, device=like.device)
