"""Fusion rules: one rule, one file, one function, each naming its paper."""

from fedshow_server.fusion.rules.average import weight_average
from fedshow_server.fusion.rules.gradient import gradient_fusion
from fedshow_server.fusion.rules.sum import weight_sum
from fedshow_server.fusion.sums import Fusion

FUSIONS: dict[str, Fusion] = {
    "gradient": gradient_fusion,
    "average": weight_average,
    "sum": weight_sum,
}

NEEDS_INPUTS = {"gradient"}
"""Rules that cannot work without recorded inputs."""
