"""Which picture sizes a base is taught with."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow_client.tuning.data.bases import frame_and_width
from fedshow_client.tuning.data.frames import Frame

SD15 = Frame(512, 64)
frames = st.builds(
    lambda steps, multiple: Frame(steps * multiple, multiple),
    st.integers(2, 24),
    st.sampled_from([8, 16, 32, 64]),
)


@given(frames, st.floats(1, 4))
def test_sizes_are_multiples_of_about_the_same_area_within_the_aspect(
    frame: Frame, aspect: float
) -> None:
    sizes = frame.sizes(aspect)
    assert (frame.edge, frame.edge) in sizes
    for width, height in sizes:
        assert width % frame.multiple == height % frame.multiple == 0
        assert max(width, height) <= aspect * min(width, height)
        assert (height, width) in sizes
        half_a_step = frame.multiple / 2 * min(width, height)
        assert abs(width * height - frame.edge**2) <= half_a_step


@given(st.integers(16, 9000), st.integers(16, 9000), st.floats(1, 4))
def test_a_picture_goes_to_the_size_it_loses_least_in(
    width: int, height: int, aspect: float
) -> None:
    def lost(size: tuple[int, int]) -> float:
        ratio = size[0] / size[1] * height / width
        return max(ratio, 1 / ratio)

    chosen = SD15.size_for((width, height), aspect)
    assert lost(chosen) <= min(map(lost, SD15.sizes(aspect))) * (1 + 1e-9)


def test_the_usual_photos_at_512() -> None:
    assert SD15.size_for((1000, 1000), 2.0) == (512, 512)
    assert SD15.size_for((4032, 3024), 2.0) == (576, 448)
    assert SD15.size_for((3024, 4032), 2.0) == (448, 576)
    assert SD15.size_for((1920, 1080), 2.0) == (704, 384)
    assert SD15.size_for((4000, 1000), 2.0) == (704, 384), "448 x 576 is too far, the limit is 2"


def test_aspect_of_one_allows_squares_only() -> None:
    assert SD15.sizes(1.0) == [(512, 512)]


def test_toyworld_is_known_without_opening_it(base: Base) -> None:
    assert frame_and_width("toyworld")[0] == Frame.of(base) == Frame(32, 8)
    assert frame_and_width("toyworld")[1] == base.card.token_dim


def make_base(folder: Path, **unet: object) -> Path:
    (folder / "model_index.json").write_text("{}")
    configs = {
        "unet": {"sample_size": 64, "down_block_types": ["a"] * 4} | unet,
        "vae": {"block_out_channels": [1] * 4},
        "text_encoder": {"hidden_size": 768},
    }
    for part, config in configs.items():
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(config))
    return folder


def test_a_diffusers_folder_tells_its_frame(tmp_path: Path) -> None:
    assert frame_and_width(str(make_base(tmp_path))) == (SD15, 768)


def test_what_is_no_base_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'nowhere': use 'toyworld'"):
        frame_and_width("nowhere")
    with pytest.raises(InvalidInput, match="not a model of a known family"):
        frame_and_width(str(make_base(tmp_path, down_block_types=None)))
    (tmp_path / "vae" / "config.json").unlink()
    with pytest.raises(InvalidInput, match=r"vae/config.json cannot be read"):
        frame_and_width(str(tmp_path))
