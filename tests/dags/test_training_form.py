"""What a filled form sets, and what of it is refused."""

import sys
from typing import Any

import pytest

from tests.fixtures.repository import REPOSITORY

sys.path.append(str(REPOSITORY / "dags"))
import training_form
from training_form import KNOBS, OF_THE_RUN


def filled(**changes: Any) -> dict[str, Any]:
    """The form as it is shown, but for some values."""
    shown = {name: field["default"] for name, field in {**KNOBS, **OF_THE_RUN}.items()}
    return shown | {name.replace("__", "."): value for name, value in changes.items()}


def test_what_is_left_as_shown_is_not_set() -> None:
    assert training_form.values(filled()) == {}
    assert training_form.values(filled(train__epochs=99, seed=3)) == {"train.epochs": 99, "seed": 3}


def test_empty_lines_of_the_page_are_no_rules() -> None:
    shown = KNOBS["gate.rules"]["default"]
    assert training_form.values(filled(gate__rules=["", *shown, "  "])) == {}
    assert training_form.values(filled(gate__rules=[" map50 >= 0.9 ", ""])) == {"gate.rules": ["map50 >= 0.9"]}


def test_other_values_are_set_even_if_they_are_as_shown() -> None:
    shown = KNOBS["train.epochs"]["default"]
    chosen = training_form.values(filled(params={"train.epochs": shown, "train.optimizer": "SGD"}))
    assert chosen == {"train.epochs": shown, "train.optimizer": "SGD"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"gate.rules": "map50 >= 0.5"}, "gate.rules: 'map50 >= 0.5' is not of type 'array'"),
        ({"export.targets": "onnx"}, "export.targets: 'onnx' is not of type 'array'"),
        ({"use_case.target": "champion"}, "use_case.target: 'champion' is not one of"),
        ({"train.epochs": -3}, "train.epochs: -3 is less than the minimum of 1"),
    ],
)
def test_other_values_are_held_against_the_form(other: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        training_form.values(filled(params=other))


def test_number_that_yaml_takes_for_a_text_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(training_form.DEFAULTS["train"], "lr0", "1e-3")
    assert training_form.knob("train.lr0", "Training", "", type="number")["default"] == 0.001
