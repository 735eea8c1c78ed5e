"""A few images that stand for a split: seeded, with every class among them."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.contracts.tables import counted
from tasks.dataset.read_split import Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """Images drawn for a purpose."""

    names: list[str]
    paths: list[Path]
    sha256: list[str]
    objects_per_class: dict[str, int]


def draw_sample(dataset: Dataset, classes: Sequence[str], count: int, seed: int) -> Sample:
    """Draw at most `count` images, class by class in turn, the rarest class first, and then of the rest.

    dataset: of readable images. The same seed and tables, in whatever order of rows, give the same images. A class that
    none of them shows is warned about.
    """
    drawn = dataset.where(dataset.images["image_id"].isin(_covering(dataset, classes, count, seed)))
    objects = counted(drawn.objects)["label"].value_counts()
    per_class = {label: int(objects.get(label, 0)) for label in classes}
    missing = [label for label, count in per_class.items() if not count]
    if missing:
        log.warning("none of the %d images drawn shows %s", len(drawn.images), ", ".join(missing))
    images = drawn.images.sort_values("image_id")
    return Sample(
        names=list(images["name"]),
        paths=list(images["path"]),
        sha256=list(images["sha256"]),
        objects_per_class=per_class,
    )


def _covering(dataset: Dataset, classes: Sequence[str], count: int, seed: int) -> list[str]:
    shuffled = np.random.default_rng(seed).permutation(np.sort(dataset.images["image_id"].to_numpy(dtype=str)))
    holders = counted(dataset.objects).groupby("label")["image_id"].agg(set)
    queues = [deque(image_id for image_id in shuffled if image_id in holders.get(label, ())) for label in classes]
    queues.sort(key=len)
    chosen: dict[str, None] = {}  # keeps the order
    while any(queues):
        for queue in queues:
            while queue and queue[0] in chosen:
                queue.popleft()
            if queue:
                chosen[queue.popleft()] = None
    rest = [image_id for image_id in shuffled if image_id not in chosen]
    return [*chosen, *rest][:count]
