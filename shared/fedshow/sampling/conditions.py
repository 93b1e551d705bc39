"""Spatial conditions: pictures of what should be where, for ControlNets and T2I-Adapters."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from PIL import Image

from fedshow.errors import InvalidInput
from fedshow.families.locating import TOYWORLD
from fedshow.families.stored import weights_in
from fedshow.files import digest
from fedshow.sampling.pictures import read_picture
from fedshow.sampling.regions import Size, check_times, check_weight
from fedshow.sampling.spelling import read_options
from fedshow.toyworld import CONDITIONS

Kind = Literal["control", "adapter"]
MOST_CONDITIONS = 8
_STRETCH = 0.02
"""So much may the picture of a condition differ in its proportions, for sizes are rounded."""

_CONTENT = "sha256:"

KNOWN: dict[str, dict[Kind, dict[str, str]]] = {
    "sd1": {
        "control": {
            "sketch": "lllyasviel/control_v11p_sd15_scribble",
            "pose": "lllyasviel/control_v11p_sd15_openpose",
            "depth": "lllyasviel/control_v11f1p_sd15_depth",
        },
    },
    "sdxl": {
        "control": {
            "sketch": "xinsir/controlnet-scribble-sdxl-1.0",
            "pose": "xinsir/controlnet-openpose-sdxl-1.0",
            "depth": "diffusers/controlnet-depth-sdxl-1.0",
        },
        "adapter": {
            "sketch": "TencentARC/t2i-adapter-sketch-sdxl-1.0",
            "pose": "TencentARC/t2i-adapter-openpose-sdxl-1.0",
            "depth": "TencentARC/t2i-adapter-depth-midas-sdxl-1.0",
        },
    },
}
"""By family what people name by type, of the hub, each with `diffusion_pytorch_model.safetensors`.

T2I-Adapters of 1.x are there as pickles only, which are never opened. toyworld has its own.
"""


def types(base: str, family: str, kind: Kind) -> dict[str, str]:
    """By name where the modules of this kind are that a base has without a path."""
    if base == TOYWORLD:
        return {folder.name: str(folder) for folder in sorted((CONDITIONS / kind).iterdir())}
    return KNOWN.get(family, {}).get(kind, {})


def content_name(folder: Path) -> str:
    """What others read for the folder of a module of somebody's own: a digest of the weights in it.

    Raises InvalidInput when there are none.
    """
    digests = "".join(digest(file) for file in weights_in(folder))
    return f"{_CONTENT}{sha256(digests.encode()).hexdigest()}"


def is_content_name(name: str) -> bool:
    """Whether it is what `content_name` gives, which tells nobody where the module is."""
    return name.startswith(_CONTENT)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A picture of what should be where, for one ControlNet or T2I-Adapter."""

    kind: Kind
    name: str
    """What the model calls the module: `sketch`, or the folder that it was opened from; in recipes that
    others read, a digest stands for the folder.
    """

    picture: Image.Image
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    """From which fraction of the denoising steps on it counts, and up to which."""

    def __post_init__(self) -> None:
        check_weight(f"{self.kind} {self.name}", self.weight)
        check_times(f"{self.kind} {self.name}", self.start, self.end)

    @classmethod
    def parse(cls, kind: Kind, spec: str) -> "Condition":
        """The condition written as `TYPE=PNG` or `TYPE=PNG; weight=.8; start=0; end=.6`.

        Raises InvalidInput.
        """
        name, equals, rest = (part.strip() for part in spec.partition("="))
        said = read_options(spec, rest)
        unknown = said.numbers.keys() - {"weight", "start", "end"}
        if not (name and equals and said.what) or unknown:
            raise InvalidInput(
                f"{kind} {spec!r}: write 'TYPE=PNG', or 'TYPE=PNG; weight=0.8; start=0; end=0.6'"
            )
        return cls(kind=kind, name=name, picture=read_picture(Path(said.what)), **said.numbers)

    def check_size(self, size: Size) -> None:
        """Raises InvalidInput when its picture has not the proportions of the picture to be drawn."""
        height, width = size
        stretch = self.picture.width * height / (self.picture.height * width)
        if not 1 / (1 + _STRETCH) <= stretch <= 1 + _STRETCH:
            raise InvalidInput(
                f"{self.kind} {self.name}: a picture of {self.picture.width}x{self.picture.height} pixels "
                f"does not fit one of {width}x{height}"
            )
