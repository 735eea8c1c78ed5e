"""Params, tables and records: what every stage reads and writes."""

from pathlib import Path

import pandas as pd
import pytest
from pydantic import Field

from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.params import Params, Tracking, read_params, read_seed
from tasks.contracts.record import Record, read_record, write_record
from tasks.contracts.tables import OBJECTS, PREDICTIONS, SPLIT, counted, read_table, write_table
from tasks.contracts.use_case import UseCase
from tests.fixtures.tables import toy_objects


class BakeParams(Params):
    minutes: int = Field(default=5, ge=1)
    ways: list[str] = []
    heat: str = Field(default="low", pattern=r"^(low|high|\d+)$", description="low, high or degrees")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bake: {minuts: 3}", "bake.minuts is unknown (known: minutes, ways, heat)"),
        ("bake: {heat: 20C}", "bake.heat is '20C'; it takes low, high or degrees"),
        ("bake: {minutes: 0}", "bake.minutes: Input should be greater than or equal to 1"),
        ("bake: {minutes: soon, ways: 3}", "bake.ways: Input should be a valid list"),
        ("bake: 3", "bake: Input should be a valid dictionary"),
        ("[]", "params file has no sections"),
        ("bake: {", "params file is not YAML"),
    ],
    ids=[
        "unknown key",
        "pattern in words",
        "out of bounds",
        "all faults at once",
        "no mapping",
        "no sections",
        "no yaml",
    ],
)
def test_wrong_params_are_refused_with_name_and_reason(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(PipelineError) as caught:
        read_params(path, "bake", BakeParams)
    assert message in str(caught.value)


def test_missing_section_gives_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("seed: 7")
    assert read_params(path, "bake", BakeParams) == BakeParams()
    assert read_seed(path) == 7


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("-1", "seed -1 cannot be used.*from 0 to 4294967295"),
        ("4294967296", "from 0 to 4294967295"),
        ("true", "seed is missing"),
        ("soon", "seed is missing"),
    ],
)
def test_a_seed_that_no_generator_takes_is_refused(written: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"seed: {written}")
    with pytest.raises(PipelineError, match=message):
        read_seed(path)


def test_unknown_use_case_metric_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="map50_95"):
        UseCase(target="onnx", metric="accuracy")


@pytest.mark.parametrize(
    "name", ["Bob's parts", "line1/belt", "a:b", "", " belt", "belt ", ".", "../belt", "a#b", "belt/"]
)
def test_experiment_that_cannot_name_a_model_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a model; begin with a letter or digit"):
        Tracking(uri="sqlite:///mlflow.db", experiment=name)


@pytest.mark.parametrize("name", ["sightline", "b", "Bobs parts (new)", "Förderband-1.2_x", "belt@line=1,2"])
def test_experiment_that_can_name_a_model_stays(name: str) -> None:
    assert Tracking(uri="sqlite:///mlflow.db", experiment=name).experiment == name


def test_tables_keep_values_and_refuse_missing_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image_id": ["ä", "b"], "split": ["train", "test"], "group": ["g", "h"]})
    write_table(frame, tmp_path / "split.parquet", SPLIT)
    assert read_table(tmp_path / "split.parquet", SPLIT).to_dict("list") == frame.to_dict("list")
    with pytest.raises(PipelineError, match="table lacks label, score"):
        read_table(tmp_path / "split.parquet", PREDICTIONS)
    with pytest.raises(PipelineError, match="Run the stage that writes it"):
        read_table(tmp_path / "absent.parquet", SPLIT)


class Cake(Record):
    weight_g: float


def test_records_round_trip_and_name_the_file_when_broken(tmp_path: Path) -> None:
    path = tmp_path / "cake.json"
    write_record(Cake(weight_g=0.1 + 0.2), path)
    assert read_record(path, Cake) == Cake(weight_g=0.1 + 0.2)
    path.write_text('{"weight": 1}')
    with pytest.raises(PipelineError, match=r"cake\.json"):
        read_record(path, Cake)


def test_long_lists_of_faults_are_cut_and_counted() -> None:
    text = first_of([f"fault {number}" for number in range(1_023)])
    assert text.count("\n") == 20
    assert text.endswith("... and 1,003 more")


def test_objects_of_an_earlier_version_are_all_counted(tmp_path: Path) -> None:
    objects = toy_objects([{"image_id": "a"}]).drop(columns="ignored")
    objects.to_parquet(tmp_path / "objects.parquet")
    assert len(counted(read_table(tmp_path / "objects.parquet", OBJECTS))) == 1
