"""A child that stands in for the tuner, and makes a file at once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fedshow_client.daemon import tuner

STAND_IN = '''
"""Stands in for `fedshow tune`: does what the environment says."""
import json, os, shutil, sys, time
from pathlib import Path

def main():
    options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
    Path(os.environ["STAND_IN_PID"]).write_text(str(os.getpid()))
    work = Path(options["--work"])
    work.mkdir(exist_ok=True)
    (work / "latents.safetensors").touch()
    Path(options["--progress"]).write_text(json.dumps({"step": 3, "steps": 9, "seconds": 1}) + "\\n")
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", 0)))
    if number := int(os.environ.get("STAND_IN_SIGNAL", 0)):
        print("step 3 of 9", file=sys.stderr, flush=True)
        os.kill(os.getpid(), number)
    if code := int(os.environ.get("STAND_IN_CODE", 0)):
        print("fedshow: class 'sea monster': two tokens", file=sys.stderr)
        sys.exit(code)
    shutil.copy(os.environ["STAND_IN_RESULT"], options["-o"])
'''


@pytest.fixture
def stand_in(tmp_path, monkeypatch, concept_blob: Callable[..., bytes]) -> Path:
    """The child that tunes, and the file that it will make."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    result = tmp_path / "result.safetensors"
    result.write_bytes(concept_blob())
    monkeypatch.setattr(tuner, "ENTRY", "stand_in:main")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("STAND_IN_RESULT", str(result))
    monkeypatch.setenv("STAND_IN_PID", str(tmp_path / "pid"))
    return result
