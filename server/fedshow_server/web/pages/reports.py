"""What a release says of itself, and who vouches for it; what is odd is left out, never shown."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from fedshow.documents import BadDocument, read_json
from fedshow.errors import Damaged, NotFound, RefusedRelease
from fedshow.releases import FileEntry
from fedshow.releases.file_names import CROSSTALK, MANIFEST, REPORT, RESIDUALS, SIGNATURE
from fedshow.releases.signing import Signature, check_manifest
from fedshow_server.store import Blobs

MOST_BYTES = 16 << 20
PICTURES = {
    RESIDUALS: "What each concept misses in each layer, and how far the base moves there",
    CROSSTALK: "What each concept loses to each other one",
}
"""Heat maps that a release may hold, with what they show."""
DARKEST = 9


class LayerNumbers(BaseModel):
    """One layer of a report; lists are in the order of its concepts."""

    model_config = ConfigDict(extra="ignore")

    residual_heldout: list[float]
    drift: float


class Summary(BaseModel):
    """A report in a few numbers: 0 is perfect, 1 as if the concept were absent."""

    model_config = ConfigDict(extra="ignore")

    residual_heldout: dict[str, float]
    drift: float
    crosstalk: list[list[float]] = []


class Report(BaseModel):
    """The part of a release's report.json that is shown."""

    model_config = ConfigDict(extra="ignore")

    method: str = Field(max_length=64)
    concepts: list[str]
    summary: Summary
    layers: dict[str, LayerNumbers]


@dataclass(frozen=True)
class Signed:
    """Whose signature a release has, and what is wrong with it; looked at just now."""

    key: str
    problem: str


def read_report(blobs: Blobs, files: dict[str, FileEntry]) -> Report | None:
    """The release's report; None when it has none that can be shown."""
    entry = files.get(REPORT)
    if entry is None or entry.size_bytes > MOST_BYTES:
        return None
    try:
        with blobs.open(entry.sha256) as file:
            found = Report.model_validate(read_json(file.read()))
    except (ValueError, NotFound, Damaged, BadDocument):
        return None
    size = len(found.concepts)
    whole = all(len(layer.residual_heldout) == size for layer in found.layers.values())
    square = all(len(row) == size for row in found.summary.crosstalk)
    return found if whole and square else None


def look_at_signature(blobs: Blobs, files: dict[str, FileEntry], ours: str) -> Signed:
    """Whether the release's manifest is signed with our key."""
    try:
        content = _read(blobs, files[MANIFEST])
        signature = _read(blobs, files[SIGNATURE]) if SIGNATURE in files else None
        check_manifest(content, signature, ours)
    except RefusedRelease as error:
        return Signed("", str(error))
    except (KeyError, NotFound) as error:
        return Signed("", f"its manifest cannot be read: {error}")
    assert signature is not None
    return Signed(Signature.parse(signature).key, "")


def heat(value: float) -> str:
    """The class of a cell with this value, the darker the worse."""
    return f"heat-{min(DARKEST, max(0, round(value * DARKEST)))}"


def _read(blobs: Blobs, entry: FileEntry) -> bytes:
    with blobs.open(entry.sha256) as file:
        return file.read()
