"""All that a training is after an epoch, so that it can go on from there as if it had never stopped.

The library's own checkpoint keeps half-precision averages and no raw weights; this one keeps everything in full. What
is random in an epoch depends on the seed and the epoch's number alone, so no generator has to be kept.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict

from tasks.contracts.whole_output import whole_output
from tasks.detectors.protocol import Epoch
from tasks.detectors.ultralytics_library import ModelEMA, unwrap_model

STATE = "state.pt"
HISTORY = "history.csv"


class Progress(BaseModel):
    """Where a training stands; its weights lie beside it."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    epochs: list[Epoch] = []
    best_epoch: int = 0  # 0: none yet
    done: bool = False
    batch: int  # smaller than asked for after running out of memory
    last_step: int = -1  # batch of the optimizer's last step, counted over all epochs
    resumed: int = 0  # times that it went on after a stop
    seconds: float = 0.0
    parameters: int = 0

    @property
    def finished(self) -> int:
        """How many epochs have been trained to their end."""
        return len(self.epochs)


def best_weights(work: Path, epoch: int) -> Path:
    """Where the weights of a best epoch lie."""
    return work / f"best-{epoch}.pt"


def save_state(trainer: Any, progress: Progress, work: Path) -> None:
    """Write the state of the library's trainer whole or not at all, then the history that people may watch."""
    model = unwrap_model(trainer.model)
    state = {
        "progress": progress.model_dump_json(),
        "model": model.state_dict(),
        # Of batches that the next step of the optimizer is gathered from.
        "gradients": {name: it.grad for name, it in model.named_parameters() if it.grad is not None},
        "buffer": list(trainer.train_loader.dataset.buffer),
        "average": trainer.ema.ema.state_dict(),
        "average_updates": trainer.ema.updates,
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "stopper": dict(vars(trainer.stopper)),
        "best_fitness": trainer.best_fitness,
    }
    with whole_output(work / STATE) as partial, partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    for stale in set(work.glob("best-*.pt")) - {best_weights(work, progress.best_epoch)}:
        stale.unlink()
    with whole_output(work / HISTORY) as partial:
        pd.DataFrame([epoch.row() for epoch in progress.epochs]).to_csv(partial, index=False)


def read_progress(work: Path) -> Progress | None:
    """Where the training in a work folder stands; None if it has not begun."""
    path = work / STATE
    if not path.exists():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return Progress.model_validate_json(state["progress"])


def restore_state(trainer: Any, work: Path) -> Progress:
    """Put the library's trainer, set up for the same recipe, where the last finished epoch left it."""
    state = torch.load(work / STATE, map_location="cpu", weights_only=True)
    progress = Progress.model_validate_json(state["progress"])
    model = unwrap_model(trainer.model)
    model.load_state_dict(state["model"])
    # Validation may have turned tensors of the old average into ones that cannot be written to.
    trainer.ema = ModelEMA(trainer.model)
    trainer.ema.ema.load_state_dict(state["average"])
    trainer.ema.updates = state["average_updates"]
    trainer.optimizer.load_state_dict(state["optimizer"])
    # The library clears gradients before it begins; the epoch takes them up.
    trainer.gradients = state.get("gradients", {})
    trainer.train_loader.dataset.restore_buffer(state.get("buffer", []))
    if state["scaler"]:
        # A training that was begun on a CPU has none, and an enabled scaler refuses that.
        trainer.scaler.load_state_dict(state["scaler"])
    vars(trainer.stopper).update(state["stopper"])
    trainer.best_fitness = state["best_fitness"]
    trainer.scheduler.last_epoch = progress.finished - 1
    _restore_loss_schedule(model, progress.finished)
    return progress


def _restore_loss_schedule(model: Any, finished: int) -> None:
    """End-to-end models shift the loss from one head to the other by the number of epochs."""
    model.criterion = None
    if not finished:
        return
    criterion = model.init_criterion()
    if hasattr(criterion, "update"):
        criterion.updates = finished - 1
        criterion.update()
        model.criterion = criterion
