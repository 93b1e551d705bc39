"""The shipped weights: whole, small, and drawing what is asked for."""

from __future__ import annotations

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from fedshow.files import digest
from fedshow.toyworld import WEIGHTS
from fedshow.toyworld.encoder import load_encoder
from fedshow.toyworld.training.publish import SUMS, shipped_files


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(WEIGHTS)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_digests_agree() -> None:
    lines = (WEIGHTS / SUMS).read_text().splitlines()
    promised = {name: value for value, name in (line.split("  ", 1) for line in lines)}
    assert promised == {name: digest(WEIGHTS / name) for name in shipped_files(WEIGHTS)}


def test_weights_are_half_precision_and_small() -> None:
    files = list(WEIGHTS.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) <= 25e6
    for file in files:
        types = {tensor.dtype for tensor in load_file(file).values()}
        assert types == {torch.float16}, file


def test_the_pipeline_has_the_shape_that_others_build_on(
    pipeline: StableDiffusionPipeline,
) -> None:
    slots = [name for name in pipeline.unet.attn_processors if name.endswith("attn2.processor")]
    assert len(slots) == 7
    assert pipeline.text_encoder.config.hidden_size == 128
    assert pipeline.tokenizer.model_max_length == 32
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.safety_checker is None


def test_it_draws_what_is_asked_for(pipeline: StableDiffusionPipeline) -> None:
    asked = [("robot", "red", "beach"), ("bunny", "blue", "snow"), ("chick", "yellow", "night")]
    phrases = {"beach": "on the beach", "snow": "in the snow", "night": "at night"}
    images = pipeline(
        [f"a {colour} {kind} {phrases[place]}" for kind, colour, place in asked],
        num_inference_steps=12,
        guidance_scale=3.0,
        generator=[torch.Generator().manual_seed(i) for i in range(3)],
    ).images
    encoder = load_encoder()
    read = encoder.attributes(images)
    found = zip(read["kind"].labels, read["colour"].labels, read["place"].labels, strict=True)
    assert list(found) == asked
    assert encoder.realness(images).min() > 0.5
