"""TIES: trim, elect signs, merge (Yadav et al., NeurIPS 2023, arXiv 2306.01708), as in peft."""

from fedshow_server.fusion.sums import Layer, Solution

DENSITY = 0.2
"""Of each adapter's numbers the largest fifth stays: the paper's choice."""


def ties_merge(layer: Layer) -> Solution:
    """Of each number the mean over the adapters that agree with the majority about its sign.

    Weights count relative to their mean. All adapters of the layer are in memory at once.
    """
    from peft.utils.merge_utils import ties  # seconds to load, for this rule alone

    parts = list(layer.parts(moments=False))
    mean_weight = layer.reads.weight / layer.reads.concepts
    weights = layer.sums.mean_OI.new_tensor([part.weight / mean_weight for part in parts])
    merged = ties([part.delta_OI for part in parts], weights, DENSITY)
    return Solution(merged, {"density": DENSITY})
