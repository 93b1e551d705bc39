"""Memory of the last step serves the next one."""

import resource

import torch

from fedshow_client.tuning.allocator import keep_freed_memory

PIECES, FLOATS = 100, 1 << 18


def new_pages() -> int:
    """How many pages the system hands out for steps that need 100 MB each, after the first one."""
    for step in range(4):
        if step == 1:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        pieces = [torch.ones(FLOATS) for _ in range(PIECES)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_freed_memory_is_used_again() -> None:
    """Without it every page comes anew at every step; a few do anyhow, for the heap was in pieces."""
    keep_freed_memory()
    all_pages = 3 * PIECES * FLOATS * 4 // resource.getpagesize()
    assert new_pages() < all_pages / 10
