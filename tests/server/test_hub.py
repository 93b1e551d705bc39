"""Releases as the Hugging Face hub's own library downloads them, over TLS with our authority."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from fedshow.releases import verify_release
from tests.stage.publishing import put_release

FILES = {
    "model_index.json": b"{}",
    "unet/weights.safetensors": bytes(range(256)) * 9000,
    "README.md": b"# a release\n",
}
PROGRAM = """
import json, sys
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

def error(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except Exception as found:
        return [kind.__name__ for kind in type(found).__mro__]

repo = sys.argv[1]
info = HfApi().model_info(repo, files_metadata=True)
print(json.dumps({
    "folder": snapshot_download(repo),
    "one": hf_hub_download(repo, "README.md", revision=info.sha),
    "sha": info.sha,
    "private": info.private,
    "siblings": {file.rfilename: file.lfs.sha256 for file in info.siblings},
    "no file": error(hf_hub_download, repo, "none.json"),
    "no repo": error(hf_hub_download, "fedshow/0000000000000000", "README.md"),
    "no namespace": error(HfApi().model_info, "somebody/latest"),
    "no revision": error(HfApi().model_info, repo, revision="v9"),
    "no commit": error(HfApi().model_info, repo, revision="0" * 40),
}))
"""


@pytest.fixture(scope="module")
def release(server, tools):
    return put_release(server, "hermione", FILES)


@pytest.fixture
def environment(server, member, tmp_path):
    """What a user sets to let tools of the hub talk to this server."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": f"https://127.0.0.1:{server.port}",
        "HF_TOKEN": member.reply.token,
        "SSL_CERT_FILE": str(server.data / "ca" / "ca.pem"),
    }


def run(tools, environment, *command):
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=tools.patience_seconds
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(folder):
    found = sorted(Path(folder).rglob("*"))
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found if p.is_file()}


@pytest.mark.parametrize("name", ["latest", "id"])
def test_the_hubs_library_downloads_a_release(tools, environment, release, name):
    repo = "fedshow/latest" if name == "latest" else f"fedshow/{release.release}"
    found = json.loads(run(tools, environment, sys.executable, "-c", PROGRAM, repo))
    everything = {**FILES, "manifest.json": release.dump()}
    assert read(found["folder"]) == everything
    assert verify_release(Path(found["folder"])) == release
    assert Path(found["one"]).read_bytes() == FILES["README.md"]
    assert found["sha"] == sha256(release.dump()).hexdigest()[:40]
    assert found["private"]
    assert found["siblings"] == {p: sha256(c).hexdigest() for p, c in everything.items()}
    for asked, error in (
        ("no file", "EntryNotFoundError"),
        ("no repo", "RepositoryNotFoundError"),
        ("no namespace", "RepositoryNotFoundError"),
        ("no revision", "RevisionNotFoundError"),
        ("no commit", "RevisionNotFoundError"),
    ):
        assert error in found[asked], asked


def test_hf_download(tools, environment, release, tmp_path):
    program = Path(sys.executable).with_name("hf")
    out = tmp_path / "out"
    run(tools, environment, program, "download", "fedshow/latest", "--local-dir", out)
    assert read(out).items() >= FILES.items()
    assert verify_release(out).release == release.release
    verify = (program, "cache", "verify", "fedshow/latest", "--local-dir", out)
    run(tools, environment, *verify, "--fail-on-missing-files")
    weights = out / "unet" / "weights.safetensors"
    weights.write_bytes(b"x" + weights.read_bytes()[1:])
    damaged = subprocess.run(verify, env=environment, timeout=tools.patience_seconds)
    assert damaged.returncode == 1


def test_unchanged_files_are_not_sent_again(tools, environment, server, release):
    """The hub's cache knows files by ETag: the next release brings what is new."""
    program = "import sys, huggingface_hub as h; print(h.snapshot_download('fedshow/latest'))"
    first = Path(run(tools, environment, sys.executable, "-c", program).strip())
    put_release(server, "ron", {**FILES, "README.md": b"# another"})
    second = Path(run(tools, environment, sys.executable, "-c", program).strip())
    weights = "unet/weights.safetensors"
    assert first != second
    assert (first / weights).resolve() == (second / weights).resolve()
    assert (second / "README.md").read_bytes() == b"# another"


def test_strangers_get_nothing(tools, environment, release):
    program = "import huggingface_hub as h; h.snapshot_download('fedshow/latest')"
    stranger = environment | {"HF_TOKEN": "x" * 43}
    done = subprocess.run(
        [sys.executable, "-c", program], env=stranger, capture_output=True, text=True,
        timeout=tools.patience_seconds,
    )  # fmt: skip
    assert done.returncode == 1
    assert "token is not known" in done.stderr
    assert not list(Path(environment["HF_HOME"]).rglob("*.safetensors"))
