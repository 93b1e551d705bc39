"""Concepts and inputs made of random numbers, for a base of two small attention modules."""

from hashlib import sha256

import torch
from torch import Tensor

from fedshow.families.card import BaseCard
from fedshow.families.sd1 import SD1
from fedshow_server.fusion.ledger import Ledger
from fedshow_server.fusion.statistics import Seen, Statistics
from fedshow_server.fusion.sums import Layer
from fedshow_server.fusion.wiring import Wiring

RECORDING = "synthetic"
CARD = BaseCard(
    name="tiny",
    sha256="ab" * 32,
    family="sd1",
    slots=1,
    token_dim=6,
    layers={
        "unet.a.attn1.to_q": (8, 8),
        "unet.a.attn1.to_k": (8, 8),
        "unet.a.attn2.to_q": (7, 8),
        "unet.a.attn2.to_k": (6, 8),
        "unet.a.attn2.to_v": (6, 5),
    },
)
WIRING = Wiring.of(CARD, SD1())
CLASSES = ("monster", "robot", "bunny")


def moment(seed: int, width: int, count: int = 30, size: float = 1.0) -> Tensor:
    """E[x xᵀ] of random inputs that are more alike than white noise."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    x = torch.randn(count, width, generator=generator, dtype=torch.float64) @ mixing * size
    return x.T @ x / count


def seen(seed: int, size: float = 1.0, wiring: Wiring = WIRING) -> Seen:
    """Moments of every input."""
    inputs = sorted(wiring.readers)
    fit = {n: moment(seed * 100 + k, wiring.width(n), size=size) for k, n in enumerate(inputs)}
    heldout = {n: moment(seed * 100 + 50 + k, wiring.width(n)) for k, n in enumerate(inputs)}
    given = {layer: 1.0 + seed + k for k, layer in enumerate(wiring.sides)}
    return Seen(fit, heldout, given)


def statistics(seed: int, name: str = "", rank: int = 2, wiring: Wiring = WIRING) -> Statistics:
    """One concept; every third leaves a layer out."""
    generator = torch.Generator().manual_seed(seed)
    adapters = {
        layer: (
            torch.randn(rank, width_in, generator=generator) * 0.3,
            torch.randn(width_out, rank, generator=generator) * 0.3,
        )
        for layer, (width_in, width_out) in wiring.layers.items()
    }
    if seed % 3 == 0:
        adapters.pop("unet.a.attn2.to_v", None)
    return Statistics(
        name=name or f"concept-{chr(97 + seed // 26)}{chr(97 + seed % 26)}",
        class_word=CLASSES[seed % len(CLASSES)],
        sha256=sha256(f"{name}{seed}".encode()).hexdigest(),
        base_sha256=wiring.base_sha256,
        scale=0.5,
        adapters=adapters,
        seen=seen(seed, wiring=wiring),
    )


def record_generic(ledger: Ledger, wiring: Wiring = WIRING) -> None:
    """The base's own moments of every class word."""
    for k, word in enumerate(("", *CLASSES)):
        if not ledger.has_generic(word):
            ledger.add_generic(word, seen(900 + k, wiring=wiring))


def ridge(layer: Layer) -> Tensor:
    """Fixed regularisation: fast, and as sensitive to wrong sums as any rule."""
    moment_II = layer.reads.fit_II + 0.3 * layer.reads.generic_II
    level = float(moment_II.diagonal().mean())
    moment_II = moment_II + 1e-3 * level * torch.eye(len(moment_II), dtype=torch.float64)
    wanted_OI = layer.sums.wanted_OI + layer.sums.mean_OI / layer.reads.weight * 1e-3
    solved: Tensor = torch.linalg.solve(moment_II, wanted_OI.T).T
    return solved
