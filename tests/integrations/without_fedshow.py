"""Draws with a release's own pipeline.py where fedshow is not installed; a program of its own.

    python -I -S without_fedshow.py PACKAGES RELEASE DRAWINGS.json OUT

Each drawing of the list becomes `OUT/0.png` and so on.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

packages, release, drawings, out = sys.argv[1:]
sys.path.append(packages)
for name in ("fedshow", "fedshow_client", "fedshow_server", "flwr", "pydantic", "peft"):
    assert find_spec(name) is None, f"{name} can be imported here"

import torch  # noqa: E402
from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler  # noqa: E402

torch.set_num_threads(1)
pipe = DiffusionPipeline.from_pretrained(release, custom_pipeline=release, trust_remote_code=True)
if hasattr(pipe, "unet"):  # others flow, each by its own scheduler
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
pipe.set_progress_bar_config(disable=True)
for number, one in enumerate(json.loads(Path(drawings).read_text())):
    seed = one.pop("seed")
    if "regions" in one:
        one["regions"] = [(tuple(box), prompt) for box, prompt in one["regions"]]
    picture = pipe(
        generator=torch.Generator().manual_seed(seed),
        guidance_scale=3.0,
        **one,
    ).images[0]
    picture.save(Path(out) / f"{number}.png")
