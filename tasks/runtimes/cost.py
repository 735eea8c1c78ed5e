"""What an artefact costs: milliseconds and memory of its predictions, images being decoded before."""

import gc
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import psutil
from numpy.typing import NDArray

from tasks.contracts.images import Image

Predict = Callable[[Image], object]
_SAMPLE_SECONDS = 0.002


def latencies_ms(predict: Predict, images: Sequence[Image], warm_up: int, count: int) -> NDArray[np.float64]:
    """Milliseconds of `count` predictions, one image at a time, after `warm_up` that do not count; images in turn."""
    turns = itertools.cycle(images)
    for image in itertools.islice(turns, warm_up):
        predict(image)
    took = np.empty(count)
    for index, image in enumerate(itertools.islice(turns, count)):
        start = time.perf_counter_ns()
        predict(image)
        took[index] = (time.perf_counter_ns() - start) / 1e6
    return took


class AddedMemory:
    """The highest resident memory seen since a block began, less what the process held at its start."""

    def __init__(self, at_start: int) -> None:
        self.at_start = at_start
        self.peak = at_start

    @property
    def megabytes(self) -> float:
        """Of 10^6 bytes."""
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
