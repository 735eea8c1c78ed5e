"""How many changed copies check finds in a data set, and how many pairs with other objects it calls the same.

Every image gets one copy, changed in one way, and the labels that belong there. A pair is one of other objects if its
labels, one to one and class by class, leave any box without one that overlaps it by half.

Example:
  python -m tests.bench.near_duplicates bccd.zip deeppcb.zip urban.zip
"""

import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import cv2
import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tasks.checks.duplicate_tables import DuplicateTables, duplicate_tables
from tasks.checks.image_measures import measure_images
from tasks.contracts.tables import BOX, IMAGES, OBJECTS, read_table
from tasks.dataset.decoding import image_path
from tasks.parse import main as parse
from tests.fixtures.repository import REPOSITORY

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]  # (3, 3), from places in the image to those in its copy

PARAMS = REPOSITORY / "params.yaml"
LIMIT = 0.15  # the default of check.near_duplicate_difference
SAME_IOU = 0.5


class Copy(NamedTuple):
    """A changed copy, and where things went."""

    pixels: Pixels
    to: Matrix


def _same(pixels: NDArray[np.generic]) -> Copy:
    return Copy(np.clip(pixels, 0, 255).astype(np.uint8), np.eye(3))


def _reencoded(pixels: Pixels, rng: np.random.Generator) -> Copy:
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 60))])[1]
    return _same(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)))


def _scaled(pixels: Pixels, rng: np.random.Generator) -> Copy:
    factor = float(rng.choice([0.5, 0.73, 1.5]))
    scaled = cv2.resize(
        pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    )
    return Copy(np.asarray(scaled, dtype=np.uint8), np.diag([factor, factor, 1.0]))


def _brighter(pixels: Pixels, rng: np.random.Generator) -> Copy:
    return _same(pixels * 0.6 if rng.random() < 0.5 else pixels * 1.3 + 20)


def _grey(pixels: Pixels, rng: np.random.Generator) -> Copy:
    return _same(np.asarray(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)))


def _noisy(pixels: Pixels, rng: np.random.Generator) -> Copy:
    return _same(pixels + rng.normal(0, 12, pixels.shape))


def _with_logo(pixels: Pixels, rng: np.random.Generator) -> Copy:
    height, width = pixels.shape[:2]
    wide, tall = int(width * rng.uniform(0.15, 0.22)), int(height * rng.uniform(0.1, 0.15))
    left, top = int(rng.choice([8, width - wide - 8])), int(rng.choice([8, height - tall - 8]))
    stamped = pixels.copy()
    stamped[top : top + tall, left : left + wide] = rng.integers(0, 256, 3)
    cv2.putText(stamped, "LOGO", (left + 4, top + tall - 8), cv2.FONT_HERSHEY_SIMPLEX, tall / 45, (90, 200, 30), 3)
    return _same(stamped)


def _shifted(pixels: Pixels, rng: np.random.Generator) -> Copy:
    across, down = (int(by) for by in rng.integers(2, 11, 2) * rng.choice([-1, 1], 2))
    to = np.array([[1.0, 0, across], [0, 1, down], [0, 0, 1]])
    border = rng.choice(["black", "edge", "cut"])
    if border == "cut":
        height, width = pixels.shape[:2]
        left, top = max(0, -across), max(0, -down)
        cut = pixels[top : height - max(0, down), left : width - max(0, across)]
        return Copy(cut, np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]]))
    return _moved(pixels, to, cv2.BORDER_CONSTANT if border == "black" else cv2.BORDER_REPLICATE)


def _cropped(pixels: Pixels, rng: np.random.Generator) -> Copy:
    height, width = pixels.shape[:2]
    part = float(rng.choice([0.95, 0.85]))
    wide, tall = int(width * part), int(height * part)
    left, top = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - tall + 1))
    cut, to = pixels[top : top + tall, left : left + wide], np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
    if rng.random() < 0.5:
        return Copy(cut, to)
    return Copy(
        np.asarray(cv2.resize(cut, (width, height)), dtype=np.uint8), np.diag([width / wide, height / tall, 1]) @ to
    )


