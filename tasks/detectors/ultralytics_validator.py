"""Validation within a training: the library predicts, our metrics judge."""

from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.distributed

from tasks.contracts.tables import BOX
from tasks.detectors.protocol import USE_CASE_METRIC, Figures, Measure, TrainingData
from tasks.detectors.ultralytics_library import DetectionValidator, RTDETRValidator
from tasks.detectors.ultralytics_nms import non_max_suppression

# The library gives up NMS after a while, and then the same weights have other boxes on a slower machine.
_NO_TIME_LIMIT_SECONDS = 1e6


class TableValidator(DetectionValidator):  # type: ignore[misc]
    """Gathers predictions in pixels of the images as a table."""

    def __init__(self, data: TrainingData, measure: Measure, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.table, self.measure = data, measure
        self.figures: Figures = {}
        self.gathered: list[pd.DataFrame] = []

    def init_metrics(self, model: Any) -> None:
        """Begin a validation without the boxes of the one before."""
        super().init_metrics(model)
        self.gathered = []

    def update_metrics(self, preds: list[dict[str, torch.Tensor]], batch: dict[str, Any]) -> None:
        """Add a batch's boxes, a table for each image; labels are still class numbers."""
        for index, prediction in enumerate(preds):
            prepared = self._prepare_batch(index, batch)
            scaled = self.scale_preds(prediction, prepared)
            boxes = scaled["bboxes"].double().cpu().numpy()
            frame = pd.DataFrame(boxes, columns=BOX)
            frame.insert(0, "image_id", prepared["im_file"])
            frame.insert(1, "label", scaled["cls"].long().cpu().numpy())
            frame.insert(2, "score", scaled["conf"].double().cpu().numpy())
            self.gathered.append(frame)

    def gather_stats(self) -> None:
        """Bring the tables of all GPUs together, where there are several."""
        if not torch.distributed.is_initialized():
            return
        tables: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(tables, self.gathered)
        self.gathered = [frame for table in tables for frame in table]

    def get_stats(self) -> dict[str, float]:
        """The figure that the library chooses its epoch by: the use case's metric, measured by us."""
        predictions = pd.concat(self.gathered, ignore_index=True)
        predictions["label"] = np.array(self.table.classes, dtype=object)[predictions["label"].to_numpy(dtype=int)]
        self.figures = self.measure(predictions)
        return {"fitness": self.figures[USE_CASE_METRIC] or 0.0}

    def finalize_metrics(self) -> None:
        """Draw nothing: the library would draw its own figures."""

    def print_results(self) -> None:
        """Print nothing: epochs are told of by the stage."""


class YoloValidator(TableValidator):
    """Validation of YOLO heads, with or without non-maximum suppression."""

    def postprocess(self, preds: Any) -> list[dict[str, torch.Tensor]]:
        """Boxes (n, 4) in pixels of the input, scores and class numbers of each image."""
        outputs = non_max_suppression(
            preds,
            self.args.conf,
            self.args.iou,
            multi_label=True,
            max_det=self.args.max_det,
            max_time_img=_NO_TIME_LIMIT_SECONDS,
            end2end=self.end2end,
        )
        return [{"bboxes": out[:, :4], "conf": out[:, 4], "cls": out[:, 5]} for out in outputs]


class DetrValidator(TableValidator, RTDETRValidator):  # type: ignore[misc]
    """Validation of RT-DETR, which needs no suppression: boxes as the library has them."""
