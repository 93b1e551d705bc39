"""Plain sum of the adapters: what loading several LoRAs at once does."""

from fedshow_server.fusion.sums import Layer, Solution


def weight_sum(layer: Layer) -> Solution:
    """delta = Σ w_i delta_i."""
    return Solution(layer.sums.mean_OI)
