"""The library's training loop, made exact and ours: best by the use case's metric, resumable to the bit on a CPU.

What differs from the library's own:
- each epoch's randomness is a function of the seed and the epoch's number;
- the whole state is written after each epoch (ultralytics_state);
- images are fitted into the square as bundles fit them, and our metrics judge the predictions on val;
- running out of memory and a loss that is not a number are handled at any epoch, from the last state.
"""

import logging
import random
import time
from collections.abc import Callable
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed

from tasks.contracts.errors import PipelineError
from tasks.contracts.whole_output import whole_output
from tasks.detectors.protocol import USE_CASE_METRIC, Epoch
from tasks.detectors.ultralytics_data import TableDataset
from tasks.detectors.ultralytics_job import Job
from tasks.detectors.ultralytics_library import (
    DetectionTrainer,
    RTDETRTrainer,
    load_checkpoint,
    ultralytics,
    unwrap_model,
)
from tasks.detectors.ultralytics_memory import is_out_of_memory
from tasks.detectors.ultralytics_state import STATE, Progress, best_weights, restore_state, save_state
from tasks.detectors.ultralytics_validator import DetrValidator, YoloValidator

log = logging.getLogger(__name__)

NAN_RETRIES = 3


class YoloTraining(DetectionTrainer):  # type: ignore[misc]
    """Training of YOLO heads. Its name must not hold "Trainer": the library adds its reporting to those."""

    accumulate: int  # batches per step, as the library's loop sees it

    def __init__(self, job: Job, on_epoch: Callable[[Epoch], None]) -> None:
        self.job, self.on_epoch = job, on_epoch
        self.progress = Progress(batch=job.batch)
        self.epoch_began = self.training_began = time.monotonic()
        self.attempt = 0  # of an epoch whose loss was not a number
        self.batch_index = 0
        self.gradients: dict[str, torch.Tensor] = {}  # restored: of batches before a stop that the next step gathers
        super().__init__(overrides=job.overrides())
        for event in ("on_train_start", "on_train_epoch_start", "on_train_batch_start"):
            self.add_callback(event, getattr(type(self), event))

    def get_dataset(self) -> dict[str, Any]:
        """Class names; the images come from the tables."""
        names = dict(enumerate(self.job.data.classes))
        return {"path": self.job.work, "train": "train", "val": "val", "nc": len(names), "names": names, "channels": 3}

    def setup_model(self) -> None:
        """The network: its first weights depend on the seed alone."""
        # The loader takes the rank off again, so that all processes shuffle alike and share out the images.
        torch.manual_seed(self.job.seed + self.rank + 1)
        weights = load_checkpoint(self.job.weights)[0] if self.job.weights else None
        try:
            self.model = self.get_model(cfg=deepcopy(self.job.architecture), weights=weights, verbose=False)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise PipelineError(
                "the library cannot build the architecture",
                f"{self.job.architecture['yaml_file']}: {type(error).__name__}: {error}",
                "Correct the layer that it names: layers are the classes of ultralytics.nn.modules",
            ) from error

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> TableDataset:  # noqa: ARG002
        """Train or val, fitted into a square as the head expects it."""
        data = self.job.data
        settings = copy(self.args)
        settings.deterministic = False  # only silences a warning: our cache does not change what is drawn
        settings.augmentations = []  # those of albumentations would draw from a generator of their own
        return TableDataset(
            data.train if mode == "train" else data.val,
            data.objects,
            data.classes,
            # The pretrained weights have learnt from stretched images, and bundles stretch.
            stretch=isinstance(self, RTDETRTrainer),
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=mode == "train",
            hyp=settings,
            rect=False,
            cache=self.args.cache or None,
            stride=int(self.stride),
            task="detect",
        )

    def get_validator(self) -> Any:
        """A validator that hands its predictions to our metrics."""
        self.loss_names = ()
        kind = DetrValidator if isinstance(self, RTDETRTrainer) else YoloValidator
        arguments = {"save_dir": self.save_dir, "args": copy(self.args), "_callbacks": self.callbacks}
        return kind(self.job.data, self.job.measure, self.test_loader, **arguments)

    def _build_train_pipeline(self) -> None:
        try:
            super()._build_train_pipeline()
        except ValueError as error:
            if "final batch" not in str(error):
                raise
            raise PipelineError(
                "a batch of a single image is too little at this size",
                f"the last of an epoch: train.batch {self.batch_size}, train.image_size {self.args.imgsz}",
                "Set train.image_size: 64 or more, or another train.batch",
            ) from error
        # The loop is told to step at every batch; `optimizer_step` decides.
        self.full_accumulation = self.accumulate
        self.accumulate = 1

    def resume_training(self, ckpt: object) -> None:  # noqa: ARG002
        """Go on from the work folder's state; without one write the first, to fall back to."""
        if (self.job.work / STATE).exists():
            self._restore()
            self.start_epoch = self.progress.finished
        elif self.rank <= 0:  # the only process, or the one that writes
            self.progress.parameters = sum(parameter.numel() for parameter in unwrap_model(self.model).parameters())
            save_state(self, self.progress, self.job.work)

    def _restore(self) -> None:
        progress = restore_state(self, self.job.work)
        changes = {"batch": self.job.batch, "resumed": self.job.resumed}
        if progress.batch != self.job.batch:
            # Batches are counted again, and what was gathered of larger ones would weigh too much.
            self.gradients = {}
            changes["last_step"] = progress.finished * len(self.train_loader) - 1
        self.progress = progress.model_copy(update=changes)

    @property
    def rank(self) -> int:
        """Number of this process among those of several GPUs; -1 where there is one."""
        return torch.distributed.get_rank() if torch.distributed.is_initialized() else -1

    def on_train_start(self) -> None:
        """Give torch as many threads as the recipe says; the library would take all cores but one."""
        torch.set_num_threads(self.job.recipe.cpu_threads)

    def on_train_epoch_start(self) -> None:
        """Make all that is random in this epoch depend on the seed, its number and the attempt."""
        seed_epoch(self.train_loader, self.job.seed, self.epoch, self.attempt, self.rank + 1)
        if self.train_loader.num_workers:
            self.train_loader.dataset.draw_buffer()
        for name, parameter in unwrap_model(self.model).named_parameters():
            if name in self.gradients:
                parameter.grad = self.gradients[name].to(self.device)
        self.gradients = {}
        self.batch_index = -1
        self.epoch_began = time.monotonic()
        # The loop's own answer to a full memory works in the first epoch only and keeps a half-done one: as if used up.
        self._oom_retries = NAN_RETRIES

    def on_train_batch_start(self) -> None:
        """Count batches over all epochs, by which optimizer_step knows when a step is due."""
        self.batch_index += 1

    def optimizer_step(self) -> None:
        """Step once enough batches have been gathered, be it over the end of an epoch, as the library does."""
        batches = len(self.train_loader)
        done = self.batch_index + batches * self.epoch
        if done - self.progress.last_step >= self._accumulation(done, batches):
            super().optimizer_step()
            self.progress.last_step = done

    def _accumulation(self, done: int, batches: int) -> int:
        """Batches per step: rises from 1 while the learning rate warms up, as in the library."""
        warmup = self._get_warmup_iterations(batches)
        if done >= warmup:
            return self.full_accumulation
        return max(1, round(float(np.interp(done, [0, warmup], [1, self.full_accumulation]))))

    def save_metrics(self, metrics: dict[str, float]) -> None:
        """Write no results.csv as the library does: the history is written with the state."""

    def save_model(self) -> bool:
        """Take up the finished epoch: weights if it is the best, then the state, then tell the listener."""
        epoch = self._finished_epoch()
        now = time.monotonic()
        progress = self.progress
        progress.epochs.append(epoch)
        progress.seconds += now - self.training_began
        self.training_began = now
        progress.done = bool(self.stop)
        if progress.best_epoch == 0 or _rank(epoch) >= _rank(progress.epochs[progress.best_epoch - 1]):
            progress.best_epoch = epoch.number
            self._save_weights(best_weights(self.job.work, epoch.number))
        save_state(self, progress, self.job.work)
        self.on_epoch(epoch)
        return True

    def _finished_epoch(self) -> Epoch:
        losses = {_loss_name(name): float(value) for name, value in self.tloss.items()}
        seconds = time.monotonic() - self.epoch_began
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        return Epoch(self.epoch + 1, losses, dict(self.validator.figures), rate, seconds)

    def _save_weights(self, path: Path) -> None:
        """The averaged network in full precision, in the library's format and without paths of this machine."""
        model = deepcopy(self.ema.ema)
        model.criterion = None
        model.args = settings = {"task": "detect", "imgsz": self.args.imgsz, "batch": self.batch_size}
        checkpoint = {"model": model, "train_args": settings, "version": ultralytics.__version__}
        with whole_output(path) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)

    def final_eval(self) -> None:
        """Validate no second time as the library does: the best epoch's figures are known."""

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """Whether the epoch is to be done again, with other draws, from the state before it."""
        broken = torch.tensor(not bool(torch.isfinite(self.loss)), device=self.device)
        if torch.distributed.is_initialized():
            broken = broken.int()
            torch.distributed.all_reduce(broken)
        if not broken:
            self.attempt = 0
            return False
        self.attempt += 1
        if self.attempt > NAN_RETRIES:
            raise PipelineError(
                "the loss is not a number",
                f"epoch {epoch + 1}, {self.attempt} times",
                "Lower train.lr0 or set train.amp: false",
            )
        log.warning("the loss of epoch %d is not a number: doing it again, attempt %d", epoch + 1, self.attempt + 1)
        self._restore()
        return True


def seed_epoch(loader: Any, *numbers: int) -> None:
    """Make the draws of the library's loader, and of what it calls, a function of these numbers."""
    words = np.random.SeedSequence(numbers).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])  # noqa: NPY002
    torch.manual_seed(int(words[2]))
    loader.reset()
    loader.generator.manual_seed(int(words[3]))


def _rank(epoch: Epoch) -> tuple[float, float]:
    """What the best epoch has most of: the use case's metric, then mAP, since a recall of one is soon reached."""
    return epoch.figures[USE_CASE_METRIC] or 0.0, epoch.figures.get("map50_95") or 0.0


def _loss_name(name: str) -> str:
    plain = name.removesuffix("_loss")
    return "box" if plain == "giou" else plain


class DetrTraining(YoloTraining, RTDETRTrainer):  # type: ignore[misc]
    """Training of RT-DETR, with the training and validation that it has in the library."""


def train_here(job: Job, detr: bool, on_epoch: Callable[[Epoch], None]) -> None:
    """Train in this process, alone or as one of several."""
    (DetrTraining if detr else YoloTraining)(job, on_epoch).train()
