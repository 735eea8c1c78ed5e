"""The training library, imported in one place: quiet, offline, and without a trace.

Modules of this folder take the library's names from here and never import it themselves, because what silences it
must stand before its first import, and so must what keeps checkpoints from running code. The library (AGPL-3.0)
otherwise looks up its home page, reports usage, installs packages, fetches fonts, writes settings into the user's
home and starts its own experiment tracking.
"""

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

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
_FOLDER = "sightline-yolo-"


def _isolate() -> None:
    """Keep the library away from the network and from the user's home, and what it reads from running anything."""
    # Checkpoints by torch's weights_only and a list of known layers, architectures without eval.
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "1"
    os.environ["YOLO_OFFLINE"] = "1"
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_VERBOSE"] = "false"
    # Within the folder of the process that started this one, if it has one: whatever ends this one, that goes away.
    outer = Path(os.environ.get("YOLO_CONFIG_DIR", ""))
    within = outer if outer.name.startswith(_FOLDER) and outer.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=within))
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
from ultralytics.utils import downloads as _downloads  # noqa: E402

ultralytics.settings.update(dict.fromkeys(_TALKATIVE, False))

_fetch_asset, _download = _downloads.attempt_download_asset, _downloads.safe_download


def _if_there(file: str | Path, *_: object, **__: object) -> str:
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file} is not there, and the library may fetch nothing")
    return str(file)


def _refuse(url: str, *_: object, **__: object) -> None:
    raise ConnectionError(f"the library may fetch nothing, and wanted {url}")


# It fetches weights that it does not find or cannot read, even over the user's own. Its other modules, imported below,
# take these names from there.
_downloads.attempt_download_asset, _downloads.safe_download = _if_there, _refuse


def fetch_weights(path: Path) -> None:
    """Fetch weights that the library has released under the name of `path`: the one thing that it may fetch."""

    def download(url: str, file: str | Path, **settings: Any) -> None:  # noqa: ARG001
        _download(url=url, file=path, **settings)  # it takes some characters out of paths

    _downloads.safe_download = download
    try:
        _fetch_asset(path)
    finally:
        _downloads.safe_download = _refuse


from ultralytics import RTDETR, YOLO  # noqa: E402
from ultralytics.data.build import build_dataloader  # noqa: E402
from ultralytics.data.dataset import YOLODataset  # noqa: E402
from ultralytics.engine import trainer as _trainer_module  # noqa: E402
from ultralytics.models.rtdetr.train import RTDETRTrainer  # noqa: E402
from ultralytics.models.rtdetr.val import RTDETRValidator  # noqa: E402
from ultralytics.models.yolo.detect import DetectionTrainer, DetectionValidator  # noqa: E402
from ultralytics.nn.tasks import SAFE_LOAD, _SafeLoad, load_checkpoint, yaml_model_load  # noqa: E402
from ultralytics.utils.checks import check_imgsz  # noqa: E402
from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES  # noqa: E402
from ultralytics.utils.nms import non_max_suppression  # noqa: E402
from ultralytics.utils.torch_utils import ModelEMA, unwrap_model  # noqa: E402

# Its flag is read at its first import, and with an old torch it would quietly go back to unpickling.
assert SAFE_LOAD, "the library was imported before this module"
assert _SafeLoad.SUPPORTED, "torch is too old to read checkpoints safely"

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
    "build_dataloader",
    "check_imgsz",
    "fetch_weights",
    "load_checkpoint",
    "non_max_suppression",
    "ultralytics",
    "unwrap_model",
    "yaml_model_load",
]
