"""What a denoiser is told of prompts."""

from dataclasses import dataclass, replace
from typing import Any, Self

from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """B prompts as text encoders gave them.

    `features` are `[B, S, T, D]` (S slots, T tokens) or packed `[B, R*S*T, D]` as stock pipelines carry
    them, R contexts; `pooled` is `[B, P]`, one vector for a whole prompt, of families that have it.
    """

    features: Any
    """A tensor, or for denoisers alone the S parts of a layered one, whose gradients meet once, not once a
    slot.
    """
    pooled: Tensor | None = None

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: Any) -> Self:
        """Some of the prompts."""
        pooled = None if self.pooled is None else self.pooled[rows]
        return type(self)(self.features[rows], pooled)

    def repeated(self, times: int) -> Self:
        """Each prompt so many times in a row."""
        pooled = None if self.pooled is None else self.pooled.repeat_interleave(times, 0)
        return type(self)(self.features.repeat_interleave(times, 0), pooled)

    def expanded(self, count: int) -> Self:
        """One prompt for `count` pictures; as many stay as they are."""
        pooled = None if self.pooled is None else self.pooled.expand(count, -1)
        features = self.features.expand(count, *(-1 for _ in self.features.shape[1:]))
        return type(self)(features, pooled)

    def for_pictures(self, count: int) -> Self:
        """What a denoiser takes for as many pictures: layered features in parts."""
        features, pooled = self.features, self.pooled
        if pooled is not None and len(pooled) < count:
            pooled = pooled.expand(count, -1)
        parts = features.unbind(1) if features.ndim == 4 else features
        return replace(self, features=parts, pooled=pooled)
