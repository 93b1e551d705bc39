"""Fitting a run into the memory there is."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from fedshow.errors import FedshowError
from fedshow.families import Base
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.trainer import Trainer

SHARE = 0.8
"""Of the free memory that a step may plan with; fragments and workspaces take the rest."""

NO_MEMORY = "can't allocate memory"
"""What torch's allocator on the CPU says in a plain RuntimeError."""

log = logging.getLogger(__name__)


def free_bytes(device: torch.device) -> int:
    """Memory that a run on `device` could still get."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    import psutil

    return int(psutil.virtual_memory().available)


def recompute_if_needed(trainer: Trainer, free: int | None = None) -> bool:
    """Turns on gradient checkpointing of the denoiser when a step would not fit otherwise, and says so.

    Checkpointed layers are computed twice and give the very same numbers (arXiv 1604.06174).
    """
    free = free_bytes(trainer.base.device) if free is None else free
    needed = step_bytes(trainer)
    if needed <= SHARE * free:
        return False
    log.warning(
        "a step keeps %.1f GB for its gradients, %.1f GB are free: computing activations twice "
        "instead of keeping them (slower by about a third)",
        needed / 1e9,
        free / 1e9,
    )
    trainer.base.denoiser.enable_gradient_checkpointing()
    return True


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error is one of the ways in which libraries run out of memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or NO_MEMORY in str(error)


@contextmanager
def clear_about_memory(progress: Progress) -> Iterator[None]:
    """Turns every library's way of running out of memory into a FedshowError that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise FedshowError(
            f"out of memory at step {progress.step}: use a smaller --set batch or close other programs; "
            "run again and it goes on from the last checkpoint"
        ) from error


def step_bytes(trainer: Trainer) -> int:
    """What one step keeps between forward and backward pass, measured with a batch of one."""
    batch = trainer.schedule.at(0)
    one = batch._replace(rows=batch.rows[:1], variants=batch.variants[:1])
    generator = torch.Generator().manual_seed(0)
    with kept_bytes(trainer.base) as sizes, trainer.loss(one, generator):
        pass
    return sum(sizes.values()) * trainer.recipe.batch


@contextmanager
def kept_bytes(base: Base) -> Iterator[dict[int, int]]:
    """Address and size of all that autograd keeps within the block, weights and parameters excepted."""
    weights = {
        value.untyped_storage().data_ptr()
        for part in base.components.values()
        for value in part.parameters()
    }
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage, learnt = tensor.untyped_storage(), tensor.is_leaf and tensor.requires_grad
        if storage.data_ptr() not in weights and not learnt:
            sizes[storage.data_ptr()] = storage.nbytes()
        # An output kept as it is would keep its own node, and so itself, for ever.
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield sizes
