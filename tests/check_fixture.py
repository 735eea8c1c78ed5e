"""Drawn images with faults, and what check says of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from tasks.check import main
from tasks.contracts.check_report import CheckReport
from tasks.contracts.ledger import Ledger
from tasks.contracts.record import read_record
from tasks.contracts.tables import DUPLICATES, FINDINGS, NEAR_DUPLICATES, read_table
from tests.tables_fixture import toy_images, toy_ledger, toy_objects, write_annotations

REPOSITORY = Path(__file__).resolve().parents[1]
Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Checked:
    folder: Path
    report: CheckReport
    findings: pd.DataFrame
    duplicates: pd.DataFrame
    near_duplicates: pd.DataFrame


@dataclass
class Drawn:
    """A data set in the making: image files, and rows of both tables."""

    raw: Path
    images: list[dict[str, object]]
    objects: list[dict[str, object]]

    def add(self, image_id: str, data: bytes | Grey, **columns: object) -> None:
        """One image with an object, from its file's bytes or its pixels."""
        content = data if isinstance(data, bytes) else encoded(data)
        file = self.raw / "export" / f"{image_id}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        self.images.append({"image_id": image_id, "sha256": sha256, "frame": len(self.images), **columns})
        self.label(image_id)

    def label(self, image_id: str, object_id: str | None = None, **columns: object) -> None:
        number = sum(row["image_id"] == image_id for row in self.objects)
        self.objects.append({"image_id": image_id, "object_id": object_id or f"{image_id}-{number}", **columns})


def scene(seed: int, size_wh: tuple[int, int] = (160, 120)) -> Grey:
    """Sharp shapes on a rough ground, unlike those of any other seed."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(70, 130, (size_wh[1], size_wh[0]), dtype=np.uint8)
    for _ in range(12):
        corner, other = (tuple(int(value) for value in rng.integers(0, size_wh)) for _ in range(2))
        cv2.rectangle(pixels, corner, other, int(rng.integers(0, 256)), -1)
    return pixels


def encoded(pixels: Grey, suffix: str = ".png") -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1])


def without_middle(jpeg: bytes) -> bytes:
    """Complete from start to end marker, but for some of what is between."""
    middle = len(jpeg) // 2
    return jpeg[:middle] + jpeg[middle + 300 :]


def decoded(data: bytes) -> Grey:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def checked(
    folder: Path, drawn: Drawn, ledger: Ledger | None = None, image_size: object = 640, **limits: object
) -> Checked:
    """The command's outcome on a drawn data set, with the limits of the repository's params but for `limits`."""
    labels = sorted({str(row.get("label", "part")) for row in drawn.objects})
    annotations = folder / "annotations"
    write_annotations(annotations, toy_images(drawn.images), toy_objects(drawn.objects), ledger or toy_ledger(labels))
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["check"] |= {"min_objects_per_class": 1, **limits}
    params["train"]["image_size"] = image_size
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    main(raw=drawn.raw, annotations=annotations, checks=folder / "checks", params=folder / "params.yaml")
    return outcome(folder / "checks")


def outcome(checks: Path) -> Checked:
    return Checked(
        checks,
        read_record(checks / "report.json", CheckReport),
        read_table(checks / "findings.parquet", FINDINGS),
        read_table(checks / "duplicates.parquet", DUPLICATES),
        read_table(checks / "near_duplicates.parquet", NEAR_DUPLICATES),
    )


def clean(folder: Path, count: int = 30) -> Drawn:
    drawn = Drawn(folder / "raw", [], [])
    for number in range(count):
        drawn.add(f"clean{number}", scene(number))
    return drawn
