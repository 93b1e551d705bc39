"""A release's own pipeline.py, in an environment that has diffusers and what it needs, nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

import fedshow
from fedshow.releases import verify_release
from fedshow.releases.contents import check_contents
from fedshow.releases.manifest import FileEntry

PROGRAM = Path(__file__).with_name("without_fedshow.py")
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
PLAIN: dict[str, Any] = {"prompt": "a <potter> next to a <mimi>", "seed": 3}
RECIPES: dict[str, dict[str, Any]] = {
    "layer-wise": PLAIN,
    "regions": {**PLAIN, "regions": [(LEFT, "a <potter>"), (RIGHT, "a red robot")]},
    "overlap": {
        **PLAIN,
        "regions": [((0.0, 0.1, 0.6, 1.0), "a <potter>"), ((0.3, 0.0, 1.0, 0.7), "a <mimi>")],
    },
    "tiny box, negative, other size": {
        **PLAIN,
        "negative_prompt": "a <mimi>",
        "regions": [((0.41, 0.41, 0.42, 0.43), "a <mimi>")],
        "height": 24,
        "width": 40,
    },
}


def needed(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """`found`, and this distribution with all that it requires as far as it is installed here."""
    if name not in found:
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            return found
        for requirement in map(Requirement, found[name].requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed(requirement.name.lower(), found)
    return found


def parts(name: str) -> Iterator[Path]:
    """The modules and folders of these distributions, where they are installed."""
    for one in needed(name, {}).values():
        for part in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            if not part.endswith(".pth"):
                yield Path(str(one.locate_file(part)))


@pytest.fixture(scope="module")
def diffusers_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from: torch, transformers, diffusers and what they require, as links."""
    folder = tmp_path_factory.mktemp("packages")
    for name in ("diffusers", "torch", "transformers"):
        for part in parts(name):
            if not (folder / part.name).exists():
                (folder / part.name).symlink_to(part)
    return folder


@pytest.fixture(scope="module")
def drawn(
    release: Path, diffusers_alone: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Image.Image]:
    """Every recipe, drawn by a program that cannot import fedshow."""
    out = tmp_path_factory.mktemp("drawn")
    orders = [{**one, "num_inference_steps": 4} for one in RECIPES.values()]
    (out / "orders.json").write_text(json.dumps(orders))
    subprocess.run(
        [sys.executable, "-I", "-S", PROGRAM, diffusers_alone, release, out / "orders.json", out],
        check=True,
        env={**os.environ, "HF_HOME": str(out / "cache"), "HF_HUB_OFFLINE": "1"},
    )
    return {name: Image.open(out / f"{number}.png") for number, name in enumerate(RECIPES)}


@pytest.mark.parametrize("name", RECIPES)
def test_draws_what_fedshow_draws(
    release: Path, drawn: Mapping[str, Image.Image], name: str
) -> None:
    """The same seed of the same release, pixel by pixel."""
    recipe = RECIPES[name]
    regions = [fedshow.Region(box=box, prompt=text) for box, text in recipe.get("regions", ())]
    model = fedshow.load(release)
    expected = model(
        recipe["prompt"],
        regions=regions,
        negative=recipe.get("negative_prompt", ""),
        height=recipe.get("height"),
        width=recipe.get("width"),
        seed=recipe["seed"],
        steps=4,
    ).images[0]
    off = np.abs(np.asarray(drawn[name], np.int16) - np.asarray(expected, np.int16))
    assert off.max() <= 1


def test_regions_show(drawn: Mapping[str, Image.Image]) -> None:
    pixels = [np.asarray(drawn[name], np.int16) for name in ("layer-wise", "regions", "overlap")]
    for one, other in zip(pixels, pixels[1:], strict=False):
        assert np.abs(one - other).mean() > 3


@pytest.mark.parametrize("box", [(0, 0, 1.5, 1), (0.5, 0, 0.5, 1), (0, 0.9, 1, 0.1)])
def test_a_box_that_is_none_is_refused(release: Path, box: tuple[float, ...]) -> None:
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(
        str(release), custom_pipeline=str(release), trust_remote_code=True
    )
    with pytest.raises(ValueError, match=r"box .*: use 0 <= left < right <= 1"):
        pipe("a cat", regions=[(box, "a robot")])
    assert not pipe.region_prompts


def test_layers_are_as_before_also_when_drawing_ends_early(release: Path) -> None:
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(
        str(release), custom_pipeline=str(release), trust_remote_code=True
    )
    pipe.set_progress_bar_config(disable=True)
    before = dict(pipe.unet.attn_processors)

    def stop(*_: object) -> dict[str, object]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipe("a cat", regions=[(LEFT, "a robot")], callback_on_step_end=stop)
    assert pipe.unet.attn_processors == before
    packed, _ = pipe.encode_prompt("a cat", "cpu", 1, False)
    assert packed.shape[1] == pipe.config.slots * pipe.tokenizer.model_max_length


def test_a_release_with_the_pipeline_of_0_1_still_verifies(release: Path) -> None:
    first = "87bd27e9d1f0e34577616894733708e671632857bdbac3e2fec10a7ad60daee0"
    files = verify_release(release).files
    assert files["pipeline.py"].sha256 != first
    check_contents({**files, "pipeline.py": FileEntry(sha256=first, size_bytes=4049)})
