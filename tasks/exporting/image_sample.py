"""A few images that stand for a side of the split: seeded, with every class among them."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.dataset.decoding import image_path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """Images drawn for a purpose."""

    names: list[str]
    paths: list[Path]
    sha256: list[str]
    objects_per_class: dict[str, int]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images that are held and readable (contracts.tables.IMAGES), their objects, and the folders they lie below."""

    images: pd.DataFrame
    objects: pd.DataFrame
    raw: Path
    annotations: Path

    def of(self, image_ids: pd.Series) -> "Labelled":
        """Only these images, and the objects in them."""
        return Labelled(
            self.images[self.images["image_id"].isin(image_ids)],
            self.objects[self.objects["image_id"].isin(image_ids)],
            self.raw,
            self.annotations,
        )


def draw_sample(labelled: Labelled, classes: Sequence[str], count: int, seed: int) -> Sample:
    """Draw at most `count` images, class by class in turn, the rarest class first, and then of the rest.

    The same seed and tables, in whatever order of rows, give the same images. A class that none of them shows is
    warned about.
    """
    drawn = labelled.of(pd.Series(_covering(labelled, classes, count, seed)))
    objects = drawn.objects["label"].value_counts()
    per_class = {label: int(objects.get(label, 0)) for label in classes}
    missing = [label for label, held in per_class.items() if not held]
    if missing:
        log.warning("none of the %d images drawn shows %s", len(drawn.images), ", ".join(missing))
    images = drawn.images.sort_values("image_id")
    return Sample(
        names=list(images["name"]),
        paths=[image_path(file, labelled.raw, labelled.annotations) for file in images["file"]],
        sha256=list(images["sha256"]),
        objects_per_class=per_class,
    )


def _covering(labelled: Labelled, classes: Sequence[str], count: int, seed: int) -> list[str]:
    shuffled = np.random.default_rng(seed).permutation(np.sort(labelled.images["image_id"].to_numpy(dtype=str)))
    holders = labelled.objects.groupby("label")["image_id"].agg(set)
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
