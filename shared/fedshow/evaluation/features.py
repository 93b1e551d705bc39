"""Features and text scores of kept pictures, kept as well: one file for each prompt and scorer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from fedshow import __version__
from fedshow.evaluation.pictures import Pictures
from fedshow.files import digest, write_atomically
from fedshow.sampling.recipe import Recipe
from fedshow.scoring.alignment import text_alignment
from fedshow.scoring.scorers import Scorer

AT_ONCE = 16
"""Pictures that a scorer looks at together."""

WEIGHTS = (".safetensors", ".onnx", ".json")


@dataclass(frozen=True)
class Looks:
    """What a scorer finds in a table of P prompts and S seeds."""

    features_PSD: Tensor
    text_PS: Tensor | None


class Features:
    """What one scorer finds in pictures, from disk where it has looked before."""

    def __init__(self, folder: Path, scorer: Scorer, key: str) -> None:
        self.folder, self.scorer, self.key = folder, scorer, key

    def of(
        self,
        pictures: Pictures,
        table: Recipe,
        classes: Mapping[str, str],
        on_pictures: Callable[[int], None],
    ) -> Looks:
        """Features of a table's pictures, and how much each shows what its prompt says."""
        rows = []
        for prompt in table.prompts:
            rows.append(self._row(pictures, table, prompt, classes))
            on_pictures(len(table.seeds))
        text = [row["text"] for row in rows if "text" in row]
        return Looks(
            torch.stack([row["features"] for row in rows]), torch.stack(text) if text else None
        )

    def _row(
        self, pictures: Pictures, table: Recipe, prompt: str, classes: Mapping[str, str]
    ) -> dict[str, Tensor]:
        keys = [pictures.key(table, prompt, seed) for seed in table.seeds]
        said = " ".join([self.key, *keys, *(f"{k}={v}" for k, v in sorted(classes.items()))])
        file = self.folder / f"{sha256(said.encode()).hexdigest()[:40]}.safetensors"
        try:
            kept: dict[str, Tensor] = load_file(file)
            return kept
        except (OSError, SafetensorError):  # not there, or cut off: looked at once more
            found = self._look(pictures, table, prompt, classes)
        write_atomically(file, save(found))
        return found

    def _look(
        self, pictures: Pictures, table: Recipe, prompt: str, classes: Mapping[str, str]
    ) -> dict[str, Tensor]:
        images = pictures.row(table, prompt)
        parts = [images[k : k + AT_ONCE] for k in range(0, len(images), AT_ONCE)]
        found = {"features": torch.cat([self.scorer.features(part) for part in parts])}
        texts = [text_alignment(self.scorer, p, [prompt] * len(p), classes) for p in parts]
        if known := [text for text in texts if text is not None]:
            found["text"] = torch.cat(known)
        return found


def scorer_key(scorer: Scorer, path: Path | None) -> str:
    """What names a scorer's findings: its weights and settings, not only what it is called."""
    if path is None:
        return f"{scorer.name} {__version__}"
    files = [path] if path.is_file() else sorted(path.iterdir())
    digests = [digest(file) for file in files if file.suffix in WEIGHTS and file.is_file()]
    return sha256(" ".join([scorer.name, *digests]).encode()).hexdigest()
