"""One number for a base model's weights, however they are stored."""

from hashlib import sha256

import torch
from torch import nn


def fingerprint(components: dict[str, nn.Module]) -> str:
    """sha256 over names, shapes and half-precision values of all parameters, 64 hexadecimal digits.

    Rounded to float16, so that a checkpoint and its fp16 variant agree; CLIP's `text_model.`
    prefix, which comes and goes with library versions, does not count.
    """
    found = sha256()
    for component in sorted(components):
        state = components[component].state_dict()
        canonical = {name.removeprefix("text_model."): value for name, value in state.items()}
        for name in sorted(canonical):
            value = canonical[name]
            if not value.is_floating_point():
                continue  # position ids and the like: derived, not learnt
            half = value.detach().to("cpu", torch.float16).contiguous()
            found.update(f"{component}.{name}{list(half.shape)}".encode())
            found.update(half.view(torch.uint8).numpy().data)
    return found.hexdigest()
