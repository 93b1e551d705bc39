"""Fusion rules: one rule, one file, one function, each naming its paper."""

from fedshow_server.fusion.rules.average import weight_average
from fedshow_server.fusion.rules.custom_diffusion import constrained_merge
from fedshow_server.fusion.rules.dare import dare_merge
from fedshow_server.fusion.rules.exact import exact_fusion
from fedshow_server.fusion.rules.gradient import gradient_fusion
from fedshow_server.fusion.rules.lbfgs import lbfgs_fusion
from fedshow_server.fusion.rules.subspace import subspace_routing
from fedshow_server.fusion.rules.sum import weight_sum
from fedshow_server.fusion.rules.ties import ties_merge
from fedshow_server.fusion.sums import Fusion

FUSIONS: dict[str, Fusion] = {
    "gradient": gradient_fusion,
    "lbfgs": lbfgs_fusion,
    "exact": exact_fusion,
    "average": weight_average,
    "sum": weight_sum,
    "ties": ties_merge,
    "dare": dare_merge,
    "subspace": subspace_routing,
    "custom-diffusion": constrained_merge,
}

NEEDS_INPUTS = {"gradient", "lbfgs", "exact", "subspace", "custom-diffusion"}
"""Rules that cannot work without recorded inputs."""

NEEDS_OWN_INPUTS = {"custom-diffusion"}
"""Rules that sums over concepts are not enough for: they look at what each concept reads."""

OWN_METHOD_ONLY = {"custom-diffusion"}
"""Rules for concepts that were tuned by the method of the same name."""
