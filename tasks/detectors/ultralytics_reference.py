"""What the training library itself makes of an image, from the file to boxes: none of our processing is in it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from tasks.contracts.bundle import Output
from tasks.dataset.decoding import Image
from tasks.detectors.ultralytics_library import YOLO, YOLODataset, check_imgsz
from tasks.runtimes.processing import Detections, Floats
from tasks.runtimes.protocol import LibraryRun


class _Reader(YOLODataset):  # type: ignore[misc]
    """The library's own reading and resizing of one file, as its validation has it, without a data set around."""

    def __init__(self, file: Path, side: int) -> None:
        self.im_files, self.npy_files = [str(file)], [file.with_suffix(".npy")]
        self.ims, self.im_hw0, self.im_hw = [None], [None], [None]
        self.imgsz, self.channels, self.cv2_flag = side, 3, cv2.IMREAD_COLOR
        self.augment, self.cache = False, None


def seen_by_library(weights: Path, image_size: int, output: Output, images: Sequence[Image]) -> list[LibraryRun]:
    """Input and boxes of the library's predict for each RGB image, under the bundle's settings of NMS, on the CPU.

    image_size: as trained, see contracts.card; how an image is fitted into it the library knows by the network.
    Images are resized as in its validation, which rounds up where predict rounds to the nearest; the rest is predict's.
    """
    threads, model = torch.get_num_threads(), YOLO(weights)
    predictor = model._smart_load("predictor")
    settings: dict[str, Any] = {
        "imgsz": check_imgsz(image_size, int(max(model.model.stride))),
        "rect": False,
        "conf": output.min_score,
        "iou": output.nms_iou,
        "agnostic_nms": output.nms_agnostic,
        "max_det": output.max_detections,
        "nms": False if output.layout == "end2end" else None,
        "device": "cpu",
        "save": False,
        "verbose": False,
    }
    inputs: list[Floats] = []

    class Recording(predictor):  # type: ignore[misc, valid-type]
        def setup_model(self, *arguments: Any, **named: Any) -> None:
            super().setup_model(*arguments, **named)
            self.done_warmup = True  # it only imports torchvision, for seconds

        def inference(self, im: torch.Tensor, *arguments: Any, **named: Any) -> Any:
            inputs.append(im.cpu().numpy().copy())
            return super().inference(im, *arguments, **named)

    found = []
    with tempfile.TemporaryDirectory(prefix="sightline-reference-") as scratch:
        for number, image in enumerate(images):
            file = Path(scratch) / f"{number}.bmp"
            cv2.imwrite(str(file), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            resized, _, (height, width) = _Reader(file, settings["imgsz"]).load_image(0, not predictor.scale_fill)
            (result,) = model.predict(resized, predictor=Recording, **settings)
            found.append(_onto_image(result.boxes, (width, height), (image.shape[1], image.shape[0])))
    torch.set_num_threads(threads)
    return [LibraryRun(pixels, boxes) for pixels, boxes in zip(inputs, found, strict=True)]


def _onto_image(boxes: Any, resized_wh: tuple[int, int], image_wh: tuple[int, int]) -> Detections:
    scores = boxes.conf.cpu().numpy().astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    boxes_xyxy = boxes.xyxy.cpu().numpy().astype(np.float64) * np.tile(np.divide(image_wh, resized_wh), 2)
    # Those of RT-DETR reach over the border, and some heads give boxes without area.
    boxes_xyxy = np.clip(boxes_xyxy, 0.0, np.tile(image_wh, 2))
    order = order[(boxes_xyxy[order, 2:] > boxes_xyxy[order, :2]).all(axis=1)]
    return Detections(boxes_xyxy[order], scores[order], boxes.cls.cpu().numpy().astype(np.int64)[order])
