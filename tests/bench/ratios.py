"""Ratios measured in one run: medians of interleaved repetitions, so that a busy minute hits both sides alike."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from tests.fixtures.repository import REPOSITORY

# With the environment's commands, as `make` has it, and with bytecode, as Python has it.
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


class Ratio(BaseModel):
    """One claim: what was measured over what, in which unit, and the goal it has to meet."""

    claim: str
    ours: float
    other: float
    unit: str
    ratio: float
    goal: str
    met: bool


def at_most(claim: str, ours: float, other: float, goal: float, unit: str = "s") -> Ratio:
    """Ours over the other must not exceed the goal."""
    ratio = ours / other
    return Ratio(claim=claim, ours=ours, other=other, unit=unit, ratio=ratio, goal=f"<= {goal:g}", met=ratio <= goal)


def at_least(claim: str, ours: float, other: float, goal: float, unit: str) -> Ratio:
    """Ours over the other must reach the goal."""
    ratio = ours / other
    return Ratio(claim=claim, ours=ours, other=other, unit=unit, ratio=ratio, goal=f">= {goal:g}", met=ratio >= goal)


def interleaved(repeats: int, *actions: Callable[[], object]) -> list[float]:
    """Median wall seconds of each action, the actions taking turns."""
    seconds: list[list[float]] = [[] for _ in actions]
    for _ in range(repeats):
        for action, times in zip(actions, seconds, strict=True):
            started = time.perf_counter()
            action()
            times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in seconds]


def child_cost(*words: str) -> tuple[float, float]:
    """CPU seconds and peak resident MB of `python words...`, run as a child that must succeed."""
    code = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
        "u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime, u.ru_maxrss / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, *words],
        check=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=ENVIRONMENT,
    )
    cpu_seconds, peak_mb = done.stdout.split()
    return float(cpu_seconds), float(peak_mb)


def own_peak_mb() -> float:
    """Peak resident MB of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
