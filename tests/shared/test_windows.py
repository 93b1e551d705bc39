"""Windows: where they lie, that each is the region denoised by itself, and what they leave alone."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow.sampling.regional import RegionPlan, regional
from fedshow.sampling.regions import Region
from fedshow.sampling.separation import separated
from fedshow.sampling.windows import WindowedDenoiser, window_of, windowed

NATIVE = (8, 8)
LEFT = Region(box=(0.0, 0.0, 0.55, 1.0), prompt="a bunny", feather=0.2)
RIGHT = Region(box=(0.6, 0.1, 1.0, 1.0), prompt="a chick")
LATENT, PICTURE = (10, 18), (40, 72)


@pytest.fixture
def model(base: Base) -> Iterator[Model]:
    opened = Model(base)
    yield opened
    opened.restore()


@pytest.fixture
def latents() -> Tensor:
    return torch.randn(2, 8, *LATENT, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("box", "latent", "rows", "columns"),
    [
        ((0.0, 0.0, 1.0, 1.0), (8, 8), (0, 8), (0, 8)),
        ((0.5, 0.0, 1.0, 1.0), (8, 16), (0, 8), (8, 16)),
        ((0.0, 0.0, 1.0, 1.0), (10, 30), (1, 9), (11, 19)),  # the middle of a large one
        ((0.0, 0.25, 0.5, 0.75), (8, 8), (2, 6), (0, 4)),
        ((0.4, 0.4, 0.45, 0.45), (16, 16), (6, 8), (6, 8)),  # no window is empty
        ((0.9, 0.9, 1.0, 1.0), (16, 16), (14, 16), (14, 16)),
        ((0.0, 0.0, 1.0, 1.0), (3, 5), (0, 3), (0, 5)),
    ],
)
def test_windows_lie_around_the_middle_and_are_no_larger_than_the_base_knows(
    box: tuple[float, float, float, float],
    latent: tuple[int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    found = window_of(Region(box=box, prompt="x"), latent, NATIVE, 2)
    assert found == (slice(*rows), slice(*columns))


def features(model: Model) -> Tensor:
    return model.encode(["a beach"] * 2, [["a bunny"] * 2, ["a chick"] * 2])


def test_each_window_is_its_region_denoised_by_itself(model: Model, latents: Tensor) -> None:
    """Against the whole and every window, put together place by place."""
    unet, time, plan = model.base.pipeline.unet, torch.tensor(500), None
    layers = [layer for layer, _ in model.cross_attention]
    plan = RegionPlan([LEFT, RIGHT], LATENT, PICTURE)
    text = features(model)
    share_CHW = plan.shares_at(LATENT)
    with torch.no_grad():
        with regional(layers, plan), separated(model.self_attention, plan, 1.0):
            whole = unet(latents, time, encoder_hidden_states=text).sample
            with windowed(unet, plan, NATIVE, 0.5):
                found = unet(latents, time, encoder_hidden_states=text).sample
        expected = whole.clone()
        for k, region in enumerate((LEFT, RIGHT)):
            rows, columns = window_of(region, LATENT, NATIVE, 2)
            alone = unet(
                latents[:, :, rows, columns],
                time,
                encoder_hidden_states=model.encode([region.prompt] * 2),
            ).sample
            share_HW = share_CHW[1 + k, rows, columns]
            expected[:, :, rows, columns] += share_HW * (alone - whole[:, :, rows, columns])
    assert (expected - whole).abs().max() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_windows_end_when_they_are_told_and_leave_nothing(model: Model, latents: Tensor) -> None:
    unet, plan = model.base.pipeline.unet, RegionPlan([LEFT, RIGHT], LATENT, PICTURE)
    layers, text = [layer for layer, _ in model.cross_attention], features(model)

    def answer() -> Tensor:
        with torch.no_grad():
            return unet(latents, torch.tensor(500), encoder_hidden_states=text).sample  # type: ignore[no-any-return]

    with regional(layers, plan):
        whole = answer()
        with windowed(unet, plan, NATIVE, 0.5):
            assert not torch.equal(answer(), whole)
            with plan.told_to(lambda *_: None):
                assert torch.equal(answer(), whole), "who listens hears the whole picture"
            plan.progress = 0.5
            assert torch.equal(answer(), whole)
        assert torch.equal(answer(), whole)
    assert "forward" not in vars(unet)


def test_a_forward_that_somebody_put_there_stays(model: Model) -> None:
    """As accelerate does for models that move between devices."""
    unet, plan = model.base.pipeline.unet, RegionPlan([LEFT], LATENT, PICTURE)
    unet.forward = own = unet.forward
    try:
        with windowed(unet, plan, NATIVE, 1.0):
            assert unet.forward is not own
        assert unet.forward is own
    finally:
        del unet.forward


def test_a_picture_that_is_one_window_is_the_regions_own(model: Model) -> None:
    region = Region(box=(0, 0, 1, 1), prompt="a red robot on the beach")
    alone = model(region.prompt, steps=4, seed=2).images[0]
    found = model("a bunny", regions=[region], windows=1.0, steps=4, seed=2).images[0]
    assert found.tobytes() == alone.tobytes()


def test_conditions_are_cut_to_the_window_on_every_level(base: Base) -> None:
    """What a window sees of a map lies where the window lies, also when its edge is odd."""
    region = Region(box=(0.25, 0.0, 1.0, 1.0), prompt="x")
    plan = RegionPlan([region], (8, 15), (32, 60))
    denoiser = WindowedDenoiser(base.pipeline.unet, plan, NATIVE, 2, 1.0)
    rows, columns = denoiser.windows[0]
    assert (columns.start, columns.stop) == (5, 13)
    full = torch.arange(8.0)[:, None] * 100 + torch.arange(15.0)
    half = torch.arange(4.0)[:, None] * 100 + torch.arange(8.0)
    given = {
        "encoder_hidden_states": torch.zeros(1, 2, 1),
        "down_block_additional_residuals": [full[None, None], half[None, None]],
        "down_intrablock_additional_residuals": None,
        "mid_block_additional_residual": half[None, None],
    }
    found = denoiser._own(given, 0)
    large, small = found["down_block_additional_residuals"]
    assert torch.equal(large[0, 0], full[rows, columns])
    assert torch.equal(small[0, 0], half[:, 2:6])
    assert torch.equal(found["mid_block_additional_residual"], small)
    assert found["down_intrablock_additional_residuals"] is None
