"""Which family a base is of, told from its `model_index.json`, and whether all its parts are there.

Costs little: nothing here loads weights.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedshow.documents import read_json
from fedshow.errors import InvalidInput
from fedshow.families.family import Family
from fedshow.families.locating import INDEX
from fedshow.families.sd1 import SD1
from fedshow.families.sd3 import SD3
from fedshow.families.sdxl import SDXL
from fedshow.families.stored import weights_in

FAMILIES: dict[str, Family] = {family.name: family for family in (SD1(), SDXL(), SD3())}


def family_at(folder: Path) -> Family:
    """The family of the base in a folder; raises InvalidInput naming the file that is missing or wrong."""
    family = told_by(folder / INDEX)
    for part, class_name in family.parts.items():
        _check_part(folder / part, class_name)
    _check_fit(folder, family)
    _check_activation(folder / "text_encoder" / "config.json", family)
    return family


def family_of(pipeline: Any) -> Family:
    """The family of an opened pipeline."""
    return _drawn_by(type(pipeline).__name__, "pipeline")


def told_by(index: Path) -> Family:
    """The family that a `model_index.json` tells of; raises InvalidInput naming the file."""
    said = _read(index)
    family = _drawn_by(str(said.get("_class_name")), str(index))
    for part, wanted in family.parts.items():
        found = said.get(part)
        name = found[1] if isinstance(found, list) and len(found) == 2 else None
        if name is None:
            raise InvalidInput(f"{index}: {part} is missing; family {family.name!r} needs {wanted}")
        if str(name).removesuffix("Fast") != wanted:
            raise InvalidInput(f"{index}: {part} is {name}, family {family.name!r} needs {wanted}")
    if strange := sorted(_encoders(said) - set(family.parts) - set(family.left_out)):
        raise InvalidInput(f"{index}: family {family.name!r} has no {strange[0]}")
    return family


def _drawn_by(pipeline_class: str, where: str) -> Family:
    for family in FAMILIES.values():
        if pipeline_class == family.pipeline_class:
            return family
    known = ", ".join(f"{family.pipeline_class} ({name})" for name, family in FAMILIES.items())
    raise InvalidInput(f"{where}: {pipeline_class!s:.80} is no pipeline of a known family: {known}")


def _encoders(said: Mapping[str, Any]) -> set[str]:
    """Text encoders that are there, not only named."""
    return {
        name
        for name, value in said.items()
        if name.startswith("text_encoder") and isinstance(value, list) and value[-1] is not None
    }


def _check_part(folder: Path, class_name: str) -> None:
    """Raises InvalidInput naming the first file of a component that is not there, or not whole."""
    if class_name == "CLIPTokenizer":
        if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            raise InvalidInput(f"{folder / 'tokenizer.json'} is missing, and so is vocab.json")
        return
    _read(folder / "config.json")
    weights_in(folder)


def _check_fit(folder: Path, family: Family) -> None:
    """Raises InvalidInput when the denoiser is another family's, as where two bases were mixed."""
    path = folder / family.denoiser / "config.json"
    denoiser = _read(path)
    widths = [
        _read(folder / part / "config.json").get("hidden_size", 0)
        for part in family.parts
        if part.startswith("text_encoder")
    ]
    wanted = dict(family.denoiser_config) | {family.context_width: sum(widths)}
    for key, value in wanted.items():
        if denoiser.get(key) != value:
            raise InvalidInput(
                f"{path}: {key} is {denoiser.get(key)!r}, family {family.name!r} with these text encoders "
                f"needs {value!r}"
            )


def _check_activation(path: Path, family: Family) -> None:
    """Raises InvalidInput when the text encoder computes otherwise, as that of Stable Diffusion 2 does."""
    wanted = family.text_activation
    if (found := _read(path).get("hidden_act", wanted)) != wanted and wanted is not None:
        raise InvalidInput(
            f"{path}: hidden_act is {found!r}, family {family.name!r} needs {wanted!r}; Stable Diffusion 2, "
            "whose text encoder is OpenCLIP's, is no family of fedshow's"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidInput(f"{path} is no JSON: {error!s:.80}") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"{path}: {json.dumps(found):.80} is no JSON object")
    return found
