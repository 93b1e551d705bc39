"""A release's own pipeline.py, in an environment that has diffusers and what it needs, nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import fedshow
from fedshow.releases import verify_release
from fedshow.releases.contents import check_contents
from fedshow.releases.manifest import FileEntry
from tests.integrations.conftest import DrawAlone
from tests.integrations.recipes import LEFT, PLAIN, REGIONS, TINY_BOX, apart, by_fedshow

RECIPES: dict[str, dict[str, Any]] = {
    "layer-wise": PLAIN,
    **REGIONS,
    TINY_BOX: {**REGIONS[TINY_BOX], "height": 24, "width": 40},
}


@pytest.fixture(scope="module")
def drawn(release: Path, draw_alone: DrawAlone) -> Mapping[str, Image.Image]:
    """Every recipe, drawn where fedshow is not."""
    return draw_alone(release, RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_draws_what_fedshow_draws(
    release: Path, drawn: Mapping[str, Image.Image], name: str
) -> None:
    """The same seed of the same release, pixel by pixel."""
    expected = by_fedshow(fedshow.load(release), RECIPES[name])
    assert apart(drawn[name], expected).max() <= 1


def test_regions_show(drawn: Mapping[str, Image.Image]) -> None:
    pictures = [drawn[name] for name in ("layer-wise", "regions", "overlap")]
    for one, other in zip(pictures, pictures[1:], strict=False):
        assert apart(one, other).mean() > 3


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
