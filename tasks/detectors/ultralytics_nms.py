"""The library's non-maximum suppression, as fast as it can be: it takes torchvision's kernel only if that is imported.

A module of its own, since torchvision's import costs a second and more, and only a training needs it.
"""

import sys

import cv2
import numpy as np
import torch

from tasks.detectors.ultralytics_library import non_max_suppression

__all__ = ["non_max_suppression"]

_MISSING_KERNEL = "operator torchvision::nms does not exist"


def _import_torchvision() -> None:
    """Import torchvision; where its build does not fit torch's, give it the one kernel that detection needs.

    The index holds torchvision for CUDA only. Beside a CPU build of torch its compiled operators cannot be loaded and
    its import fails. Any other fault is raised.
    """
    try:
        import torchvision  # noqa: PLC0415
    except RuntimeError as error:
        if _MISSING_KERNEL not in str(error):
            raise
    else:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.impl(f"torchvision::{operator}", "cpu", _nms)
    import torchvision.extension  # noqa: PLC0415

    torchvision.extension._has_ops = lambda: True


def _nms(boxes_xyxy: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Indices of the boxes (N, 4) that survive greedy non-maximum suppression, best score first; scores above 0."""
    if not len(boxes_xyxy):
        return torch.zeros(0, dtype=torch.int64)
    boxes_xywh = boxes_xyxy.double().numpy().copy()
    boxes_xywh[:, 2:] -= boxes_xywh[:, :2]
    kept = cv2.dnn.NMSBoxes(boxes_xywh.tolist(), scores.tolist(), 0.0, iou_threshold)
    return torch.from_numpy(np.asarray(kept, dtype=np.int64).reshape(-1))


_import_torchvision()
