"""What recording and solving must compute and move, in closed form, of a wiring.

Shapes: T inputs, I their width, O what a layer gives, N rank of all adapters of a set. Sums are float64,
records float32, of symmetric matrices both keep one triangle.
"""

from collections.abc import Iterable

from fedshow_server.fusion.ledger.factors import are_smaller
from fedshow_server.fusion.rules.gradient import GUARDS
from fedshow_server.fusion.wiring import Wiring

DECOMPOSITION = 9
"""Times I³: a symmetric matrix with its vectors (Golub and Van Loan, Matrix Computations, section 8.3)."""


def gram_flops(tokens: int, width: int) -> float:
    """Of Σ x xᵀ over T inputs: 2 T I²."""
    return 2.0 * tokens * width**2


def gram_bytes(tokens: int, width: int, item: int) -> float:
    """Inputs of `item` bytes a number are read, and the sum of all batches is read and written."""
    return float(tokens * width * item + 2 * width**2 * 8)


def record_bytes(wiring: Wiring) -> float:
    """Of a concept's moments, for the fit and held out."""
    return sum(2 * 4 * width * (width + 1) / 2 for width in _widths(wiring, wiring.readers))


def sums_bytes(wiring: Wiring, rank: int) -> float:
    """Of the sums of a set: four moments of each input, and of each layer and side three matrices and a
    number, 3 O I + 1, or their factors, N (O + 3 I + 1), whichever is less.
    """
    squares = sum(4 * 8 * width * (width + 1) / 2 for width in _widths(wiring, wiring.readers))
    shapes = (wiring.shape(layer) for layer in wiring.sides)
    return squares + sum(
        8.0 * min(3 * wide * out + 1, rank * (out + 3 * wide + 1)) for wide, out in shapes
    )


def decomposition_flops(wiring: Wiring) -> float:
    """Of all decompositions that the gradient rule asks for: one for each guard of each input that is solved.

    Query layers are solved from their keys' side, so that what they read is not decomposed.
    """
    each = (DECOMPOSITION * float(width) ** 3 for width in _widths(wiring, _solved(wiring)))
    return len(GUARDS) * sum(each)


def product_flops(wiring: Wiring, rank: int) -> float:
    """Of the gradient rule's products: a layer's sums into each guard's basis and the errors of all ridges
    there, 4 I³ + 12 O I² a guard, then the best one's update, 6 O I²; where sums are factors, 6 N O I before.
    """
    shapes = [wiring.shape(layer) for layer in wiring.sides]
    found = sum(6.0 * rank * w * o for w, o in shapes if are_smaller(rank, w, o))
    for name in _solved(wiring):
        for layer in wiring.readers[name]:
            wide, out = map(float, wiring.shape(layer))
            found += len(GUARDS) * (4 * wide**3 + 12 * out * wide**2) + 6 * out * wide**2
    return found


def solve_bytes(wiring: Wiring, rank: int) -> float:
    """Sums are read once, and every update is written once, as one matrix."""
    solved = (layer for name in _solved(wiring) for layer in wiring.readers[name])
    updates = sum(8.0 * wide * out for wide, out in map(wiring.shape, solved))
    return sums_bytes(wiring, rank) + updates


def _solved(wiring: Wiring) -> list[str]:
    """Inputs whose moments are decomposed."""
    return [
        name
        for name, readers in wiring.readers.items()
        if not all(layer in wiring.queries for layer in readers)
    ]


def _widths(wiring: Wiring, names: Iterable[str]) -> list[int]:
    return [wiring.width(name) for name in names]
