"""A small data set of drawn shapes as the stages' tables, and a network that learns from it in no time."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import yaml

from tasks.clients.tracking import connected
from tasks.contracts.images import Image
from tasks.contracts.params import Tracking, UseCase
from tasks.contracts.record import write_record
from tasks.contracts.tables import BOX, IMAGES, OBJECTS, SPLIT, read_table, write_table
from tasks.contracts.tuned import Tuned
from tasks.detectors.protocol import Epoch, Measure, Trained, TrainingData, load_family
from tasks.detectors.recipe import Recipe
from tasks.detectors.training_data import measure_of, training_data

LABELS = ["disc", "square"]
USE_CASE = UseCase(target="onnx", metric="map50")
TINY = """
nc: 2
reg_max: 4
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2], 1, Detect, [nc]]
"""
TINY_DETR = """
nc: 2
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [-1, 1, AIFI, [32, 2]]
  - [[2, 4], 1, RTDETRDecoder, [nc, 16, 12, 2, 2, 1, 32]]
"""


def draw_data(folder: Path, images: int = 15, side: int = 64, seed: int = 1) -> Path:
    """Write raw/, annotations/, split.parquet and tuned/ as the stages before train would; three fifths are train."""
    rng = np.random.default_rng(seed)
    (folder / "raw").mkdir(parents=True)
    image_rows, object_rows, split_rows = [], [], []
    for number in range(images):
        image_id = f"image-{number:03}"
        pixels = rng.integers(0, 80, (side, side, 3)).astype(np.uint8)
        for index in range(int(rng.integers(1, 3))):
            label = LABELS[int(rng.integers(2))]
            box = _draw(pixels, label, rng)
            object_rows.append(_object(f"{image_id}/{index}", image_id, label, box))
        cv2.imwrite(str(folder / "raw" / f"{image_id}.png"), pixels)
        image_rows.append(_image(image_id, side))
        side_of_split = ["train", "val", "train", "test", "train"][number % 5]
        split_rows.append({"image_id": image_id, "split": side_of_split, "group": image_id})
    write_table(pd.DataFrame(image_rows), folder / "annotations" / "images.parquet", IMAGES)
    write_table(pd.DataFrame(object_rows), folder / "annotations" / "objects.parquet", OBJECTS)
    write_table(pd.DataFrame(split_rows), folder / "split.parquet", SPLIT)
    write_record(Tuned(metric="map50", trials=0, trial=None, value=None, params={}), folder / "tuned" / "best.json")
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "tiny-detr.yaml").write_text(TINY_DETR)
    return folder


def prepare(folder: Path) -> Path:
    """Drawn data and an empty tracking store, whose tables take seconds to make: copied by each test."""
    draw_data(folder)
    with connected(Tracking(uri=f"sqlite:///{folder}/mlflow.db", experiment="test")):
        return folder


def _draw(pixels: Image, label: str, rng: np.random.Generator) -> list[float]:
    side = pixels.shape[0]
    radius = int(rng.integers(6, 14))
    x, y = (int(value) for value in rng.integers(radius, side - radius, 2))
    if label == "disc":
        cv2.circle(pixels, (x, y), radius, (40, 200, 240), -1)
    else:
        cv2.rectangle(pixels, (x - radius, y - radius), (x + radius, y + radius), (240, 160, 60), -1)
    return [x - radius, y - radius, x + radius, y + radius]


def _image(image_id: str, side: int) -> dict[str, object]:
    place = {"name": f"{image_id}.png", "file": f"raw/{image_id}.png", "sha256": None, "source": "drawn"}
    origin = {"subset": None, "task_id": None, "frame": None, "group": image_id, "readable": True}
    return {"image_id": image_id, "width": side, "height": side, **place, **origin}


def _object(object_id: str, image_id: str, label: str, box: list[float]) -> dict[str, object]:
    corners = dict(zip(["x_min", "y_min", "x_max", "y_max"], map(float, box), strict=True))
    flags = {"rotation": 0.0, "occluded": False, "truncated": False, "z_order": 0}
    nothing = dict.fromkeys(["ignored", "track_id", "points"])
    named = {"object_id": object_id, "image_id": image_id, "label": label, "shape": "box"}
    return {**named, **corners, **flags, **nothing, "source": "manual", "attributes": "{}"}


def read_data(folder: Path) -> TrainingData:
    """What train makes of the tables."""
    images, objects = (folder / "annotations" / f"{name}.parquet" for name in ("images", "objects"))
    return training_data(
        read_table(images, IMAGES),
        read_table(objects, OBJECTS),
        read_table(folder / "split.parquet", SPLIT),
        folder / "raw",
        folder / "annotations",
    )


def tiny_recipe(folder: Path, **changes: object) -> Recipe:
    """A training of a second."""
    tiny = {
        "model": str(folder / "tiny.yaml"),
        "device": "cpu",
        "threads": 1,
        "image_size": 64,
        "epochs": 4,
        "batch": 4,
        "effective_batch": 4,
        "lr0": 0.005,
        "warmup_epochs": 1,
        "close_mosaic": 1,
    }
    return Recipe.model_validate({**tiny, **changes})


def write_for_library(data: TrainingData, folder: Path) -> Path:
    """The same images and boxes in the training library's own layout; returns its data.yaml."""
    for split, images in (("train", data.train), ("val", data.val)):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for image_id, path, width, height in images[["image_id", "path", "width", "height"]].itertuples(index=False):
            (folder / "images" / split / f"{image_id}{Path(path).suffix}").symlink_to(path)
            objects = data.objects[data.objects["image_id"] == image_id]
            boxes = objects[BOX].to_numpy() / [width, height, width, height]
            centre_and_size = np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
            numbers = map(data.classes.index, objects["label"])
            rows = [
                " ".join(map(str, [number, *row]))
                for number, row in zip(numbers, centre_and_size.tolist(), strict=True)
            ]
            (folder / "labels" / split / f"{image_id}.txt").write_text("\n".join(rows))
    places = {"path": str(folder), "train": "images/train", "val": "images/val"}
    (folder / "data.yaml").write_text(yaml.safe_dump(places | {"names": dict(enumerate(data.classes))}))
    return folder / "data.yaml"


