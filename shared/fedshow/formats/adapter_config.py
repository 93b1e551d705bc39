"""PEFT's description of adapters, which diffusers keeps in its LoRA files' headers, too.

Without it, diffusers takes alpha to be the rank.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fedshow.errors import InvalidInput
from fedshow.formats.content import LowRank
from fedshow.formats.spelling import AlphaOf

OTHER_KINDS = ("use_dora", "use_rslora", "lora_bias")
"""Settings that make something else than `alpha / rank * up @ down` of the halves."""


def adapter_config(modules: Mapping[str, LowRank]) -> dict[str, Any]:
    """The settings of one component's adapters, by module name.

    Names leave out CLIP's `text_model.`, which comes and goes with library versions: PEFT compares ends.
    """
    named = {module.removeprefix("text_model."): pair for module, pair in modules.items()}
    rank = _usual([pair.rank for pair in named.values()])
    alpha = _usual([pair.alpha for pair in named.values()])
    return {
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted(named),
        "rank_pattern": {n: pair.rank for n, pair in named.items() if pair.rank != rank},
        "alpha_pattern": {n: pair.alpha for n, pair in named.items() if pair.alpha != alpha},
        "bias": "none",
    }


def alpha_in(configs: Mapping[str, Mapping[str, Any]], where: str) -> AlphaOf:
    """Alphas by `<component>.<module>` as the configs of components have them; else the rank.

    Raises InvalidInput for settings that are no plain LoRA's.
    """
    for component, config in configs.items():
        if kind := next((kind for kind in OTHER_KINDS if config.get(kind)), None):
            raise InvalidInput(f"{where}: {component} says {kind}; only plain LoRA is read")

    def alpha_of(name: str, rank: int) -> float:
        component, _, module = name.partition(".")
        config = configs.get(component, {})
        patterns = config.get("alpha_pattern") or {}
        for end, alpha in patterns.items():
            if module == end or module.endswith(f".{end}"):
                return float(alpha)
        return float(config.get("lora_alpha", rank))

    return alpha_of


def _usual(values: list[Any]) -> Any:
    """The most frequent one."""
    return Counter(values).most_common(1)[0][0]
