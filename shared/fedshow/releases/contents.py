"""What a release may hold: weights, settings, texts and pictures, and of code only fedshow's own."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from fedshow.errors import RefusedRelease
from fedshow.releases.manifest import FileEntry

PIPELINE = "pipeline.py"
STANDALONE = {
    "sd1": "standalone_pipeline.py",
    "sdxl": "standalone_pipeline_sdxl.py",
    "sd3": "standalone_pipeline_sd3.py",
}
"""By family the file that becomes a release's `pipeline.py`."""

KNOWN_PIPELINES = frozenset(
    {
        "87bd27e9d1f0e34577616894733708e671632857bdbac3e2fec10a7ad60daee0",  # layer-wise words
        "9f6a613008a8a7c66bcb51b50e1f6827c3f2eea2f43608c7e22a5f3bea088ee0",  # and regions
        "27040d1a1ffc9efa281f5abbb7dfdf0242954cfd36d7238a94e1e50172ae27c5",  # of SDXL
        "22f2d2faf8d40baf92db6f186b65c6f409b5629b132bfc79b51c9c2c99c7c57e",  # and regions
        "9a40fd78bb9eae38a02d9e9bf3e7ced180ab8e1ea3c0c7f5d85a5905bc82e5eb",  # of SD3
    }
)
"""sha256 of every standalone pipeline that fedshow has ever put into releases."""

SUFFIXES = frozenset({".json", ".md", ".png", ".safetensors", ".txt"})


def check_contents(files: Mapping[str, FileEntry]) -> None:
    """Raises RefusedRelease naming the first file that could run code and is not known to fedshow.

    A release's `pipeline.py` runs on the machine of whoever loads it with `trust_remote_code`, and a
    pickle runs without asking: neither is taken from a server on trust.
    """
    for path, entry in sorted(files.items()):
        if path == PIPELINE:
            _check_pipeline(entry)
        elif (suffix := PurePosixPath(path).suffix) not in SUFFIXES:
            raise RefusedRelease(
                f"{path}: a release may hold {', '.join(sorted(SUFFIXES))} and {PIPELINE}, "
                f"not {suffix or 'a file without suffix'}"
            )


def _check_pipeline(entry: FileEntry) -> None:
    if entry.sha256 not in KNOWN_PIPELINES:
        raise RefusedRelease(
            f"{PIPELINE} (sha256 {entry.sha256[:12]}…) is no code of a fedshow that this one knows: "
            "update fedshow if the server's is newer, or pull with --format lora, which holds no code"
        )
