"""The training library, imported in one place: quiet and offline.

Modules of this folder take the library's names from here and never import it themselves, because what silences it
must stand before its first import. The library (AGPL-3.0) otherwise looks up its home page, reports usage, installs
packages, fetches fonts, writes settings into the user's home and starts its own experiment tracking.
"""

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

import matplotlib
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


_isolate()
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
