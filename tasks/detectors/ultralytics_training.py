"""The family `ultralytics`: YOLO11, YOLO26, RT-DETR and architecture files, trained by the library's loop."""

import gc
import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

from tasks.contracts.errors import PipelineError
from tasks.detectors.protocol import Epoch, Measure, Trained, TrainingData
from tasks.detectors.recipe import Recipe
from tasks.detectors.ultralytics_models import Start, find_start
from tasks.detectors.ultralytics_processes import train_in_processes
from tasks.detectors.ultralytics_state import Progress, best_weights, read_progress
from tasks.detectors.ultralytics_trainer import DetrTraining, Job, YoloTraining

log = logging.getLogger(__name__)

OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "unable to find an engine",
)


class UltralyticsDetector:
    """`protocol.Detector` for this family."""

    code_licence = "AGPL-3.0"

    def train(
        self,
        *,
        data: TrainingData,
        recipe: Recipe,
        seed: int,
        measure: Measure,
        work: Path,
        on_epoch: Callable[[Epoch], None],
    ) -> Trained:
        """Train to the end, with smaller batches if memory runs out."""
        start = find_start(recipe)
        device = _device(recipe.device)
        progress = read_progress(work)
        if progress and progress.epochs:
            log.info("goes on after epoch %d of %d", progress.finished, recipe.epochs)
            on_epoch(progress.epochs[-1])
        batch = progress.batch if progress else recipe.batch
        resumed = progress.resumed + 1 if progress else 0
        effective_batch = recipe.batch * max(round(recipe.effective_batch / recipe.batch), 1)
        while not (progress and progress.done):
            job = Job(
                data=data,
                recipe=recipe,
                seed=seed,
                measure=measure,
                work=work,
                architecture=start.architecture,
                weights=start.weights,
                device=device,
                batch=batch,
                effective_batch=effective_batch,
                resumed=resumed,
            )
            reason = _out_of_memory(job, start, on_epoch)
            progress = read_progress(work)
            if reason:
                batch = _smaller_batch(job, reason, processes=device.count(",") + 1)
        return _trained(progress, start, recipe, device, work)


def _device(asked: str) -> str:
    """The device in the library's words; raises PipelineError if it is not there."""
    if asked == "auto":
        return "0" if torch.cuda.is_available() else "cpu"
    gpus = torch.cuda.device_count()
    missing = [index for index in asked.split(",") if index.isdigit() and int(index) >= gpus]
    if missing or (asked == "mps" and not torch.backends.mps.is_available()):
        raise PipelineError(
            f"device {asked!r} is not there",
            f"train.device; this machine has {gpus} CUDA GPUs",
            "Set train.device: auto",
        )
    return asked


def _out_of_memory(job: Job, start: Start, on_epoch: Callable[[Epoch], None]) -> str | None:
    """Train until the end; the reason if memory ran out before."""
    try:
        if "," in job.device:
            train_in_processes(job, start.is_detr, on_epoch)
        else:
            train_here(job, start.is_detr, on_epoch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return str(error).splitlines()[0][:200]
    return None


def train_here(job: Job, detr: bool, on_epoch: Callable[[Epoch], None]) -> None:
    """Train in this process, alone or as one of several."""
    (DetrTraining if detr else YoloTraining)(job, on_epoch).train()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or in main memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY)


def _smaller_batch(job: Job, reason: str, processes: int) -> int:
    """At most half the batch, of which the same effective batch is still a multiple."""
    smaller = job.batch // 2
    while smaller > 1 and (job.effective_batch % smaller or smaller % processes):
        smaller -= 1
    if smaller < processes:
        raise PipelineError(
            "memory is too small for a single image",
            f"train.batch came down to {job.batch}: {reason}",
            "Lower train.image_size, or take a smaller train.model",
        )
    log.warning(
        "out of memory with batches of %d (%s): goes on from the last epoch with batches of %d, %d of them per step",
        job.batch,
        reason,
        smaller,
        job.effective_batch // smaller,
    )
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return smaller


def _trained(progress: Progress, start: Start, recipe: Recipe, device: str, work: Path) -> Trained:
    return Trained(
        weights=best_weights(work, progress.best_epoch),
        architecture=start.name,
        weights_licence=recipe.weights_licence if start.weights else "none",
        epochs=progress.epochs,
        best_epoch=progress.best_epoch,
        parameters=progress.parameters,
        batch=progress.batch,
        device=device,
        seconds=progress.seconds,
        resumed=progress.resumed,
        versions={name: version(name) for name in ("torch", "ultralytics")},
    )
