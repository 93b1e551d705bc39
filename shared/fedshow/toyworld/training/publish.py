"""Put what is trained where the package ships it, with its digests."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from fedshow.files import digest
from fedshow.toyworld import WEIGHTS

SUMS = "SHA256SUMS"


def publish(
    pipeline: Path | None,
    encoder: Path | None,
    conditions: dict[str, Path],
    weights: Path = WEIGHTS,
) -> None:
    """Copy the pipeline's folder, the encoder's weights, the modules of conditions; write the digests.

    `conditions` has the folder of a module by its place, such as `control/sketch`.
    """
    if pipeline is not None:
        shutil.copytree(pipeline, weights, dirs_exist_ok=True)
    if encoder is not None:
        (weights / "encoder").mkdir(exist_ok=True)
        shutil.copyfile(encoder, weights / "encoder" / "model.safetensors")
    for place, folder in conditions.items():
        shutil.copytree(folder, weights / "conditions" / place, dirs_exist_ok=True)
    for name in shipped_files(weights):
        (weights / name).chmod(0o644)  # what diffusers writes is for its owner alone
    write_sums(weights)


def write_sums(weights: Path) -> None:
    """Write `SHA256SUMS` over every other file of the folder, for `sha256sum -c`."""
    lines = [f"{digest(weights / name)}  {name}\n" for name in shipped_files(weights)]
    (weights / SUMS).write_text("".join(lines))


def shipped_files(weights: Path) -> list[str]:
    """Every file below the folder but the digests and the model card, in order."""
    files = (path.relative_to(weights) for path in weights.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in files if path.name not in (SUMS, "README.md"))


def main() -> None:
    """Publish from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--control", type=Path, help="folder of a ControlNet that follows outlines")
    parser.add_argument(
        "--adapter", type=Path, help="folder of a T2I-Adapter that follows outlines"
    )
    parser.add_argument("--to", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    modules = {"control/sketch": args.control, "adapter/sketch": args.adapter}
    conditions = {place: folder for place, folder in modules.items() if folder is not None}
    publish(args.pipeline, args.encoder, conditions, args.to)


if __name__ == "__main__":
    main()
