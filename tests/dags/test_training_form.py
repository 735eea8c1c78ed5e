"""What a filled form sets, and what of it is refused."""

import sys
from typing import Any

import jsonschema
import pytest

from tests.fixtures.repository import REPOSITORY
from tests.params_schema import FILE, schema_text

sys.path.append(str(REPOSITORY / "dags"))
import training_form
from training_form import OF_THE_RUN, PARAMETERS


def filled(**changes: Any) -> dict[str, Any]:
    """The form as it is shown, but for some values."""
    shown = {name: field["default"] for name, field in {**PARAMETERS, **OF_THE_RUN}.items()}
    return shown | {name.replace("__", "."): value for name, value in changes.items()}


def test_what_is_left_as_shown_is_not_set() -> None:
    assert training_form.values(filled()) == {}
    assert training_form.values(filled(train__epochs=99, seed=3)) == {"train.epochs": 99, "seed": 3}


def test_empty_lines_of_the_page_are_no_rules() -> None:
    shown = PARAMETERS["gate.rules"]["default"]
    assert training_form.values(filled(gate__rules=["", *shown, "  "])) == {}
    assert training_form.values(filled(gate__rules=[" map50 >= 0.9 ", ""])) == {"gate.rules": ["map50 >= 0.9"]}


def test_other_values_are_set_even_if_they_are_as_shown() -> None:
    shown = PARAMETERS["train.epochs"]["default"]
    chosen = training_form.values(filled(params={"train.epochs": shown, "train.optimizer": "SGD"}))
    assert chosen == {"train.epochs": shown, "train.optimizer": "SGD"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"gate.rules": "map50 >= 0.5"}, "gate.rules: 'map50 >= 0.5' is not of type 'array'"),
        ({"export.targets": "onnx"}, "export.targets: 'onnx' is not of type 'array'"),
        ({"use_case.target": "champion"}, "use_case.target: 'champion' is not one of"),
        ({"export.targets": ["onnx", "onnx"]}, r"export.targets: \['onnx', 'onnx'\] has non-unique elements"),
        ({"train.epochs": -3}, "train.epochs: -3 is less than the minimum of 1"),
        ({"train.model": "yolo26n"}, "train.model: 'yolo26n' does not match"),
        ({"ingest.source": ""}, "ingest.source: '' should be non-empty"),
        ({"seed": 2**32}, "seed: 4294967296 is greater than the maximum of 4294967295"),
    ],
)
def test_other_values_are_held_against_the_form(other: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        training_form.values(filled(params=other))


def test_number_that_yaml_takes_for_a_text_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(training_form.DEFAULTS["train"], "lr0", "1e-3")
    assert training_form.field("train.lr0", "Training")["default"] == 0.001


def test_text_and_bounds_are_those_of_the_params_classes() -> None:
    assert FILE.read_text() == schema_text(), f"{FILE} is stale: run `python -m tests.params_schema` and commit it"


def test_params_yaml_fits_the_schema_by_which_editors_check_it() -> None:
    said = (FILE.parents[1] / "params.yaml").read_text().splitlines()[0]
    assert said == f"# yaml-language-server: $schema=dags/{FILE.name}"
    jsonschema.validate(training_form.DEFAULTS, training_form.SCHEMA)


def test_values_that_may_be_null_have_types_that_the_page_of_airflow_draws() -> None:
    assert training_form.SCHEMA["$defs"]["TuneParams"]["properties"]["storage"]["type"] == ["string", "null"]
