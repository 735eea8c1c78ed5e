"""Random tables of truth and predictions with the awkward cases that real ones have."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tasks.contracts.tables import BOX, CROWD, DIFFICULT


@dataclass(frozen=True)
class Draw:
    """How a random scene is drawn."""

    images: int = 25
    labels: list[str] = field(default_factory=lambda: ["bolt", "crack", "nut"])
    objects: float = 6.0  # per image
    found: float = 0.8  # share of objects that get a detection
    false_alarms: float = 4.0  # per image
    decimals: int | None = None  # scores are rounded to, for ties
    side_px: tuple[float, float] = (8, 160)
    crowds: float = 0.0  # share of objects that are
    difficult: float = 0.0


def random_scene(draw: Draw, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Truth, predictions and image ids; boxes are near objects, beside them, doubled, or nowhere."""
    rng = np.random.default_rng(seed)
    images = [f"image-{number:04}" for number in range(draw.images)]
    count = int(rng.poisson(draw.objects * draw.images))
    truth = _table(images, draw.labels, rng.integers(draw.images, size=count), _boxes(rng, count, draw.side_px), rng)
    hits = truth[rng.random(count) < draw.found]
    near = hits.assign(**dict(zip(BOX, (hits[BOX] + rng.normal(0, 3, (len(hits), 4))).to_numpy().T, strict=True)))
    doubled = near.sample(frac=0.3, random_state=seed)
    mistaken = near.sample(frac=0.1, random_state=seed).assign(label=draw.labels[-1])
    alarms = int(rng.poisson(draw.false_alarms * draw.images))
    nowhere = _table(
        images, draw.labels, rng.integers(draw.images, size=alarms), _boxes(rng, alarms, draw.side_px), rng
    )
    predictions = pd.concat([near, doubled, mistaken, nowhere], ignore_index=True)
    predictions[["x_max", "y_max"]] = predictions[["x_max", "y_max"]].clip(
        lower=predictions[["x_min", "y_min"]].to_numpy() + 1
    )
    truth = truth.assign(ignored=_ignored(draw, count, seed))
    score = rng.random(len(predictions))
    predictions["score"] = score if draw.decimals is None else score.round(draw.decimals)
    order = rng.permutation(len(predictions))
    return truth, predictions.iloc[order].reset_index(drop=True), images


def _ignored(draw: Draw, count: int, seed: int) -> pd.Series:
    shares = [draw.crowds, draw.difficult, 1 - draw.crowds - draw.difficult]
    chosen = np.random.default_rng([seed, 1]).choice(3, size=count, p=shares)
    return pd.Series([(CROWD, DIFFICULT, None)[number] for number in chosen], dtype=object)


def _boxes(
    rng: np.random.Generator, count: int, side_px: tuple[float, float]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    low, high = np.log(side_px[0]), np.log(side_px[1])
    sides = np.exp(rng.uniform(low, high, (count, 2)))
    corner = rng.uniform(0, 480, (count, 2))
    return np.hstack([corner, corner + sides])


def _table(
    images: list[str],
    labels: list[str],
    image: np.ndarray[tuple[int], np.dtype[np.int64]],
    boxes: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    rng: np.random.Generator,
) -> pd.DataFrame:
    # A class without objects: the last but one label is rare, by the square.
    label = (rng.random(len(image)) ** 2 * len(labels)).astype(int)
    table = pd.DataFrame(boxes, columns=BOX)
    table.insert(0, "image_id", np.array(images, dtype=object)[image])
    table.insert(1, "label", np.array(labels, dtype=object)[label])
    return table