def _mirrored(pixels: Pixels, rng: np.random.Generator) -> Copy:
    return Copy(np.ascontiguousarray(pixels[:, ::-1]), np.array([[-1.0, 0, pixels.shape[1]], [0, 1, 0], [0, 0, 1]]))


def _turned(pixels: Pixels, rng: np.random.Generator) -> Copy:
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.choice([-5, -2, 2, 5])), 1)
    return _moved(pixels, np.vstack([turn, [0, 0, 1]]), int(rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE])))


def _moved(pixels: Pixels, to: Matrix, border: int) -> Copy:
    height, width = pixels.shape[:2]
    return Copy(np.asarray(cv2.warpAffine(pixels, to[:2], (width, height), borderMode=border), dtype=np.uint8), to)


CHANGES: dict[str, Callable[[Pixels, np.random.Generator], Copy]] = {
    "re-encoded": _reencoded,
    "scaled": _scaled,
    "brighter or darker": _brighter,
    "grey": _grey,
    "noisy": _noisy,
    "with a logo": _with_logo,
    "shifted by 2 to 10 px": _shifted,
    "cropped to 95 or 85 %": _cropped,
    "mirrored": _mirrored,
    "turned by 2 or 5 degrees": _turned,
}


class Set(NamedTuple):
    """Images with their labels, and the files that hold them."""

    images: pd.DataFrame
    objects: pd.DataFrame
    paths: list[Path]


def read(archive: Path, folder: Path) -> Set:
    """Parse an export."""
    with zipfile.ZipFile(archive) as held:
        held.extractall(folder / "raw" / archive.stem)
    parse(raw=folder / "raw", annotations=folder / "annotations", params=PARAMS)
    images = read_table(folder / "annotations" / "images.parquet", IMAGES)
    objects = read_table(folder / "annotations" / "objects.parquet", OBJECTS)
    return Set(images, objects, [image_path(file, folder / "raw", folder / "annotations") for file in images["file"]])


def with_copies(data: Set, folder: Path, seed: int) -> tuple[Set, dict[str, tuple[str, str]]]:
    """The set and a copy of each of its images; by the copy's id the original's id and the change."""
    rng = np.random.default_rng(seed)
    copies, labels, paths, origin = [], [], [], {}
    of_image = dict(iter(data.objects.groupby("image_id")))
    names = list(CHANGES)
    for number, row in enumerate(rng.permutation(len(data.images))):
        image, name = data.images.iloc[row], names[number % len(names)]
        copy = CHANGES[name](np.asarray(cv2.imread(str(data.paths[row])), dtype=np.uint8), rng)
        image_id, path = f"copy {number}", folder / f"copy{number}.png"
        cv2.imwrite(str(path), copy.pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        height, width = copy.pixels.shape[:2]
        changed = {"image_id": image_id, "sha256": image_id, "width": width, "height": height, "group": "copies"}
        copies.append(image.to_dict() | changed)
        labels.append(_carried(of_image.get(image["image_id"], data.objects.iloc[:0]), copy).assign(image_id=image_id))
        paths.append(path)
        origin[image_id] = (str(image["image_id"]), name)
    images = pd.concat([data.images, pd.DataFrame(copies)], ignore_index=True)
    return Set(images, pd.concat([data.objects, *labels], ignore_index=True), data.paths + paths), origin


def _carried(objects: pd.DataFrame, copy: Copy) -> pd.DataFrame:
    boxes = objects[BOX].to_numpy()
    ends = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] @ copy.to[:2, :2].T + copy.to[:2, 2]
    height, width = copy.pixels.shape[:2]
    carried = np.clip(np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1), 0, [width, height, width, height])
    visible = (carried[:, 2:] - carried[:, :2]).min(axis=1, initial=np.inf) > 1
    placed: pd.DataFrame = objects.assign(**dict(zip(BOX, carried.T, strict=True))).loc[visible]
    return placed


