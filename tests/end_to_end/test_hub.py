"""What people with nothing of ours do: stock diffusers loads the latest release from our server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedshow_server.fusion import fuse_to_folder
from tests.conftest import BASE

PROGRAM = """
import hashlib, sys, torch
from diffusers import StableDiffusionPipeline

torch.set_num_threads(1)
pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1])
seed = torch.Generator().manual_seed(0)
prompt = "a <potter1> <potter2> on the beach"
image = pipe(prompt, num_inference_steps=2, generator=seed, output_type="np").images[0]
print(hashlib.sha256(image.tobytes()).hexdigest())
"""


def drawn(model: str | Path, **env: str) -> str:
    """The digest of a picture drawn in a process without fedshow's help."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.timeout(900)
def test_from_pretrained_loads_the_latest_release(federation, make_concept, tmp_path: Path) -> None:
    concept = tmp_path / "potter.safetensors"
    make_concept("potter").save(concept)
    fuse_to_folder(BASE, [concept], tmp_path / "release", method="average")
    federation.publish(tmp_path / "release")
    federation.join("alice", federation.invite("alice"))
    home = str(federation.home("alice"))
    variables = json.loads(federation.call("hub", "127.0.0.1", "--json", FEDSHOW_HOME=home))
    found = drawn("fedshow/latest", **variables, HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="0")
    assert found == drawn(tmp_path / "release")
