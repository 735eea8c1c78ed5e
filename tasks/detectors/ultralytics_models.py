"""What a recipe's `model` names: weights or an architecture, found or fetched before anything else is done."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.detectors.ultralytics_library import (
    GITHUB_ASSETS_NAMES,
    fetch_weights,
    load_checkpoint,
    yaml_model_load,
)
from tasks.detectors.ultralytics_presence import ARCHITECTURES
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe
from tasks.detectors.ultralytics_trust import check_trust, remember_fetched

_YOLO_LOSS = ("box_gain", "cls_gain", "class_balance")


@dataclass(frozen=True)
class Start:
    """What a training starts from."""

    name: str  # e.g. yolo26n, yolo-micro
    architecture: dict[str, Any]  # in the library's grammar
    weights: Path | None  # None: from scratch

    @property
    def sha256(self) -> str:
        """sha256 of the weights file, or of the architecture without one."""
        if self.weights:
            return content_sha256(self.weights)
        return hashlib.sha256(json.dumps(self.architecture, sort_keys=True).encode()).hexdigest()

    @property
    def is_detr(self) -> bool:
        """Whether the head is RT-DETR's."""
        return bool(self.architecture["head"][-1][2] == "RTDETRDecoder")


def find_start(recipe: UltralyticsRecipe) -> Start:
    """Weights or architecture of a recipe.

    Raises PipelineError if they are not there, cannot be fetched, detect no boxes, or do not take the recipe.
    """
    start = _start(recipe)
    _check_freeze(recipe, start)
    if start.is_detr:
        _check_loss(recipe)
    return start


def _start(recipe: UltralyticsRecipe) -> Start:
    if recipe.model.endswith(".pt"):
        # The library deletes an unreadable file that it is given by a bare name.
        weights = _find_weights(recipe).absolute()
        check_trust(weights, recipe)
        return Start(weights.stem, _architecture_of(weights), weights)
    architecture = _find_architecture(recipe.model)
    _check_head(architecture, recipe.model)
    return Start(Path(recipe.model).stem, architecture, None)


def _check_freeze(recipe: UltralyticsRecipe, start: Start) -> None:
    layers = len(start.architecture["backbone"]) + len(start.architecture["head"])
    if recipe.freeze >= layers:
        raise PipelineError(
            "nothing would be left to train",
            f"train.freeze is {recipe.freeze}, and {start.name} has {layers} layers, the last of which detects",
            f"Set train.freeze to {layers - 1} or less",
        )


def _check_loss(recipe: UltralyticsRecipe) -> None:
    """RT-DETR's loss is matched and weighted in itself: the library has no setting for it."""
    changed = [name for name in _YOLO_LOSS if getattr(recipe, name) != UltralyticsRecipe.model_fields[name].default]
    if changed:
        raise PipelineError(
            f"RT-DETR has no {' or '.join(changed)}",
            f"train.{', train.'.join(changed)}",
            "Leave it out of train and tune.space, or take a YOLO as train.model",
        )


def _find_weights(recipe: UltralyticsRecipe) -> Path:
    named = Path(recipe.model)
    stored = Path(recipe.weights) / named
    for path in (named, stored):
        if path.is_file():
            return path
    if named.name != recipe.model or recipe.model not in GITHUB_ASSETS_NAMES:
        raise PipelineError(
            f"weights {recipe.model!r} are not there",
            f"train.model, looked for as {named} and {stored}",
            "Give a file that exists, a name the library has released (yolo26n.pt), or an architecture (.yaml)",
        )
    if not recipe.allow_download:
        raise PipelineError(
            f"weights {recipe.model!r} are not there",
            f"train.model, looked for as {named} and {stored}",
            f"Set train.allow_download: true to fetch them, put the file into {recipe.weights}, or train from scratch "
            "(train.model: yolo-micro.yaml)",
        )
    return _fetch(stored)


def _fetch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetch_weights(path)
    except Exception as error:
        raise PipelineError(
            f"weights {path.name!r} could not be fetched", str(error), f"Try again, or put the file into {path.parent}"
        ) from error
    if not path.is_file():
        raise PipelineError(
            f"weights {path.name!r} could not be fetched", str(path), f"Put the file into {path.parent} by hand"
        )
    remember_fetched(path)
    return path


def _architecture_of(weights: Path) -> dict[str, Any]:
    try:
        model, _ = load_checkpoint(weights)
    except Exception as error:
        raise PipelineError(
            "weights cannot be read",
            f"{weights}: {error}",
            "Give weights that ultralytics has written, whole and with layers of its own: no code is run to read them",
        ) from error
    architecture = dict(model.yaml)
    _check_head(architecture, str(weights))
    architecture["yaml_file"] = Path(str(architecture.get("yaml_file", f"{weights.stem}.yaml"))).name
    return architecture


def _find_architecture(name: str) -> dict[str, Any]:
    for path in (Path(name), ARCHITECTURES / name):
        if path.is_file():
            try:
                architecture = yaml.safe_load(path.read_text(encoding="utf-8"))
            except yaml.YAMLError as error:
                raise PipelineError(
                    "architecture is not YAML", f"{path}: {error}", "Correct the line it names"
                ) from error
            if not isinstance(architecture, dict):
                architecture = {}
            return {**architecture, "scale": _scale(path.stem, architecture), "yaml_file": path.name}
    ours = ", ".join(sorted(path.name for path in ARCHITECTURES.glob("*.yaml")))
    try:
        architecture = yaml_model_load(name)
    except FileNotFoundError as error:
        raise PipelineError(
            f"architecture {name!r} is not there",
            "train.model",
            f"Give a file, one of ours ({ours}), or one of the library's (yolo11n.yaml, yolo26n.yaml, rtdetr-l.yaml)",
        ) from error
    return {**architecture, "yaml_file": Path(name).name}


def _scale(stem: str, architecture: dict[str, Any]) -> str:
    """The size letter in a name such as yolo26n; the library ignores one that the file does not define."""
    letter = re.search(r"\d([nslmx])$", stem)
    defined = architecture.get("scales") or {}
    return letter[1] if letter and letter[1] in defined else next(iter(defined), "")


def _check_head(architecture: dict[str, Any], where: str) -> None:
    if not (architecture.get("backbone") and architecture.get("head")):
        raise PipelineError(
            "architecture has no layers", where, "Give it a backbone and a head, as in tasks/detectors/architectures"
        )
    head = str(architecture["head"][-1][2])
    if head not in {"Detect", "v10Detect", "RTDETRDecoder"}:
        raise PipelineError(
            f"model ends in {head}, which detects no boxes",
            where,
            "Give a detection model: no -seg, -pose, -obb or -cls",
        )
