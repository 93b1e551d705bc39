"""A pulled release as one checkpoint: the folder that `fedshow pull --format single-file` leaves.

Importing this costs nothing; making one loads torch.
"""

import shutil
from pathlib import Path

from fedshow.errors import InvalidInput
from fedshow.formats.beside import words_beside

CHECKPOINT = "model.safetensors"
WORDS = words_beside(Path(CHECKPOINT)).name


def check_checkpoint_folder(out: Path) -> Path:
    """Where the release goes that `out` is made of; raises InvalidInput when something else lies in `out`."""
    for found in sorted(out.iterdir()) if out.is_dir() else ():
        if found.name not in (CHECKPOINT, WORDS):
            raise InvalidInput(
                f"{out} holds {found.name!r}, which is no single file; choose another"
            )
    return out.absolute().with_name(f".{out.absolute().name}.release")


def make_checkpoint_folder(release: Path, out: Path) -> None:
    """Puts checkpoint and words into `out`, in place of another release's; takes `release` away."""
    from fedshow.formats import export_model

    made = release.with_name(f"{release.name}.made")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    export_model(release, "single-file", made / CHECKPOINT)
    shutil.rmtree(out, ignore_errors=True)
    made.replace(out)
    shutil.rmtree(release)
