"""Weighted mean of the adapters: what Mix-of-Show (section 4, table 2) compares against."""

from fedshow_server.fusion.sums import Layer, Solution


def weight_average(layer: Layer) -> Solution:
    """delta = Σ w_i delta_i / Σ w_i."""
    return Solution(layer.sums.mean_OI / layer.reads.weight)
