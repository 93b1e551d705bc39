"""What samples ask for and the files they lie in; without torch, for the daemon too."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from fedshow_client.tuning.watching.settings import SCALES

FOLDER_NAME = "samples"
PROMPTS = ("photo of a {0}", "a {0} on the beach", "a {0} in the snow")
"""Short enough for the embedded base, and of places that it and everyone knows."""


@dataclass(frozen=True)
class SampleFile:
    """One picture of a look, on disk."""

    path: Path
    prompt: str
    scale: float


def prompts_for(subject: str) -> list[str]:
    """The prompts with `<name>`, or with a class word to ask a scorer."""
    return [prompt.format(subject) for prompt in PROMPTS]


def sample_path(folder: Path, step: int, number: int) -> Path:
    """Where picture `number` of the look after `step` lies; they are numbered scale by scale."""
    row, column = divmod(number, len(PROMPTS))
    return folder / f"step{step:06}-scale{SCALES[row]:g}-{column + 1}.png"


def steps_with_samples(folder: Path) -> list[int]:
    """The steps after which all pictures of a look are there, oldest first."""
    last = sample_path(folder, 0, len(SCALES) * len(PROMPTS) - 1).name.partition("-")[2]
    return sorted(int(path.name[4:10]) for path in folder.glob(f"step??????-{last}"))


def samples_of(folder: Path, step: int, name: str) -> list[SampleFile]:
    """The pictures of one look, scale by scale."""
    labels = [(scale, prompt) for scale in SCALES for prompt in prompts_for(f"<{name}>")]
    return [
        SampleFile(sample_path(folder, step, number), prompt, scale)
        for number, (scale, prompt) in enumerate(labels)
    ]


def keep_last_look(work: Path) -> None:
    """Deletes everything in a run's work folder but the pictures of its last look."""
    folder = work / FOLDER_NAME
    steps = steps_with_samples(folder)
    if not steps:
        return shutil.rmtree(work, ignore_errors=True)
    kept = {folder, *(sample.path for sample in samples_of(folder, steps[-1], ""))}
    for path in {*work.iterdir(), *folder.iterdir()} - kept:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return None
