"""A pulled release as one checkpoint: the folder that `fedshow pull --format single-file` leaves.

Importing this costs nothing; making one loads torch.
"""

from pathlib import Path

from fedshow.errors import InvalidInput
from fedshow.formats.beside import words_beside
from fedshow.transfer.staging import INSIDE, new_tree, put

CHECKPOINT = "model.safetensors"
WORDS = words_beside(Path(CHECKPOINT)).name
RELEASE = "release"
"""In the staging folder: the release that the checkpoint is made of."""


def check_checkpoint_folder(out: Path) -> None:
    """Raises InvalidInput when something else than an earlier checkpoint lies in `out`."""
    for found in sorted(out.iterdir()) if out.is_dir() else ():
        if found.name not in (CHECKPOINT, WORDS, INSIDE):
            raise InvalidInput(
                f"{out} holds {found.name!r}, which is no single file; choose another"
            )


def make_checkpoint_folder(out: Path, staging: Path) -> None:
    """Puts checkpoint and words of the staged release into `out` at once, in place of another release's."""
    from fedshow.formats import export_model

    made = new_tree(staging)
    export_model(staging / RELEASE, "single-file", made / CHECKPOINT)
    put(made, out, staging)
