"""Runs a bundle on the images of an evaluation: what it finds, how long that takes and how much memory."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field
from tqdm import tqdm

from tasks.contracts.errors import PipelineError
from tasks.contracts.evaluation import Latency
from tasks.contracts.machine_faults import machine_fault
from tasks.contracts.params import Params
from tasks.contracts.tables import BOX, PREDICTIONS
from tasks.dataset.decoding import Image, read_image
from tasks.evaluating.cost import added_memory, timing
from tasks.runtimes.machine import Device, machine_name, processors
from tasks.runtimes.protocol import NotFiniteError, Runtime, open_runtime, refuse_not_finite

_DECODED_AHEAD = 8
_HELD_BYTES = 256_000_000  # decoded images in memory while latency is measured


class Running(Params):
    """How many images and rounds are timed, and on what."""

    latency_images: int = Field(ge=20, description="predictions that are timed, one image at a time")
    latency_warm_up: int = Field(ge=1, description="predictions before them that are not")
    threads: int | None = Field(ge=1, description="processor threads of the runtime; null: all that there are")
    device: Device = Field(description="auto, cpu, or the number of a GPU")
    latency_rounds: int = Field(default=5, ge=3, le=20, description="rounds in which they are timed, for an interval")
    latency_others: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="share of its processors that others may take meanwhile; beyond, rules on latency are undecided",
    )
    latency_spread: float = Field(
        default=1.5, ge=1, description="how many times the fastest round's median the slowest's may be; beyond, as well"
    )


@dataclass(frozen=True)
class BundleRun:
    """What a bundle found on the images, and what that took."""

    predictions: pd.DataFrame
    unreadable: list[str]
    latency: Latency
    peak_memory_mb: float


def run_bundle(
    bundle: Path, paths: dict[str, Path], timed: list[str], running: Running, target: str | None = None
) -> BundleRun:
    """Run a bundle on every image that can be decoded; paths: by image id; timed: the ids that latency may use.

    target: see open_runtime. Raises PipelineError if none of them can be decoded, or if the network's output is not
    finite on any.
    """
    threads = running.threads or processors()
    decoded = _some_images([paths[image_id] for image_id in timed], running.latency_images)
    if not decoded:
        raise PipelineError("no image of test can be decoded", str(bundle), "See the findings of check")
    with added_memory() as memory:
        runtime = open_runtime(bundle, threads, running.device, target=target)
        with suppress(NotFiniteError):  # counted below
            for image in islice(cycle(decoded), running.latency_warm_up):
                runtime.predict(image)
    latency = _latency(runtime, decoded, threads, running)
    del decoded
    predictions, unreadable = _predict_all(runtime, paths)
    if latency is None or latency.busy:
        # Meanwhile it may have become calm.
        decoded = _some_images([paths[image_id] for image_id in timed], running.latency_images)
        latency = min(filter(None, (latency, _latency(runtime, decoded, threads, running))), key=_disturbance)
    return BundleRun(predictions, unreadable, latency, memory.megabytes)


def _latency(runtime: Runtime, images: list[Image], threads: int, running: Running) -> Latency | None:
    """None if the network's output is not finite."""
    try:
        timed = timing(
            runtime.predict,
            images,
            warm_up=running.latency_warm_up,
            count=running.latency_images,
            rounds=running.latency_rounds,
            threads=threads if runtime.network.device == "cpu" else 1,
        )
    except NotFiniteError:
        return None
    p50, p95, p99 = (float(value) for value in np.percentile(timed.all_ms, [50, 95, 99]))
    return Latency(
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        images=len(timed.all_ms),
        machine=machine_name(),
        threads=threads,
        device=runtime.network.device,
        p50_interval_ms=timed.interval_ms(50),
        p95_interval_ms=timed.interval_ms(95),
        rounds=len(timed.rounds_ms),
        others_share=timed.others_share,
        load=timed.load,
        busy=timed.busy(running.latency_others, running.latency_spread),
    )


def _disturbance(latency: Latency) -> tuple[bool, float]:
    return bool(latency.busy), latency.others_share or 0.0


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
    tables, unreadable, not_finite = [pd.DataFrame(columns=PREDICTIONS.names)], [], []
    classes = np.array(runtime.bundle.classes, dtype=object)
    for image_id, image in tqdm(_decoded(paths), total=len(paths), desc="evaluate", unit="image", disable=None):
        if image is None:
            unreadable.append(image_id)
            continue
        try:
            found = runtime.predict(image)
        except NotFiniteError:
            not_finite.append(image_id)
            continue
        table = pd.DataFrame(found.boxes_xyxy, columns=BOX)
        tables.append(table.assign(image_id=image_id, label=classes[found.class_indices], score=found.scores))
    refuse_not_finite(runtime, not_finite, len(paths))
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
            except (ValueError, OSError) as error:
                if machine_fault(error):
                    # That a file may not be read, or not now, says nothing of the image.
                    raise
                yield image_id, None
