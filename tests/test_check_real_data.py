"""What check and split say about real data sets: little, and what is true."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from tasks.check import main as check
from tasks.contracts.check_report import CheckReport
from tasks.contracts.leakage import SIDES, Leakage
from tasks.contracts.record import read_record
from tasks.contracts.tables import FINDINGS, SPLIT, read_table
from tasks.parse import main as parse
from tasks.split import main as split

pytestmark = pytest.mark.slow

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"


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
        ("bccd", {"duplicate_box", "dropped_objects"}, {"class_imbalance", "near_duplicates_in_scene"}),
        ("deeppcb-dev", set(), {"near_duplicates_in_scene"}),
        (
            "urban-traffic-640",
            {"class_without_objects"},
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
    assert (findings["severity"] == "warning").sum() <= 10
    assert len(findings) < 0.05 * outcomes[name].report.objects


def test_one_field_of_view_photographed_twice_is_found(outcomes: dict[str, Outcome]) -> None:
    findings = outcomes["bccd"].findings.set_index("rule")
    assert "BloodImage_00037.jpg" in str(findings.loc["near_duplicates_in_scene", "where"])


def test_boards_are_scenes_and_stay_whole(outcomes: dict[str, Outcome]) -> None:
    boards = outcomes["deeppcb-dev"]
    assert boards.split["group"].nunique() == 5
    assert boards.split.drop_duplicates(["group", "split"]).shape[0] == 5
    assert boards.leakage.after.same_group == 0
    assert boards.leakage.excluded == {}
    assert all(count for side in SIDES for count in boards.leakage.sides[side].objects_per_class.values())


def test_frames_of_one_crossing_are_divided_in_time_without_look_alikes(outcomes: dict[str, Outcome]) -> None:
    leakage = outcomes["urban-traffic-640"].leakage
    assert leakage.method == "time"
    assert leakage.before.near_duplicate == pytest.approx(1, abs=0.05)
    assert leakage.after.near_duplicate == 0
    assert leakage.after.neighbouring_frame == 0
    assert all(leakage.sides[side].objects_per_class["Truck"] for side in SIDES)
    assert sum(leakage.excluded.values()) < 0.25 * 463
