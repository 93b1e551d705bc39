"""ControlNets and T2I-Adapters on the embedded base: drawings follow the lines that they are given."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, T2IAdapter
from numpy.typing import NDArray
from PIL import Image

from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow.sampling.conditioning import ConditionedDenoiser
from fedshow.sampling.conditions import Condition, Kind
from fedshow.sampling.model import Model
from fedshow.sampling.regional import RegionPlan
from fedshow.sampling.regions import Region
from fedshow.toyworld import CONDITIONS
from fedshow.toyworld.scenes import Picture, draw
from fedshow.toyworld.world import Character, Scene

KINDS: tuple[Kind, ...] = ("control", "adapter")
PROMPT = "a red robot on a white background"
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
Bits = NDArray[np.bool_]


@pytest.fixture
def model(base: Base):
    opened = Model(base)
    yield opened
    opened.restore()


@pytest.fixture(scope="module")
def robots() -> list[Picture]:
    scene = Scene("plain", (Character("robot", "red"),))
    return [draw(scene, random.Random(seed)) for seed in range(4)]


def condition(kind: Kind, picture: Picture, **more: float) -> Condition:
    return Condition(kind=kind, name="sketch", picture=picture.outline, **more)  # type: ignore[arg-type]


def figure(image: Image.Image) -> Bits:
    """Where an image on white shows somebody."""
    return np.asarray(255 - np.asarray(image.convert("RGB"), dtype=int)).sum(-1) > 120


def agreement(image: Image.Image, drawn: Picture) -> float:
    """Intersection over union of the figure with the one that lines were taken from."""
    found, wanted = figure(image), np.asarray(drawn.masks[0]) > 127
    return float((found & wanted).sum() / (found | wanted).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_figures_follow_the_lines(model: Model, robots: list[Picture], kind: Kind) -> None:
    plain = [agreement(model(PROMPT, seed=k).images[0], robot) for k, robot in enumerate(robots)]
    led = [
        agreement(model(PROMPT, seed=k, conditions=[condition(kind, robot)]).images[0], robot)
        for k, robot in enumerate(robots)
    ]
    assert np.mean(led) > np.mean(plain) + 0.1
    assert np.mean(led) > 0.75


@pytest.mark.parametrize("kind", KINDS)
def test_weight_and_time_of_a_condition_count(
    model: Model, robots: list[Picture], kind: Kind
) -> None:
    def drawn(*conditions: Condition) -> Image.Image:
        return model(PROMPT, steps=4, conditions=conditions).images[0]

    one = condition(kind, robots[0])
    plain, full = drawn(), drawn(one)
    assert drawn(replace(one, weight=0.0)) == plain
    assert full != plain
    assert drawn(replace(one, weight=0.5)) not in (plain, full)
    assert drawn(replace(one, end=0.25)) not in (plain, full)
    assert drawn(replace(one, start=0.9)) == plain, "the last step begins at three quarters"


def test_several_conditions_add_up(model: Model, robots: list[Picture]) -> None:
    def drawn(*conditions: Condition) -> Image.Image:
        return model(PROMPT, steps=3, conditions=conditions).images[0]

    control, adapter = (condition(kind, robots[0]) for kind in KINDS)
    assert (
        len({drawn(*some).tobytes() for some in ((), (control,), (adapter,), (control, adapter))})
        == 4
    )
    half = replace(control, weight=0.5)
    difference = np.asarray(drawn(half, half), int) - np.asarray(drawn(control), int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_concepts_are_called_under_a_condition(
    model: Model, robots: list[Picture], kind: Kind
) -> None:
    """Attention is asked for with the condition's residuals, too: the call moves other latents."""
    regions = [Region(box=LEFT, prompt="a robot"), Region(box=RIGHT, prompt="a bunny")]

    def drawn(*conditions: Condition, presence: float = 0.5) -> bytes:
        more = {"regions": regions, "presence": presence, "conditions": conditions}
        return model("a beach", steps=5, **more).images[0].tobytes()

    one = condition(kind, robots[0])
    assert len({drawn(), drawn(one), drawn(one, presence=0)}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_region_can_turn_a_condition_off_within_its_bounds(
    model: Model, robots: list[Picture], kind: Kind
) -> None:
    unet, one = model.base.pipeline.unet, condition(kind, robots[0])
    latents, text = torch.randn(2, 8, 8, 8), model.encode(["a robot"] * 2, [["x"] * 2])

    def residuals(left: float) -> list[torch.Tensor]:
        region = Region(box=LEFT, prompt="x", controls={"sketch": left})
        plan = RegionPlan([region], (8, 8), (32, 32))
        hook = ConditionedDenoiser([(one, model.conditions(one))], plan, latents)
        with torch.no_grad():
            found = hook(unet, (latents, torch.tensor(500)), {"encoder_hidden_states": text})
        assert found is not None
        down = found[1].get("down_block_additional_residuals", [])
        across = found[1].get("down_intrablock_additional_residuals", [])
        middle = found[1].get("mid_block_additional_residual")
        return [*down, *across, *([] if middle is None else [middle])]

    whole, right = residuals(1.0), residuals(0.0)
    assert len(whole) == (5 if kind == "control" else 2)
    for full, halved in zip(whole, right, strict=True):
        middle = full.shape[-1] // 2
        assert full[..., :middle].abs().max() > 0
        assert halved[..., :middle].abs().max() == 0
        assert torch.equal(halved[..., middle:], full[..., middle:])


def test_conditions_work_from_an_image_and_on_other_sizes(
    model: Model, robots: list[Picture]
) -> None:
    wide = robots[0].outline.resize((48, 40))
    conditions = [Condition(kind=kind, name="sketch", picture=wide) for kind in KINDS]
    drawn = model(PROMPT, steps=4, conditions=conditions, width=48, height=40).images[0]
    assert drawn.size == (48, 40)
    start = robots[1].image
    lead = [condition("control", robots[0])]
    found = model(PROMPT, steps=4, image=start, strength=0.75, conditions=lead).images[0]
    assert found != model(PROMPT, steps=4, image=start, strength=0.75).images[0]


def test_a_net_with_attention_reads_each_slot_and_each_region(
    model: Model, robots: list[Picture], tmp_path: Path
) -> None:
    net = ControlNetModel.from_unet(
        model.base.pipeline.unet,
        conditioning_channels=1,
        controlnet_conditioning_channel_order="rgb",
    )
    net = ControlNetModel.from_config(
        {**net.config, "conditioning_embedding_out_channels": (8, 8, 8)}
    )
    net.save_pretrained(tmp_path / "net")
    one = Condition(kind="control", name=str(tmp_path / "net"), picture=robots[0].outline)
    opened = model.conditions(one)
    layers = model.base.family.slotted_layers(opened)
    assert len(layers) == 3, "down, down, middle"
    widths: list[tuple[int, int]] = []
    for layer, slot in layers:
        layer.to_k.register_forward_pre_hook(
            lambda _module, args, slot=slot: widths.append((slot, args[0].shape[1]))
        )
    tokens = model.base.pipeline.tokenizer.model_max_length
    region = Region(box=LEFT, prompt="a bunny")
    model(PROMPT, steps=1, regions=[region], conditions=[one])
    assert widths == [(slot, 2 * tokens) for slot in range(3)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_ships_is_small(kind: Kind) -> None:
    files = [file for file in (CONDITIONS / kind / "sketch").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 3_000_000


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("control", "scribble", "control 'scribble': no folder, and none of sketch"),
        ("adapter", "/nowhere", "adapter '/nowhere': no folder, and none of sketch"),
    ],
)
def test_unknown_modules_are_named(
    model: Model, robots: list[Picture], kind: Kind, name: str, says: str
) -> None:
    one = Condition(kind=kind, name=name, picture=robots[0].outline)
    with pytest.raises(InvalidInput, match=says):
        model(PROMPT, conditions=[one])


def test_modules_of_other_bases_and_other_files_are_refused(
    model: Model, robots: list[Picture], tmp_path: Path
) -> None:
    T2IAdapter(channels=[32, 64], num_res_blocks=1).save_pretrained(tmp_path / "other")
    (tmp_path / "empty").mkdir()
    for folder, says in (("other", r"channels \(32, 64\)"), ("empty", "cannot be loaded")):
        one = Condition(kind="adapter", name=str(tmp_path / folder), picture=robots[0].outline)
        with pytest.raises(InvalidInput, match=says):
            model(PROMPT, conditions=[one])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weight": -1.0}, "weight from 0 to 10"),
        ({"weight": float("nan")}, "weight from 0 to 10"),
        ({"start": 0.5, "end": 0.5}, "0 <= start < end <= 1"),
    ],
)
def test_numbers_of_conditions_are_checked(
    robots: list[Picture], changes: dict[str, float], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        condition("control", robots[0], **changes)


def test_a_condition_of_other_proportions_is_refused(model: Model, robots: list[Picture]) -> None:
    with pytest.raises(InvalidInput, match="picture of 32x32 pixels does not fit one of 64x32"):
        model(PROMPT, width=64, conditions=[condition("control", robots[0])])


def test_a_region_weighs_only_conditions_that_there_are(model: Model) -> None:
    region = Region(box=RIGHT, prompt="x", controls={"pose": 0.5})
    with pytest.raises(InvalidInput, match="'pose': no such condition; there are none"):
        model(PROMPT, regions=[region])


@pytest.mark.parametrize("spec", ["sketch", "sketch=", "=x.png", "sketch=x.png; size=2"])
def test_spelling_of_conditions(spec: str) -> None:
    with pytest.raises(InvalidInput, match="write 'TYPE=PNG'"):
        Condition.parse("control", spec)


def test_condition_is_parsed(tmp_path: Path, robots: list[Picture]) -> None:
    robots[0].outline.save(tmp_path / "lines.png")
    found = Condition.parse("adapter", f"sketch={tmp_path}/lines.png; weight=.5; end=.6")
    assert found == replace(condition("adapter", robots[0]), weight=0.5, end=0.6)