def search(data: Set) -> tuple[DuplicateTables, float]:
    """What is found, and the seconds of the search alone."""
    measures = pd.DataFrame(measure_images(data.paths), index=data.images.index)
    started = time.process_time()
    return duplicate_tables(data.images, data.objects, measures, LIMIT), time.process_time() - started


def related(found: DuplicateTables) -> set[frozenset[str]]:
    """All pairs of images that are near-duplicates."""
    pairs = {frozenset(pair) for pair in found.pairs[["image_id", "other_image_id"]].to_numpy().tolist()}
    for _, members in found.clusters.groupby("cluster")["image_id"]:
        ids = members.tolist()
        pairs |= {frozenset((one, other)) for place, one in enumerate(ids) for other in ids[place + 1 :]}
    return pairs


def have_other_objects(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether labels of two images leave any box without its like."""
    if len(one) != len(other) or not len(one):
        return len(one) != len(other)
    low = np.maximum(one[BOX[:2]].to_numpy()[:, None], other[BOX[:2]].to_numpy())
    high = np.minimum(one[BOX[2:]].to_numpy()[:, None], other[BOX[2:]].to_numpy())
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    sizes, others = (np.prod(each[BOX[2:]].to_numpy() - each[BOX[:2]].to_numpy(), axis=1) for each in (one, other))
    iou = shared / (sizes[:, None] + others - shared + 1e-9)
    iou *= one["label"].to_numpy()[:, None] == other["label"].to_numpy()
    return bool((iou[linear_sum_assignment(-iou)] < SAME_IOU).any())


def report(archive: Path) -> None:
    """Print the figures of one data set."""
    with tempfile.TemporaryDirectory() as name:
        data = read(archive, Path(name))
        count = len(data.images)
        decode = _seconds(partial(_decode, data.paths, cv2.IMREAD_COLOR))
        reduced = _seconds(partial(_decode, data.paths, cv2.IMREAD_REDUCED_GRAYSCALE_2))
        found, seconds = search(data)
        labels = dict(iter(data.objects.groupby("image_id")))
        nothing = data.objects.iloc[:0]
        called_same = [sorted(pair) for pair in related(found)]
        other = sum(have_other_objects(*(labels.get(image_id, nothing) for image_id in pair)) for pair in called_same)
        print(f"{archive.stem}: {count:,} images, {len(called_same):,} pairs are the same picture, of")  # noqa: T201
        print(f"  which {other:,} have other objects, {other / (count * (count - 1) / 2):.4%} of all pairs")  # noqa: T201
        print(f"  search {seconds / count * 1e3:.2f} ms per image")  # noqa: T201
        print(f"  bare decode {decode / count * 1e3:.2f} ms, to half the size {reduced / count * 1e3:.2f} ms")  # noqa: T201
        grown, origin = with_copies(data, Path(name), seed=0)
        found, seconds = search(grown)
        pairs = related(found)
        rows = pd.DataFrame(
            [
                (change, frozenset((copy, original)) in pairs, _finds_any(copy, pairs))
                for copy, (original, change) in origin.items()
            ],
            columns=["change", "its original", "any original"],
        )
        print(rows.groupby("change", sort=False).mean().round(3).to_string())  # noqa: T201
        print(rows[["its original", "any original"]].mean().round(4).to_dict())  # noqa: T201
        print(f"  search with copies {seconds / count / 2 * 1e3:.2f} ms per image")  # noqa: T201


def _decode(paths: list[Path], flags: int) -> None:
    for path in paths:
        cv2.imread(str(path), flags)


def _seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _finds_any(copy: str, pairs: set[frozenset[str]]) -> bool:
    return any(copy in pair and not all(each.startswith("copy ") for each in pair) for pair in pairs)


def main(archives: Annotated[list[Path], typer.Argument(help="exports as zips", exists=True, dir_okay=False)]) -> None:
    """Print the figures of each data set."""
    for archive in archives:
        report(archive)


if __name__ == "__main__":
    typer.run(main)
