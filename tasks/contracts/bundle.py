"""`models/exported/<target>/bundle.json`: everything that a server needs to know about an artefact."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from tasks.contracts.digests import content_sha256, record_sha256
from tasks.contracts.record import Record

DESCRIPTION = "bundle.json"
CHECKPOINT = "pytorch"  # the target that the others are compared with
CHAMPION = "champion"  # the target that stands for what is live already
# Targets whose artefact is a pickle, which can run code as it is read: never taken from a registry.
PICKLED = frozenset({"pytorch"})


class Preprocessing(Record):
    """How an RGB uint8 image becomes the network's input: resize, scale, NCHW float32.

    letterbox: keeps the aspect ratio, centred on a grey border. stretch: fills the input.
    """

    input_wh: tuple[int, int]
    resize: Literal["letterbox", "stretch"] = "letterbox"
    fill: int = 114  # grey of the letterbox border, 0 to 255
    scale: float = 1 / 255


class Output(Record):
    """How the network's output becomes boxes in the network's input, before they are mapped back to the image.

    yolo: (1, 4 + classes, anchors) with centre x, centre y, width, height in input pixels; needs NMS.
    end2end: (1, detections, 6) with x_min, y_min, x_max, y_max in input pixels, score, class; no NMS.
    detr: (1, detections, 6) with centre x, centre y, width, height relative to the input, score, class; no NMS.
    """

    layout: Literal["yolo", "end2end", "detr"]
    min_score: float = 0.001  # lower scores are not boxes at all
    nms_iou: float = 0.7  # yolo only
    nms_agnostic: bool = False  # yolo only; a box is suppressed by better ones of any class, not of its own only
    max_detections: int = 300  # per image, the best by score


class Calibration(Record):
    """The images that an INT8 artefact was calibrated on, all from train."""

    images: int
    sha256: str  # over the sorted sha256 of the images
    objects_per_class: dict[str, int]


class Parity(Record):
    """How far the artefact's boxes are from the checkpoint's on the golden images."""

    images: int
    boxes: int  # of the checkpoint, at the score that counts
    matched: int  # found again with IoU at least 0.5 and the same class
    extra: int | None = None  # of the artefact, at that score, where the checkpoint has none; null: not counted
    max_box_px: float | None  # over matched boxes, in pixels of the image
    max_score: float | None
    mean_box_px: float | None
    mean_score: float | None
    p90_box: float | None = None  # nine of ten matched boxes are less off, as a share of the root of their area
    p90_score: float | None = None
    bias_input_px: float | None = None  # largest median shift of a side, with its sign, in pixels of the input


class TrainedVal(Record):
    """What training measured of this checkpoint on val, with the NMS of this bundle."""

    figures: dict[str, float | None]  # map50, map50_95
    data_sha256: dict[str, str]  # of the tables it was measured on, by file name


class Bundle(Record):
    """An artefact and what it takes to run it. A bundle loads without the training library (but target pytorch)."""

    target: str
    artefact: str  # file in the bundle
    family: str
    architecture: str
    code_licence: str
    weights_licence: str
    classes: list[str]
    precision: Literal["fp32", "fp16", "int8"]
    preprocessing: Preprocessing
    output: Output
    hints: dict[str, str] = Field(default_factory=dict)  # runtime settings under which it was measured
    calibration: Calibration | None = None
    parity: Parity | None = None  # null for the checkpoint itself
    trained_val: TrainedVal | None = None  # null where NMS or head are others than in training
    versions: dict[str, str]  # of the exporter and the runtime
    files_sha256: dict[str, str]  # every file of the bundle but bundle.json
    size_bytes: int  # of those files together
    trained_sha256: str  # weights it was made of
    registry_version: str | None = None  # set on a champion that was pulled


def bundle_sha256(bundle: Bundle) -> str:
    """What a bundle is, as one digest: all of `bundle.json`, and by the sha256 in it every file.

    `bundle` as it was read. Left out is only where it was pulled from, which is no part of it.
    """
    return record_sha256(bundle, leave_out={"registry_version"})


def bundle_faults(folder: Path, bundle: Bundle) -> list[str]:
    """What keeps a folder from being what its `bundle.json` says: no file less, none more, each with its sha256."""
    faults = [f"{name!r} is no plain file name" for name in bundle.files_sha256 if not _is_plain(name)]
    if bundle.artefact not in bundle.files_sha256:
        faults.append(f"its artefact {bundle.artefact!r} is none of its files")
    if faults:
        return faults  # such names lead out of the folder
    found = {path.name: path for path in sorted(folder.iterdir())}
    for name, sha256 in sorted(bundle.files_sha256.items()):
        if name not in found:
            faults.append(f"{name} is missing")
        elif _is_file(found[name]) and content_sha256(found[name]) != sha256:
            faults.append(f"{name} is not the file that was exported (sha256 differs)")
    for name, path in found.items():
        if not _is_file(path):
            faults.append(f"{name} is {'a link' if path.is_symlink() else 'a folder'}, and bundles hold files alone")
        elif name not in {DESCRIPTION, *bundle.files_sha256}:
            faults.append(f"{name} does not belong to it")
    if not faults and (size := sum(found[name].stat().st_size for name in bundle.files_sha256)) != bundle.size_bytes:
        faults.append(f"its files have {size:,} bytes, and {DESCRIPTION} says {bundle.size_bytes:,}")
    return faults


def _is_plain(name: str) -> bool:
    return name not in {"", ".", "..", DESCRIPTION} and "/" not in name and "\\" not in name and "\0" not in name


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


class NoChampion(Record):
    """Stands in `models/exported/champion/absent.json` when the registry has no champion yet."""

    absent: Literal[True] = True
    reason: str
