"""What an artefact costs: milliseconds and memory of its predictions, images being decoded before.

Milliseconds are taken in rounds, and what other processes took of the processors meanwhile is taken with them: on a
busy machine a latency is the machine's and not the artefact's.
"""

import gc
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psutil
from numpy.typing import NDArray

from tasks.dataset.decoding import Image

Predict = Callable[[Image], object]
Floats = NDArray[np.float64]
_SAMPLE_SECONDS = 0.002
_RESAMPLES = 1000


@dataclass(frozen=True)
class Timing:
    """Milliseconds of predictions, and how busy others kept the processors meanwhile."""

    rounds_ms: list[Floats]
    others_share: float  # of the processors that the predictions may use, what other processes took
    load: float  # processes that ran or waited, mean of the last minute

    @property
    def all_ms(self) -> Floats:
        """The durations of all rounds, one after the other."""
        return np.concatenate(self.rounds_ms)

    @property
    def medians_ms(self) -> Floats:
        """The median of each round."""
        return np.array([np.median(round_ms) for round_ms in self.rounds_ms])

    def interval_ms(self, percentile: float) -> tuple[float, float]:
        """The 95 % interval of a percentile over rounds drawn again and again: what differs between them is in it."""
        draws = np.random.default_rng(0).integers(len(self.rounds_ms), size=(_RESAMPLES, len(self.rounds_ms)))
        values = [np.percentile(np.concatenate([self.rounds_ms[each] for each in draw]), percentile) for draw in draws]
        low, high = np.percentile(values, [2.5, 97.5])
        return float(low), float(high)

    def busy(self, most_others: float, most_spread: float) -> str:
        """Why this is no latency of the artefact, in figures; empty where it is one."""
        reasons = []
        if self.others_share > most_others:
            reasons.append(f"other processes took {self.others_share:.0%} of the processors (load {self.load:.1f})")
        fastest, slowest = self.medians_ms.min(), self.medians_ms.max()
        if slowest > fastest * most_spread:
            reasons.append(f"rounds differ, {fastest:.3g} to {slowest:.3g} ms in the median")
        return " and ".join(reasons)


def timing(predict: Predict, images: Sequence[Image], *, warm_up: int, count: int, rounds: int, threads: int) -> Timing:
    """Time `count` predictions in rounds, one image at a time, after `warm_up` that do not count; images in turn.

    threads: of the processors, so many the predictions may use.
    """
    turns = itertools.cycle(images)
    for image in itertools.islice(turns, warm_up):
        predict(image)
    began, busy, own = time.perf_counter(), _busy_seconds(), _own_seconds()
    rounds_ms = [_latencies_ms(predict, turns, len(part)) for part in np.array_split(np.arange(count), rounds)]
    seconds = time.perf_counter() - began
    others = max(_busy_seconds() - busy - (_own_seconds() - own), 0.0) / seconds
    # What others do on processors that would be idle anyway is no hindrance.
    spare = max(len(_processor_numbers()) - threads, 0)
    return Timing(rounds_ms, min(max(others - spare, 0.0) / threads, 1.0), os.getloadavg()[0])


def _latencies_ms(predict: Predict, turns: Iterator[Image], count: int) -> Floats:
    took = np.empty(count)
    for index, image in enumerate(itertools.islice(turns, count)):
        start = time.perf_counter_ns()
        predict(image)
        took[index] = (time.perf_counter_ns() - start) / 1e6
    return took


def _processor_numbers() -> list[int]:
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere
    return sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))


def _busy_seconds() -> float:
    """Time that the processors which this process may use have worked, for whomever; what a hypervisor took counts."""
    times = psutil.cpu_times(percpu=True)
    mine = [times[number] for number in _processor_numbers() if number < len(times)]
    # What guests take is in user and nice already.
    idle = {"idle", "iowait", "guest", "guest_nice"}
    return float(sum(value for each in mine for name, value in each._asdict().items() if name not in idle))


def _own_seconds() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


class AddedMemory:
    """The highest resident memory seen since a block began, less what the process had at its start."""

    def __init__(self, at_start: int) -> None:
        self.at_start = at_start
        self.peak = at_start

    @property
    def megabytes(self) -> float:
        """What was added at the most, in 10^6 bytes."""
        return (self.peak - self.at_start) / 1e6


@contextmanager
def added_memory() -> Iterator[AddedMemory]:
    """Watch this process while a block loads an artefact and predicts with it.

    The libraries that the artefact needs count, as long as nothing imported them before: they are what a server has to
    hold too. A thread looks every two milliseconds, so no latency should be taken in the same block.
    """
    process = psutil.Process()
    gc.collect()
    memory = AddedMemory(process.memory_info().rss)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_SAMPLE_SECONDS):
            memory.peak = max(memory.peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        done.set()
        watcher.join()
        memory.peak = max(memory.peak, process.memory_info().rss)
