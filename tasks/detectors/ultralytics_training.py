"""Training by the library's own loop: on which devices, over memory that runs out, to what comes of it."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from tasks.contracts.errors import PipelineError
from tasks.detectors.protocol import Epoch, Measure, Trained, TrainingData
from tasks.detectors.ultralytics_job import Job
from tasks.detectors.ultralytics_memory import is_out_of_memory, smaller_batch
from tasks.detectors.ultralytics_models import Start, find_start
from tasks.detectors.ultralytics_processes import train_in_processes
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe
from tasks.detectors.ultralytics_state import Progress, best_weights, read_progress
from tasks.detectors.ultralytics_trainer import train_here

log = logging.getLogger(__name__)


def train(
    data: TrainingData,
    recipe: UltralyticsRecipe,
    *,
    seed: int,
    measure: Measure,
    work: Path,
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """`Detector.train`: to the end, with smaller batches if memory runs out."""
    start = find_start(recipe)
    device = _device(recipe.device)
    _check_shares(recipe, device)
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
            batch = smaller_batch(batch, effective_batch, reason, processes=_count(device))
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


def _count(device: str) -> int:
    return device.count(",") + 1


def _check_shares(recipe: UltralyticsRecipe, device: str) -> None:
    """Raises PipelineError if a batch cannot be shared out evenly among the GPUs."""
    gpus = _count(device)
    if recipe.batch % gpus:
        raise PipelineError(
            f"a batch of {recipe.batch} cannot be shared among {gpus} GPUs",
            f"train.batch, train.device: {device}",
            f"Set train.batch to a multiple of {gpus}",
        )


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


def _trained(progress: Progress, start: Start, recipe: UltralyticsRecipe, device: str, work: Path) -> Trained:
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
    )