def train_tiny(
    folder: Path,
    work: Path,
    recipe: Recipe,
    on_epoch: Callable[[Epoch], None] = lambda _epoch: None,
    measure: Measure | None = None,
) -> Trained:
    """Train by the family itself, without the stage's command line."""
    work.mkdir(exist_ok=True)
    data = read_data(folder)
    return load_family("ultralytics").train(
        data=data, recipe=recipe, seed=7, measure=measure or measure_of(USE_CASE, data), work=work, on_epoch=on_epoch
    )


def write_params(folder: Path, tune: dict[str, object] | None = None, **changes: object) -> Path:
    """params.yaml for the commands."""
    store = {"uri": f"sqlite:///{folder}/mlflow.db", "artifacts": str(folder / "artifacts")}
    sections = {
        "seed": 7,
        "use_case": {"target": "onnx", "metric": "map50"},
        "tracking": {**store, "experiment": "test"},
        "train": tiny_recipe(folder, **changes).model_dump(),
        "tune": tune or {},
    }
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(sections))
    return path


def command(stage: str, folder: Path, output: str) -> list[str]:
    """Words of `python -m tasks.<stage>` on the drawn data."""
    options = {
        "raw": folder / "raw",
        "annotations": folder / "annotations",
        "split": folder / "split.parquet",
        "params": folder / "params.yaml",
        "work": folder / "work",
        "tuned": folder / ("tuned" if stage == "train" else output),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return ["-m", f"tasks.{stage}", *words, *(["--trained", str(folder / output)] if stage == "train" else [])]
