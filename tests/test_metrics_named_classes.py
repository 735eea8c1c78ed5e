"""What rules and the use case name is labelled, or nothing is trained."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tasks.contracts.errors import PipelineError
from tasks.metrics.named_classes import refuse_names_without_labels

OBJECTS = pd.DataFrame(
    {"label": ["crack", "bolt", "bolt"], "attributes": ['{"light": "dark"}', "{}", '{"light": "day", "wet": "no"}']}
)


def write(folder: Path, **changes: Any) -> Path:
    sections = {
        "use_case": {"target": "onnx", "metric": "map50"},
        "gate": {"rules": ["map50 >= 0.6"], "confidence": 95},
    }
    for section, values in changes.items():
        sections[section] = sections.get(section, {}) | values
    (folder / "params.yaml").write_text(yaml.safe_dump(sections))
    return folder / "params.yaml"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_case": {"metric": 'ap50 of "crack"', "operating_points": {"bolt": "recall >= 0.9"}}},
        {"gate": {"rules": ['recall of "crack" where size = small >= 0.5', "ap50 of each class >= 0.5"]}},
        {"evaluate": {"slice_attributes": ["light", "wet"], "resamples": 100}},
    ],
    ids=["no names", "use case", "rules", "attributes"],
)
def test_names_that_are_labelled_pass(changes: dict[str, Any], tmp_path: Path) -> None:
    refuse_names_without_labels(write(tmp_path, **changes), OBJECTS)


def test_all_names_that_are_labelled_nowhere_are_told_with_the_nearest(tmp_path: Path) -> None:
    params = write(
        tmp_path,
        use_case={"metric": 'ap50 of "cracks"', "operating_points": {"Bolt": "recall >= 0.9"}},
        gate={"rules": ['recall of "crak" >= 0.5', 'drop of recall of "zebra" <= 0.1']},
        evaluate={"slice_attributes": ["Light"]},
    )
    with pytest.raises(PipelineError, match="params name what is labelled nowhere") as refused:
        refuse_names_without_labels(params, OBJECTS)
    assert refused.value.faults == [
        "gate.rules: recall of \"crak\" >= 0.5: no class 'crak', the nearest is 'crack'; classes are bolt, crack",
        "gate.rules: drop of recall of \"zebra\" <= 0.1: no class 'zebra'; classes are bolt, crack",
        "use_case.metric: no class 'cracks', the nearest is 'crack'; classes are bolt, crack",
        "use_case.operating_points: no class 'Bolt', the nearest is 'bolt'; classes are bolt, crack",
        "evaluate.slice_attributes: no object has 'Light', the nearest is 'light'; attributes are light, wet",
    ]


def test_params_without_rules_name_nothing(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    refuse_names_without_labels(tmp_path / "params.yaml", OBJECTS)
