"""What check and split say about real data sets: little, and what is true."""

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tasks.check import main as check
from tasks.checks.image_measures import measure_images
from tasks.contracts.check_report import FINDINGS, CheckReport
from tasks.contracts.leakage import SPLITS, Leakage
from tasks.contracts.record import read_record
from tasks.contracts.tables import SPLIT, read_table
from tasks.parse import main as parse
from tasks.split import main as split
from tests.fixtures.check import row_findings
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.tables import toy_images

pytestmark = pytest.mark.slow

Grey = NDArray[np.uint8]

PARAMS = REPOSITORY / "params.yaml"


class Outcome(NamedTuple):
    report: CheckReport
    findings: pd.DataFrame
    split: pd.DataFrame
    leakage: Leakage


@pytest.fixture(scope="module")
def outcomes(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    archives = (shared_data / "datasets").glob("*_task*.zip")
    return {
        archive.name.split("_")[0]: _outcome(archive, tmp_path_factory.mktemp("real"))
        for archive in archives
        if "annotations-only" not in archive.name
    }


def _outcome(archive: Path, folder: Path) -> Outcome:
    with zipfile.ZipFile(archive) as held:
        held.extractall(folder / "raw" / archive.stem)
    annotations, checks = folder / "annotations", folder / "checks"
    parse(raw=folder / "raw", annotations=annotations, params=PARAMS)
    check(raw=folder / "raw", annotations=annotations, checks=checks, params=PARAMS)
    files = {"split_file": folder / "split.parquet", "leakage": folder / "leakage.json"}
    split(annotations=annotations, checks=checks, params=PARAMS, **files)
    return Outcome(
        read_record(checks / "report.json", CheckReport),
        read_table(checks / "findings.parquet", FINDINGS),
        read_table(files["split_file"], SPLIT),
        read_record(files["leakage"], Leakage),
    )


@pytest.mark.parametrize(
    ("name", "warnings", "notes"),
    [
        (
            "bccd",
            {"duplicate_box", "dropped_objects", "blurred_image"},
            {"class_imbalance", "near_duplicates_in_scene"},
        ),
        ("deeppcb-dev", set(), set()),
        (
            "urban-traffic-640",
            {"class_without_objects", "small_for_network"},
            {"class_imbalance", "near_duplicates_in_scene", "tiny_box", "odd_aspect_ratio"},
        ),
    ],
)
def test_real_data_pass_with_a_list_worth_reading(
    outcomes: dict[str, Outcome], name: str, warnings: set[str], notes: set[str]
) -> None:
    findings = outcomes[name].findings
    assert outcomes[name].report.passed
    assert set(findings.loc[findings["severity"] == "warning", "rule"]) == warnings
    assert set(findings.loc[findings["severity"] == "note", "rule"]) == notes
    assert (findings["severity"] == "warning").sum() <= 15
    assert len(findings) < 0.05 * outcomes[name].report.objects


def blur_rate(archive: Path, change: Callable[[Grey], Grey], folder: Path) -> float:
    """The share of every tenth image that is called blurred after a change."""
    with zipfile.ZipFile(archive) as held:
        names = sorted(name for name in held.namelist() if name.endswith(".jpg"))[::10]
        data = [np.frombuffer(held.read(name), dtype=np.uint8) for name in names]
    for number, content in enumerate(data):
        grey = np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.jpg"), change(grey), [cv2.IMWRITE_JPEG_QUALITY, 90])
    measures = pd.DataFrame(measure_images([folder / f"{number}.jpg" for number in range(len(data))]))
    images = toy_images([{"image_id": str(number)} for number in range(len(data))])
    found = row_findings(images, measures, min_sharpness=0.3)
    return sum(finding.rule == "blurred_image" for finding in found) / len(data)


@pytest.mark.parametrize("name", ["bccd", "deeppcb-dev", "urban-traffic-640"])
def test_blurred_copies_of_real_images_are_found_and_dark_or_flat_ones_are_not(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    archives = (shared_data / "datasets").glob(f"{name}_cvat-images*_task*.zip")
    archive = max(archives, key=lambda path: path.stat().st_size)
    sharp: list[Callable[[Grey], Grey]] = [
        lambda grey: grey,
        lambda grey: (grey * 0.3).astype(np.uint8),
        lambda grey: (128 + (grey.astype(float) - 128) * 0.25).astype(np.uint8),
    ]
    assert max(blur_rate(archive, change, tmp_path) for change in sharp) <= 0.05
    for sigma in (1.5, 2, 3, 4):
        assert blur_rate(archive, partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=sigma), tmp_path) >= 0.9, sigma


def test_one_field_of_view_photographed_twice_is_found(outcomes: dict[str, Outcome]) -> None:
    findings = outcomes["bccd"].findings.set_index("rule")
    assert "BloodImage_00037.jpg" in str(findings.loc["near_duplicates_in_scene", "message"])


def test_boards_are_scenes_and_stay_whole(outcomes: dict[str, Outcome]) -> None:
    boards = outcomes["deeppcb-dev"]
    assert boards.split["group"].nunique() == 5
    assert boards.split.drop_duplicates(["group", "split"]).shape[0] == 5
    assert boards.leakage.after.same_group == 0
    assert boards.leakage.excluded == {}
    assert all(count for side in SPLITS for count in boards.leakage.splits[side].objects_per_class.values())


def test_frames_of_one_crossing_are_divided_in_time_without_look_alikes(outcomes: dict[str, Outcome]) -> None:
    leakage = outcomes["urban-traffic-640"].leakage
    assert leakage.method == "time"
    # The other tenth are frames in which objects moved too far since the frame before.
    assert leakage.before.near_duplicate == pytest.approx(0.9, abs=0.05)
    assert leakage.after.near_duplicate == 0
    assert leakage.after.neighbouring_frame == 0
    assert all(leakage.splits[side].objects_per_class["Truck"] for side in SPLITS)
    assert sum(leakage.excluded.values()) < 0.25 * 463
