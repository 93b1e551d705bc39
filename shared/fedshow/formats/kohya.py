"""LoRA files of kohya's trainer, as A1111, Forge, SD.Next and ComfyUI read them.

A layer is its name with `_` for every `.` behind its component's prefix, with `lora_down`, `lora_up` and
`alpha`. Words lie beside the file, one each, or in it under `bundle_emb.` (A1111, Forge and SD.Next read
that; diffusers refuses such files). diffusers' own writer of this format will not do: it makes alpha the
rank, and spells text encoders so that ComfyUI passes over them.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fedshow.errors import InvalidInput
from fedshow.families.ldm import unet_names
from fedshow.formats.about import About
from fedshow.formats.beside import words_beside
from fedshow.formats.container import keys_of, read_tensors, write_tensors
from fedshow.formats.content import Content, LowRank
from fedshow.formats.format import Foreign, Format, Options
from fedshow.formats.source import Source
from fedshow.formats.spelling import Names, Spelling, own_names, write_layers
from fedshow.formats.words import (
    PLACES,
    Rows,
    as_words,
    file_name,
    read_embedding,
    single_vector,
    write_embeddings,
)

ALPHA = ".alpha"
BUNDLED = "bundle_emb."
VECTORS = "string_to_param.*"
"""Inside a bundle, an embedding is what A1111's `.pt` files are; its only parameter is called `*`."""

PREFIXES: dict[str, dict[str, str]] = {
    "sd1": {"unet": "lora_unet_", "text_encoder": "lora_te_"},
    "sdxl": {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"},
}
OTHER_PREFIXES = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
UNET_NAMES: dict[str, Names] = {"sd1": own_names, "sdxl": unet_names}
"""kohya trains SD 1.x by diffusers' U-Net, SDXL by the authors' own."""

BASES = {"sd1": "sd_v1", "sdxl": "sdxl_base_v1-0"}
"""What kohya calls the families."""


def spelling(family: str) -> Spelling:
    """Names of a family's layers. Read are also diffusers' names of any U-Net, as ComfyUI takes them."""
    if family not in PREFIXES:
        raise InvalidInput(f"family {family!r}: kohya files are known of {', '.join(PREFIXES)}")
    return Spelling(
        names=_names(PREFIXES[family], UNET_NAMES[family]),
        down=".lora_down.weight",
        up=".lora_up.weight",
        alpha=ALPHA,
        other_names=(
            _names(PREFIXES[family], own_names),
            _names(OTHER_PREFIXES, own_names),
            _names(PREFIXES[family], own_names, flat=True),
            _names(OTHER_PREFIXES, own_names, flat=True),
        ),
    )


def _names(prefixes: Mapping[str, str], unet: Names, flat: bool = False) -> Names:
    """`flat` is how newer transformers call text encoders' layers, without `text_model`."""

    def names(layers: Collection[str]) -> dict[str, str]:
        modules = [layer.removeprefix("unet.") for layer in layers if layer.startswith("unet.")]
        denoiser = unet(modules)
        found = {}
        for layer in layers:
            component, _, module = layer.partition(".")
            module = denoiser.get(module, module) if component == "unet" else module
            module = module.removeprefix("text_model.") if flat else module
            found[layer] = prefixes.get(component, "") + module.replace(".", "_")
        return found

    return names


def write(source: Source, out: Path, about: About, options: Options) -> None:
    """The LoRA at `out`; words beside it in a folder, or bundled."""
    content = source.content
    tensors = _halves(content.layers, about.family)
    if options.bundle:
        tensors |= _bundled(content)
    else:
        write_embeddings(words_beside(out), content, about)
    write_tensors(out, tensors, _metadata(content, about) | about.metadata())


def _halves(layers: Mapping[str, LowRank], family: str) -> dict[str, Tensor]:
    """Halves and alphas; no alpha means the rank to all programs, and diffusers errs where alphas differ."""
    tensors = write_layers(layers, spelling(family))
    if len({pair.alpha for pair in layers.values()}) == 1:
        return tensors
    assert all(pair.scale == 1 for pair in layers.values()), "concepts have one alpha"
    return {key: tensor for key, tensor in tensors.items() if not key.endswith(ALPHA)}


def _bundled(content: Content) -> dict[str, Tensor]:
    found = {}
    for word in content.about.words:
        rows, name = content.rows_of(word), f"{BUNDLED}{Path(file_name(word)).stem}"
        if set(rows) == {"tokens"}:
            found[f"{name}.{VECTORS}"] = single_vector(rows["tokens"])
        else:
            for theirs, ours in PLACES.items():
                found[f"{name}.{theirs}"] = single_vector(rows[ours])
    return found


def _metadata(content: Content, about: About) -> dict[str, str]:
    """What kohya's files say of themselves, as far as it says nothing of anybody."""
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": _common(content.layers, "rank"),
        "ss_network_alpha": _common(content.layers, "alpha"),
        "ss_base_model_version": BASES[about.family],
        "ss_v2": "False",
        "ss_output_name": about.title,
        "ss_training_comment": about.note,
    }


def _common(layers: Mapping[str, LowRank], what: str) -> str:
    """One number, or kohya's word for several."""
    found: set[Any] = {getattr(pair, what) for pair in layers.values()}
    return str(found.pop()) if len(found) == 1 else "Dynamic"


def recognises(path: Path) -> bool:
    """Whether a file's keys are kohya's."""
    return any(key.startswith(("lora_unet_", "lora_te")) for key in keys_of(path))


def read(path: Path) -> Foreign:
    """Adapters, and words if they are bundled; those beside the file that fedshow put there."""
    tensors, metadata = read_tensors(path)
    layers = {key: tensor for key, tensor in tensors.items() if not key.startswith(BUNDLED)}
    about = About.found_in(metadata)
    words = _words(tensors) or _beside(path, about)
    return Foreign(layers, spelling, tuple(words), about)


def _beside(path: Path, about: About | None) -> list[Rows]:
    """What `write` put there."""
    files = [words_beside(path) / file_name(word) for word in (about.words if about else ())]
    return [word for file in files if file.is_file() for word in read_embedding(file)]


def _words(tensors: Mapping[str, Tensor]) -> list[Rows]:
    bundles: dict[str, dict[str, Tensor]] = {}
    for key in sorted(tensors):
        if key.startswith(BUNDLED):
            name, _, inner = key.removeprefix(BUNDLED).partition(".")
            place = PLACES.get(inner, "tokens" if inner.startswith("string_to_param.") else "")
            if not place:
                raise InvalidInput(f"{key}: a bundled embedding is {VECTORS}, clip_l or clip_g")
            bundles.setdefault(name, {})[place] = tensors[key]
    return [word for name, rows in bundles.items() for word in as_words(rows, BUNDLED + name)]


KOHYA = Format(
    "kohya",
    ".safetensors",
    False,
    write,
    recognises,
    read,
    needs_adapters=True,
    options=frozenset({"bundle"}),
)
