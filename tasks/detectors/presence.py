"""Whether what is asked for is on this machine: told without a training library, whose import takes seconds."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tasks.detectors.families import load_family
from tasks.detectors.recipe import Recipe
from tasks.runtimes.kinds import not_installed


def recipe_faults(recipe: Recipe) -> Iterator[str]:
    """What a training by this recipe would lack: libraries, what it starts from, devices."""
    detector = load_family(recipe.family)
    if lacking := not_installed(detector.libraries):
        yield f"train.family: {recipe.family} needs {', '.join(lacking)}, not installed here"
    yield from detector.faults(recipe)
    yield from device_faults("train.device", recipe.device)
    gpus = recipe.device.count(",") + 1
    if recipe.batch % gpus:
        yield f"train.batch: {recipe.batch} cannot be shared among {gpus} GPUs; set a multiple of {gpus}"


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
