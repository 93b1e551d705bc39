"""Views of the private pictures that tuning never had."""

import torch

from fedshow_client.tuning.leakage.views import CORNERS, displaced


def test_a_displaced_picture_has_moved_by_a_quarter_towards_its_corner() -> None:
    dot = torch.zeros(1, 1, 8, 12)
    dot[0, 0, 4, 6] = 1
    for down, across in CORNERS:
        moved = displaced(dot, (down, across))
        assert moved.shape == dot.shape
        assert moved[0, 0, 4 + 2 * down, 6 + 3 * across] == 1


def test_what_enters_is_mirrored_not_empty() -> None:
    flat = torch.full((2, 3, 8, 8), 5.0)
    assert all(torch.equal(displaced(flat, corner), flat) for corner in CORNERS)
