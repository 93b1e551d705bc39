"""What is looked at during a run, and how often."""

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

from fedshow.errors import InvalidInput
from fedshow.scoring.locating import WANTED, looks_like_scorer
from fedshow_client.tuning.recipe import Recipe

SCALES = (0.0, 0.7, 1.0)
"""Strengths of the adapters; 0 shows what the embedding alone has learnt."""

SHARE = 0.15
"""Of a run's time that looks may cost, unless it is said how often."""

MOST = 8
"""Looks in one run, unless it is said how often."""


@dataclass(frozen=True)
class WatchSettings:
    """What people may choose; nothing here changes what a step does."""

    samples: bool = True
    sample_steps: int | None = None
    """Steps between two looks; None: as often as the time allows."""

    scorer: Path | None = None
    """CLIP, DINOv2 or ArcFace model; toyworld brings a measuring encoder of its own."""

    keep_best: bool = True
    """The concept file gets the weights of the best look, not always the last."""

    patience: int = 0
    """So many looks in a row that are worse than the best end the run; 0 never does."""

    tensorboard: Path | None = None
    """Folder for TensorBoard's event files."""

    def check(self) -> None:
        """Raises InvalidInput for what is asked for and not there, before any work."""
        if self.tensorboard is not None and importlib.util.find_spec("tensorboard") is None:
            raise InvalidInput(
                "--tensorboard needs a package that is not here: pip install 'fedshow[tensorboard]'"
            )
        if self.scorer is not None and not looks_like_scorer(self.scorer):
            raise InvalidInput(f"scorer {self.scorer} is none: name {WANTED}")
        if not self.samples and (self.scorer or self.patience):
            flag = "--scorer" if self.scorer else "--patience"
            raise InvalidInput(f"{flag} has nothing to go by with --no-samples")

    def interval(self, recipe: Recipe, cost: float) -> int:
        """Steps between two looks that cost as much as `cost` steps each; 0 when there are none.

        Follows from the settings alone, never from the clock, so that a run that is killed and
        continued looks at the same steps.
        """
        if not self.samples:
            return 0
        if self.sample_steps is not None:
            return self.sample_steps
        looks = min(MOST, int(SHARE * recipe.steps / cost))
        return math.ceil(recipe.steps / looks) if looks else 0
