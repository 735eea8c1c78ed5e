"""One attempt at a training, and how its recipe reads in the training library's own settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.detectors.protocol import Measure, TrainingData
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe


@dataclass(frozen=True)
class Job:
    """One attempt at a training; pickled for the processes of several GPUs."""

    data: TrainingData
    recipe: UltralyticsRecipe
    seed: int
    measure: Measure
    work: Path
    architecture: dict[str, Any]  # in the library's grammar
    weights: Path | None  # to start from
    device: str  # in the library's words
    batch: int
    effective_batch: int  # a multiple of batch
    resumed: int  # times that the training went on after a stop

    def overrides(self) -> dict[str, Any]:
        """The recipe in the library's own settings, as its trainer takes them."""
        recipe = self.recipe
        same = ("epochs", "patience", "optimizer", "lr0", "lrf", "momentum", "weight_decay", "warmup_epochs", "workers")
        augmentation = ("mosaic", "close_mosaic", "mixup", "hsv_h", "hsv_s", "hsv_v", "degrees", "translate", "scale")
        return {name: getattr(recipe, name) for name in (*same, *augmentation)} | {
            "task": "detect",
            "mode": "train",
            "model": f"{self.architecture['yaml_file']}",
            "data": "tables",
            "save_dir": str(self.work / "library"),
            "imgsz": recipe.image_size,
            "batch": self.batch,
            "nbs": self.effective_batch,
            "seed": self.seed,
            "device": self.device,
            "cache": recipe.cache if recipe.cache != "none" else False,
            "amp": recipe.amp and self.device not in {"cpu", "mps"},
            "cos_lr": recipe.cosine,
            "warmup_bias_lr": 0.0,
            "freeze": recipe.freeze or None,
            "fliplr": recipe.flip_horizontal,
            "flipud": recipe.flip_vertical,
            "box": recipe.box_gain,
            "cls": recipe.cls_gain,
            "cls_pw": recipe.class_balance,
            "deterministic": True,
            "plots": False,
            "verbose": False,
        }
