"""The training library, imported in one place: quiet, offline, and beside any build of torch.

Modules of this folder take the library's names from here and never import it themselves, because what silences it
must stand before its first import. The library (AGPL-3.0) otherwise looks up its home page, reports usage, installs
packages, fetches fonts, writes settings into the user's home and starts its own experiment tracking.
"""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from PIL import Image as PillowImage

_TALKATIVE = [
    "sync",
    "vscode_msg",
    "openvino_msg",
    "clearml",
    "comet",
    "dvc",
    "mlflow",
    "raytune",
    "tensorboard",
    "wandb",
]
_FONTS = ("Arial.ttf", "Arial.Unicode.ttf")
_MISSING_KERNEL = "operator torchvision::nms does not exist"


def _isolate() -> None:
    """Keep the library away from the network and from the user's home."""
    os.environ["YOLO_OFFLINE"] = "1"
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_VERBOSE"] = "false"
    folder = Path(tempfile.mkdtemp(prefix="sightline-yolo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["YOLO_CONFIG_DIR"] = str(folder)
    # It draws with Arial and fetches it when it is not there; a free font under that name is as good.
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    (folder / "Ultralytics").mkdir()
    for name in _FONTS:
        (folder / "Ultralytics" / name).symlink_to(font)


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


_isolate()
_import_torchvision()
_threads = os.environ.get("OMP_NUM_THREADS")
_open_image = PillowImage.open

import ultralytics  # noqa: E402

ultralytics.settings.update(dict.fromkeys(_TALKATIVE, False))

from ultralytics import RTDETR, YOLO  # noqa: E402
from ultralytics.data.build import build_dataloader  # noqa: E402
from ultralytics.data.dataset import YOLODataset  # noqa: E402
from ultralytics.engine import trainer as _trainer_module  # noqa: E402
from ultralytics.models.rtdetr.train import RTDETRTrainer  # noqa: E402
from ultralytics.models.rtdetr.val import RTDETRValidator  # noqa: E402
from ultralytics.models.yolo.detect import DetectionTrainer, DetectionValidator  # noqa: E402
from ultralytics.nn.tasks import load_checkpoint, yaml_model_load  # noqa: E402
from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset  # noqa: E402
from ultralytics.utils.nms import non_max_suppression  # noqa: E402
from ultralytics.utils.torch_utils import ModelEMA, unwrap_model  # noqa: E402

# Before mixed precision it fetches weights and an image to try it on.
_trainer_module.check_amp = lambda _model: True

# Its import makes Pillow ask for a HEIF reader wherever a file is no image, in everybody's code.
PillowImage.open = _open_image

# Its import limits OpenMP for every process started later.
if _threads is None:
    os.environ.pop("OMP_NUM_THREADS", None)

# It logs a screen per epoch to standard output; warnings go where ours go.
_logger = logging.getLogger("ultralytics")
_logger.handlers.clear()
_logger.setLevel(logging.WARNING)
_logger.propagate = True

__all__ = [
    "GITHUB_ASSETS_NAMES",
    "RTDETR",
    "YOLO",
    "DetectionTrainer",
    "DetectionValidator",
    "ModelEMA",
    "RTDETRTrainer",
    "RTDETRValidator",
    "YOLODataset",
    "attempt_download_asset",
    "build_dataloader",
    "load_checkpoint",
    "non_max_suppression",
    "ultralytics",
    "unwrap_model",
    "yaml_model_load",
]
