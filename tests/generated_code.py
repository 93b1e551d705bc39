"""Says whether shared/fedshow/v1 is what protos/ gives: `python -m tests.generated_code`."""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
KINDS = ("python_out", "grpc_python_out", "mypy_out", "mypy_grpc_out")


def stale_files() -> list[str]:
    """Names of generated files that differ from a fresh generation."""
    protos = sorted(
        str(path.relative_to(ROOT / "protos")) for path in ROOT.glob("protos/fedshow/v1/*.proto")
    )
    well_known = files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as fresh:
        outputs = [f"--{kind}={fresh}" for kind in KINDS]
        code = protoc.main(["protoc", f"-I{ROOT / 'protos'}", f"-I{well_known}", *outputs, *protos])
        assert code == 0, "protoc failed"
        made = {path.name: path.read_bytes() for path in Path(fresh, "fedshow/v1").iterdir()}
    kept = {path.name: path.read_bytes() for path in (ROOT / "shared/fedshow/v1").glob("*_pb2*")}
    return sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))


if __name__ == "__main__":
    stale = stale_files()
    print(
        f"generated code is stale: {', '.join(stale)}; run `make protos`"
        if stale
        else "generated code is fresh"
    )
    sys.exit(bool(stale))
