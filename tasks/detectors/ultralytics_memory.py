"""What is done where memory runs out: which errors mean that, and with how many images at once to go on."""

import gc
import logging

import torch

from tasks.contracts.errors import PipelineError

log = logging.getLogger(__name__)

OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "unable to find an engine",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or in main memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY)


def smaller_batch(batch: int, effective_batch: int, reason: str, processes: int) -> int:
    """At most half the batch, of which the same effective batch is still a multiple.

    Raises PipelineError if there is none with an image for each process.
    """
    smaller = batch // 2
    while smaller > 1 and (effective_batch % smaller or smaller % processes):
        smaller -= 1
    if smaller < processes:
        raise PipelineError(
            "memory is too small for a single image",
            f"train.batch came down to {batch}: {reason}",
            "Lower train.image_size, or take a smaller train.model",
        )
    log.warning(
        "out of memory with batches of %d (%s): goes on from the last epoch with batches of %d, %d of them per step",
        batch,
        reason,
        smaller,
        effective_batch // smaller,
    )
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return smaller
