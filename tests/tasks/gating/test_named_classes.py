"""What rules and the use case name is labelled, or nothing is trained."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tasks.contracts.errors import PipelineError
from tasks.contracts.record import write_record
from tasks.contracts.verdict import Verdict
from tasks.gating.named_classes import refuse_names_without_labels, tell_of_other_classes
from tasks.gating.renames import rename_hint

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


def test_value_of_an_attribute_that_no_object_has_is_told(tmp_path: Path) -> None:
    rules = {"rules": ["recall where light = Dark >= 0.5", "recall where light = day >= 0.5"]}
    params = write(tmp_path, gate=rules, evaluate={"slice_attributes": ["light"]})
    with pytest.raises(PipelineError) as refused:
        refuse_names_without_labels(params, OBJECTS)
    assert refused.value.faults == [
        "gate.rules: recall where light = Dark >= 0.5: no light is 'Dark', the nearest is 'dark'; there are dark, day"
    ]


@pytest.mark.parametrize(
    ("before", "said"),
    [
        pytest.param(["crack", "bolt"], "", id="the same"),
        pytest.param([], "", id="none"),
        pytest.param(
            ["cracks", "bolt", "nut"],
            "classes are not those of the last run, gone: 'cracks', 'nut'; new: 'crack'. If that is another name for "
            'the same, set parse.rename: {"crack": "cracks"}',
            id="renamed",
        ),
        pytest.param(["bolt"], "classes are not those of the last run, new: 'crack'", id="a new one"),
        pytest.param(
            ["fissure", "bolt"],
            "classes are not those of the last run, gone: 'fissure'; new: 'crack'. If that is another name for the "
            'same, set parse.rename: {"crack": "fissure"}',
            id="one went and one came",
        ),
        pytest.param(
            ["CRACK", "Bolt"],
            "classes are not those of the last run, gone: 'Bolt', 'CRACK'; new: 'bolt', 'crack'. If that is another "
            'name for the same, set parse.rename: {"bolt": "Bolt", "crack": "CRACK"}',
            id="capitals",
        ),
    ],
)
def test_classes_that_came_or_went_since_the_last_run_are_told(
    before: list[str], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    judged = Verdict(
        accepted=True, target="onnx", outcome="accepted", reason="", targets={}, released=[], classes=before,
        champion_version=None,
    )  # fmt: skip
    write_record(judged, tmp_path / "verdict.json")
    tell_of_other_classes(tmp_path / "verdict.json", OBJECTS, {})
    assert caplog.messages == ([said] if said else [])


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"accepted": true}'], ids=["none", "empty", "a list", "no verdict"]
)
def test_without_a_verdict_of_a_last_run_nothing_is_told(
    content: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if content is not None:
        (tmp_path / "verdict.json").write_text(content)
    tell_of_other_classes(tmp_path / "verdict.json", OBJECTS, {})
    assert not caplog.messages


def test_params_without_rules_name_nothing(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    refuse_names_without_labels(tmp_path / "params.yaml", OBJECTS)


def test_class_that_parse_renames_is_told_so(tmp_path: Path) -> None:
    params = write(
        tmp_path,
        gate={"rules": ['recall of "bold" >= 0.5', 'recall of "crak" >= 0.5']},
        parse={"rename": {"bold": "bolt"}},
    )
    with pytest.raises(PipelineError) as refused:
        refuse_names_without_labels(params, OBJECTS)
    assert refused.value.faults == [
        "gate.rules: recall of \"bold\" >= 0.5: no class 'bold': parse.rename turns it into 'bolt'; write that name",
        "gate.rules: recall of \"crak\" >= 0.5: no class 'crak', the nearest is 'crack'; classes are bolt, crack",
    ]


def test_own_rename_is_named_and_no_rename_back_is_advised() -> None:
    assert rename_hint(["bold"], ["bolt"], {"bold": "bolt"}) == "parse.rename turns 'bold' into 'bolt'"
    assert 'set parse.rename: {"bolt": "bold"}' in rename_hint(["bold"], ["bolt"], {"nut": "bolt"})
    both = rename_hint(["WBC", "bold"], ["Leukocyte", "bolt"], {"WBC": "Leukocyte"})
    assert both == (
        "parse.rename turns 'WBC' into 'Leukocyte'. "
        'If that is another name for the same, set parse.rename: {"bolt": "bold"}'
    )
