"""split: the command, its files and its refusals."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tasks.contracts.check_report import DUPLICATES, NEAR_DUPLICATES, CheckReport
from tasks.contracts.errors import PipelineError
from tasks.contracts.leakage import SPLITS, ExcludedImage, Leakage
from tasks.contracts.params import read_params
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tables import SPLIT, SPLIT_MEMORY, read_table, write_table
from tasks.split import SplitParams, main
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.split import NO_PAIRS, PARAMS, frames, looks
from tests.fixtures.tables import toy_images, toy_ledger, toy_objects, write_annotations


def test_fractions_that_are_not_one_together_are_refused(tmp_path: Path) -> None:
    sections = {"split": PARAMS.model_dump() | {"fractions": {"train": 0.8, "val": 0.2, "test": 0.2}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    with pytest.raises(PipelineError, match=r"train, val and test are 1\.2 together; they must be 1"):
        read_params(tmp_path / "params.yaml", "split", SplitParams)


def test_command_writes_the_split_reads_it_again_and_changes_nothing(tmp_path: Path) -> None:
    written_inputs(tmp_path, passed=True)
    run_command(tmp_path)
    table = read_table(tmp_path / "split.parquet", SPLIT)
    leakage = read_record(tmp_path / "leakage.json", Leakage)
    assert {split: (table["split"] == split).sum() for split in SPLITS} == {
        split: count.images for split, count in leakage.splits.items()
    }
    first = (tmp_path / "split.parquet").read_bytes()
    run_command(tmp_path)
    assert (tmp_path / "split.parquet").read_bytes() == first


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(["image_id", "split", "group", "side", "reason"], id="before images were known by their file"),
        pytest.param(["image_id", "split", "group", "side", "reason", "task", "name", "sha256", "named"], id="0.1"),
    ],
)
def test_split_of_an_earlier_version_is_remembered(tmp_path: Path, columns: list[str]) -> None:
    written_inputs(tmp_path, passed=True)
    run_command(tmp_path)
    table = tmp_path / "split.parquet"
    first = pq.read_table(table)
    earlier = first.rename_columns(["side" if name == "assigned" else name for name in first.column_names])
    pq.write_table(earlier.select(columns), table)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"seed": 1, "split": PARAMS.model_dump()}))
    run_command(tmp_path, tmp_path / "params.yaml")
    assert read_table(table, SPLIT_MEMORY).equals(first.to_pandas())


def test_leakage_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    written_inputs(tmp_path, passed=True)
    run_command(tmp_path)
    now = read_record(tmp_path / "leakage.json", Leakage)
    given = json.loads((tmp_path / "leakage.json").read_text())
    given["sides"], given["moved_by_twins"] = given.pop("splits"), given.pop("joined_by_near_duplicates")
    given["excluded"] = {"twin": 1}
    given["excluded_images"] = [{"image_id": "a", "reason": "twin", "twin": "b"}]
    (tmp_path / "leakage.json").write_text(json.dumps(given))
    excluded = ExcludedImage(image_id="a", reason="near_duplicate", near_duplicate="b")
    changes = {"excluded": {"near_duplicate": 1}, "excluded_images": [excluded]}
    assert read_record(tmp_path / "leakage.json", Leakage) == now.model_copy(update=changes)


def test_leakage_file_holds_plain_numbers(tmp_path: Path) -> None:
    written_inputs(tmp_path, passed=True)
    run_command(tmp_path)
    figures = json.loads((tmp_path / "leakage.json").read_text())
    assert isinstance(figures["after"]["near_duplicate"], float)
    assert isinstance(figures["splits"]["train"]["share"], float)


def test_command_refuses_behind_a_failed_check(tmp_path: Path) -> None:
    written_inputs(tmp_path, passed=False)
    with pytest.raises(PipelineError, match="unknown_label") as raised:
        run_command(tmp_path)
    assert "findings.parquet" in raised.value.hint
    assert "params.yaml: check" in raised.value.hint
    assert not (tmp_path / "split.parquet").exists()


def written_inputs(folder: Path, *, passed: bool) -> None:
    images = toy_images([row for number in range(9) for row in frames(f"s{number}-", 4)])
    write_annotations(folder / "annotations", images, toy_objects([{"image_id": "s0-000"}]), toy_ledger(["part"]))
    report = CheckReport(
        passed=passed,
        stop_on=["error"],
        stops=[] if passed else ["unknown_label (3): A label is not among the known classes."],
        images=36,
        found=36,
        decoded=36,
        objects=1,
        objects_per_class={"part": 1},
        findings=0,
        severities={},
        rules=[],
        expectations={},
    )
    write_record(report, folder / "checks" / "report.json")
    write_table(looks(images), folder / "checks" / "duplicates.parquet", DUPLICATES)
    write_table(NO_PAIRS, folder / "checks" / "near_duplicates.parquet", NEAR_DUPLICATES)


def run_command(folder: Path, params: Path = REPOSITORY / "params.yaml") -> None:
    main(
        annotations=folder / "annotations",
        checks=folder / "checks",
        split_file=folder / "split.parquet",
        leakage=folder / "leakage.json",
        params=params,
    )


def test_a_rule_on_a_class_that_nobody_labelled_stops_before_anything_is_trained(tmp_path: Path) -> None:
    written_inputs(tmp_path, passed=True)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["gate"]["rules"] = ['recall of "parts" >= 0.5']
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(PipelineError, match=r"(?s)labelled nowhere.*no class 'parts', the nearest is 'part'"):
        run_command(tmp_path, tmp_path / "params.yaml")
    assert not (tmp_path / "split.parquet").exists()
