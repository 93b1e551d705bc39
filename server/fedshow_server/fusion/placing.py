"""Bringing a base to the card that it is recorded from, as a layout of its memory says."""

import torch

from fedshow.families import Base
from fedshow.families.memory import Plan
from fedshow.families.placing import card_at, place, too_little, weights_of
from fedshow.saying import Say
from fedshow_server.fusion import prompts
from fedshow_server.fusion.layout import Job, Layout, layout, leanest
from fedshow_server.fusion.wiring import Wiring

MOST_PICTURES = max(len(prompts.FIT), len(prompts.THINGS_FIT))


def job_of(base: Base) -> Job:
    """What recording and solving take."""
    wiring = Wiring.of(base.card, base.family)
    return Job(
        weights=weights_of(base),
        pixels=base.sample_pixels**2,
        pictures=MOST_PICTURES,
        widths=tuple(wiring.width(name) for name in wiring.readers),
        threads=torch.get_num_threads(),
        denoiser=base.family.denoiser,
    )


def settle(base: Base, device: str, say: Say = lambda _line: None) -> Layout | None:
    """Brings a base that lies in host memory to the device to be recorded from; `say` is told how.

    None on the processor. Raises InvalidInput when a card has too little memory for any layout,
    Exhausted when others have too much of it now.
    """
    card = card_at(device)
    if card is None:
        return None
    job = job_of(base)
    found = layout(card.free_bytes, job, card.half)
    if found is None:
        what = f"recording a picture of {job.pixels} pixels"
        raise too_little(card, what, leanest(card.half).needs(job), "even with sums in host memory")
    say(f"{card}: {found}")
    place(base.pipeline, base.parts, Plan(found.precision, found.placement), device)
    return found
