"""Whether weights or architecture of a recipe are there: told without the library, whose import takes seconds."""

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe
from tasks.detectors.ultralytics_trust import check_trust

ARCHITECTURES = Path(str(files("tasks.detectors"))) / "architectures"
_LARGE_FILE_POINTER = b"version https://git-lfs"
_LEAST_BYTES = 1000  # of weights; a pointer or a page of an error is smaller


def recipe_faults(recipe: UltralyticsRecipe) -> Iterator[str]:
    """Weights or architecture that are not there, cannot be any, or are not trusted."""
    return _weights_faults(recipe) if recipe.model.endswith(".pt") else _architecture_faults(recipe)


def _weights_faults(recipe: UltralyticsRecipe) -> Iterator[str]:
    named = Path(recipe.model)
    found = next((path for path in (named, Path(recipe.weights) / named) if path.is_file()), None)
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


def _trust_faults(weights: Path, recipe: UltralyticsRecipe) -> Iterator[str]:
    try:
        check_trust(weights, recipe)
    except PipelineError as error:
        yield from error.faults


def _is_released(name: str) -> bool:
    # Needs the library itself, and only where something is to be fetched.
    from tasks.detectors.ultralytics_library import GITHUB_ASSETS_NAMES  # noqa: PLC0415

    return name in GITHUB_ASSETS_NAMES


def _architecture_faults(recipe: UltralyticsRecipe) -> Iterator[str]:
    named = Path(recipe.model)
    if named.is_file() or (ARCHITECTURES / recipe.model).is_file():
        return
    # yolo26n.yaml is yolo26.yaml of size n.
    plain = re.sub(r"(\d+)([nslmx])(.*)$", r"\1\3", named.stem)
    if {named.name, f"{plain}.yaml"} & _of_library():
        return
    ours = ", ".join(sorted(path.name for path in ARCHITECTURES.glob("*.yaml")))
    yield f"train.model: architecture {recipe.model!r} is not there; give a file, one of ours ({ours}) or the library's"


def _of_library() -> set[str]:
    spec = find_spec("ultralytics")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return {path.name for folder in folders for path in Path(folder).glob("cfg/models/**/*.yaml")}
