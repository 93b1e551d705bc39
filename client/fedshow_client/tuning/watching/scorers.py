"""What measures the samples of one tuning."""

from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow.scoring.scorers import Scorer, scorer_of
from fedshow_client.tuning.watching.settings import WatchSettings


def scorer_for(base: Base, settings: WatchSettings, device: str | None = None) -> Scorer | None:
    """The scorer that the settings name, on the device; else the base's own; None when it has none.

    Raises InvalidInput when there is no scorer in the folder named, or none at all and the settings
    want to stop by scores.
    """
    found = scorer_of(base, settings.scorer, device)
    if found is None and settings.patience:
        raise InvalidInput(
            f"--patience {settings.patience}: base {base.card.name} has no measuring encoder; "
            "name a CLIP, DINOv2 or ArcFace model with --scorer"
        )
    return found
