"""Each Runtime, decoded image to boxes, against the training library's own predict on its own export of the checkpoint.

Needs the finished pipeline of this checkout, as `make demo` leaves it.
"""

import shutil
import tempfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pandas as pd
import torch

from tasks.dataset.decoding import Image, image_path, read_image
from tasks.detectors.ultralytics_library import YOLO
from tasks.runtimes.machine import processors
from tasks.runtimes.protocol import open_runtime
from tests.bench.ratios import Ratio, at_most, interleaved
from tests.fixtures.repository import REPOSITORY

LIBRARY_FORMATS = {"pytorch": None, "torchscript": "torchscript", "onnx": "onnx", "openvino-fp32": "openvino"}
SCORE = 0.25
REPEATS = 60


def measure() -> list[Ratio]:
    """Median milliseconds of one image, all cores on both sides."""
    torch.set_num_threads(processors())
    images = _images()
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        for target, library_format in LIBRARY_FORMATS.items():
            ours = _ours(target, images)
            library = _library(Path(name), library_format, images)
            ratios.append(_ratio(f"{target}, one image, over the library's predict", ours, library, 1.0))
        int8, checkpoint = _ours("openvino-int8", images), _ours("pytorch", images)
        ratios.append(_ratio("openvino-int8, one image, over the checkpoint", int8, checkpoint, 1.0))
    return ratios


def _ratio(claim: str, ours: Callable[[], object], other: Callable[[], object], goal: float) -> Ratio:
    for warm_up in (ours, other):
        warm_up()
        warm_up()
    ours_seconds, other_seconds = interleaved(REPEATS, ours, other)
    return at_most(claim, ours_seconds * 1000, other_seconds * 1000, goal, unit="ms")


def _images() -> list[Image]:
    split = pd.read_parquet(REPOSITORY / "data" / "split.parquet")
    tables = REPOSITORY / "data" / "annotations"
    images = pd.read_parquet(tables / "images.parquet").merge(split[["image_id", "split"]], on="image_id")
    files = images.loc[images["split"] == "test", "file"].head(20)
    return [read_image(image_path(file, REPOSITORY / "data" / "raw", tables)) for file in files]


def _ours(target: str, images: list[Image]) -> Callable[[], object]:
    runtime = open_runtime(REPOSITORY / "models" / "exported" / target, processors(), "cpu", target=target)
    turn = cycle(images)
    return lambda: runtime.predict(next(turn), SCORE)


def _library(folder: Path, library_format: str | None, images: list[Image]) -> Callable[[], object]:
    weights = folder / "weights.pt"
    shutil.copyfile(REPOSITORY / "models" / "trained" / "weights.pt", weights)
    model = YOLO(weights)
    size = int(model.ckpt["train_args"]["imgsz"])
    if library_format is not None:
        model = YOLO(model.export(format=library_format, imgsz=size, device="cpu"), task="detect")
    turn = cycle([image[..., ::-1].copy() for image in images])  # it takes BGR
    return lambda: model.predict(next(turn), conf=SCORE, imgsz=size, rect=False, verbose=False, device="cpu")
