"""A report in a few numbers and sentences, without torch."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

CONFLICT = 0.1
"""From this part of a concept's signal on, the error that another one causes there is a conflict."""

Layers = Mapping[str, Mapping[str, Any]]


def summarise(report: Path) -> dict[str, object]:
    """The summary in a report.json; empty without recordings."""
    found: dict[str, object] = json.loads(report.read_text()).get("summary", {})
    return found


def summary_of(concepts: Sequence[str], layers: Layers) -> dict[str, object]:
    """Means over the layers that show: residual per concept, drift, crosstalk; which pairs conflict where.

    0 is perfect, 1 means as if the concept were absent. What a concept misses in a layer counts by how much
    it does there.
    """
    layers = {name: layer for name, layer in layers.items() if layer["shows"]} or layers
    if not layers:
        return {}
    found: dict[str, object] = {
        "residual_heldout": {
            name: round(fmean(layer["missed"][k] for layer in layers.values()), 4)
            for k, name in enumerate(concepts)
        },
        "drift": round(fmean(layer["drift"] for layer in layers.values()), 4),
    }
    if all("crosstalk" in layer for layer in layers.values()):
        found["crosstalk"] = mean_crosstalk(layers)
        found["conflicts"] = conflicts(concepts, layers)
    return found


def mean_crosstalk(layers: Layers) -> list[list[float]]:
    """Row i, column j: what concept j costs concept i, mean over layers."""
    tables = [layer["crosstalk"] for layer in layers.values()]
    size = range(len(tables[0]))
    return [[round(fmean(table[i][j] for table in tables), 4) for j in size] for i in size]


def conflicts(concepts: Sequence[str], layers: Layers) -> list[dict[str, object]]:
    """Pairs of concepts that spoil one another, the worst first, with the layers, the worst first."""
    found = []
    for i, j in combinations(range(len(concepts)), 2):
        costs = {
            name: max(layer["crosstalk"][i][j], layer["crosstalk"][j][i])
            for name, layer in layers.items()
        }
        strength = round(fmean(costs.values()), 4)
        if strength >= CONFLICT:
            where = sorted((n for n in costs if costs[n] >= CONFLICT), key=lambda n: -costs[n])
            pair = [concepts[i], concepts[j]]
            found.append({"concepts": pair, "strength": strength, "layers": where})
    return sorted(found, key=lambda conflict: -float(str(conflict["strength"])))


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """What a person wants to know of a fusion that was judged."""
    if not summary:
        return ["no layer is adapted: nothing to judge"]
    said = [
        f"<{name}>: misses {share:.0%} of what it does alone"
        for name, share in summary["residual_heldout"].items()
    ]
    for conflict in summary.get("conflicts", []):
        first, second = conflict["concepts"]
        where = ", ".join(map(short, conflict["layers"][:3]))
        more = len(conflict["layers"]) - 3
        said.append(
            f"<{first}> and <{second}> conflict ({conflict['strength']:.2f}): {where}"
            + (f" and {more} more layers" if more > 0 else "")
        )
    return [*said, f"the base moves {summary['drift']:.0%} as far as a concept moves it"]


def short(layer: str) -> str:
    """A layer's name as people read it: `down_blocks.0.attentions.1 attn2.to_k`."""
    name = layer.removeprefix("unet.").removeprefix("text_encoder.text_model.encoder.")
    name = name.replace("text_encoder_2.text_model.encoder.", "second ")
    return (
        name.replace(".transformer_blocks.0.", " ").replace(".self_attn.", " ").removesuffix(".0")
    )
