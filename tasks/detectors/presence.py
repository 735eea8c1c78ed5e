"""Whether what a recipe asks for is on this machine: told without the training library, whose import takes seconds."""

import os
import re
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.detectors.recipe import Recipe
from tasks.detectors.trust import check_trust

LOOKED_FOR = ("model", "weights", "allow_download", "trust", "device", "batch")  # of a recipe, by `recipe_faults`
_ARCHITECTURES = Path(str(files("tasks.detectors"))) / "architectures"
_LARGE_FILE_POINTER = b"version https://git-lfs"
_LEAST_BYTES = 1000  # of weights; a pointer or a page of an error is smaller


def recipe_faults(recipe: Recipe) -> Iterator[str]:
    """Weights or architecture that are not there, and devices that this machine lacks."""
    yield from _weights_faults(recipe) if recipe.model.endswith(".pt") else _architecture_faults(recipe)
    yield from device_faults("train.device", recipe.device)
    gpus = recipe.device.count(",") + 1
    if recipe.batch % gpus:
        yield f"train.batch: {recipe.batch} cannot be shared among {gpus} GPUs; set a multiple of {gpus}"


def _weights_faults(recipe: Recipe) -> Iterator[str]:
    named = Path(recipe.model)
    held = Path(recipe.weights) / named
    found = next((path for path in (named, held) if path.is_file()), None)
    if found is not None:
        with found.open("rb") as file:
            if file.read(len(_LARGE_FILE_POINTER)) == _LARGE_FILE_POINTER:
                yield f"train.model: {found} is a pointer of Git LFS; run git lfs pull"
            elif found.stat().st_size < _LEAST_BYTES:
                yield f"train.model: {found} of {found.stat().st_size} bytes are no weights"
            else:
                yield from _trust_faults(found, recipe)
    elif named.name != recipe.model:
        yield f"train.model: {named} is not there"
    elif not recipe.allow_download:
        yield (
            f"train.model: weights {recipe.model!r} are neither here nor in {recipe.weights}; put them there, set "
            "train.allow_download: true, or train from scratch (train.model: yolo-micro.yaml)"
        )
    elif not _is_released(recipe.model):
        yield f"train.model: {recipe.model!r} is no name of weights that the library has released, as yolo26n.pt is"


def _trust_faults(weights: Path, recipe: Recipe) -> Iterator[str]:
    try:
        check_trust(weights, recipe)
    except PipelineError as error:
        yield from error.faults


def _is_released(name: str) -> bool:
    # Needs the library itself, and only where something is to be fetched.
    from tasks.detectors.ultralytics_library import GITHUB_ASSETS_NAMES  # noqa: PLC0415

    return name in GITHUB_ASSETS_NAMES


def _architecture_faults(recipe: Recipe) -> Iterator[str]:
    named = Path(recipe.model)
    if named.is_file() or (_ARCHITECTURES / recipe.model).is_file():
        return
    # yolo26n.yaml is yolo26.yaml of size n.
    plain = re.sub(r"(\d+)([nslmx])(.*)$", r"\1\3", named.stem)
    if {named.name, f"{plain}.yaml"} & _of_library():
        return
    ours = ", ".join(sorted(path.name for path in _ARCHITECTURES.glob("*.yaml")))
    yield f"train.model: architecture {recipe.model!r} is not there; give a file, one of ours ({ours}) or the library's"


def _of_library() -> set[str]:
    spec = find_spec("ultralytics")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return {path.name for folder in folders for path in Path(folder).glob("cfg/models/**/*.yaml")}


def device_faults(param: str, device: str) -> Iterator[str]:
    """GPUs, by number, that this machine lacks.

    In a container without any it is not known: pods without a GPU run beside those that have one.
    """
    wanted = [int(number) for number in device.split(",") if number.isdigit()]
    there = gpus_here()
    if not wanted or (not there and _is_container()):
        return
    missing = [number for number in wanted if number >= there]
    if missing:
        yield f"{param}: {device!r} is not there, this machine has {there} NVIDIA GPUs; set auto or cpu"


def gpus_here() -> int:
    """NVIDIA GPUs of this machine that CUDA may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([number for number in visible.split(",") if number.strip() not in {"", "-1"}])
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S607
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return len(re.findall(r"^GPU \d+:", listed.stdout, re.MULTILINE))


def _is_container() -> bool:
    marks = Path("/.dockerenv"), Path("/run/.containerenv")
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(mark.exists() for mark in marks)
