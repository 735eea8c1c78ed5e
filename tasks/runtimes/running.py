"""Runs a bundle on the images of an evaluation: what it finds, how long that takes and how much memory."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field
from tqdm import tqdm

from tasks.contracts.errors import PipelineError
from tasks.contracts.evaluation import Latency
from tasks.contracts.images import Image, read_image
from tasks.contracts.params import Params
from tasks.contracts.tables import BOX, PREDICTIONS
from tasks.runtimes.cost import added_memory, latencies_ms
from tasks.runtimes.machine import Device, machine_name, processors
from tasks.runtimes.protocol import Runtime, open_runtime

_DECODED_AHEAD = 8
_HELD_BYTES = 256_000_000  # decoded images in memory while latency is measured


class Running(Params):
    """How bundles are run and timed."""

    latency_images: int = Field(ge=20, description="predictions that are timed, one image at a time")
    latency_warm_up: int = Field(ge=1, description="predictions before them that are not")
    threads: int | None = Field(ge=1, description="processor threads of the runtime; null: all that there are")
    device: Device = Field(description="auto, cpu, or the number of a GPU")


@dataclass(frozen=True)
class Outcome:
    """What a bundle found on the images, and what that took."""

    predictions: pd.DataFrame
    unreadable: list[str]
    latency: Latency
    peak_memory_mb: float


def run_bundle(bundle: Path, paths: dict[str, Path], timed: list[str], running: Running) -> Outcome:
    """Run a bundle on every image that can be decoded; paths: by image id; timed: the ids that latency may use.

    Raises PipelineError if none of them can be decoded.
    """
    threads = running.threads or processors()
    held = _some_images([paths[image_id] for image_id in timed], running.latency_images)
    if not held:
        raise PipelineError("no image of test can be decoded", str(bundle), "See the findings of check")
    with added_memory() as memory:
        runtime = open_runtime(bundle, threads, running.device)
        latencies_ms(runtime.predict, held, 0, running.latency_warm_up)
    took = latencies_ms(runtime.predict, held, running.latency_warm_up, running.latency_images)
    p50, p95, p99 = (float(value) for value in np.percentile(took, [50, 95, 99]))
    latency = Latency(
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        images=len(took),
        machine=machine_name(),
        threads=threads,
        device=runtime.network.device,
    )
    del held
    predictions, unreadable = _predict_all(runtime, paths)
    return Outcome(predictions, unreadable, latency, memory.megabytes)


def _some_images(paths: list[Path], most: int) -> list[Image]:
    """Decoded images spread evenly over the paths: as many as latency needs, or as fit into memory well."""
    images: list[Image] = []
    for index in np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)):
        with suppress(ValueError, OSError):
            images.append(read_image(paths[index], max_megapixels=None))
        if sum(image.nbytes for image in images) > _HELD_BYTES:
            break
    return images


def _predict_all(runtime: Runtime, paths: dict[str, Path]) -> tuple[pd.DataFrame, list[str]]:
    """Boxes of every image (contracts.tables.PREDICTIONS), and the images that cannot be decoded."""
    tables, unreadable = [pd.DataFrame(columns=PREDICTIONS.names)], []
    classes = np.array(runtime.bundle.classes, dtype=object)
    for image_id, image in tqdm(_decoded(paths), total=len(paths), desc="evaluate", unit="image", disable=None):
        if image is None:
            unreadable.append(image_id)
            continue
        found = runtime.predict(image)
        table = pd.DataFrame(found.boxes_xyxy, columns=BOX)
        tables.append(table.assign(image_id=image_id, label=classes[found.class_indices], score=found.scores))
    return pd.concat(tables[1:] or tables, ignore_index=True)[PREDICTIONS.names], unreadable


def _decoded(paths: dict[str, Path]) -> Iterator[tuple[str, Image | None]]:
    """Images in order, decoded ahead in a thread; None for one that cannot be."""
    ahead: deque[tuple[str, Future[Image]]] = deque()
    waiting = iter(paths.items())
    with ThreadPoolExecutor(max_workers=1) as pool:
        while True:
            for image_id, path in islice(waiting, _DECODED_AHEAD - len(ahead)):
                ahead.append((image_id, pool.submit(read_image, path, None)))
            if not ahead:
                return
            image_id, future = ahead.popleft()
            try:
                yield image_id, future.result()
            except (ValueError, OSError):
                yield image_id, None
