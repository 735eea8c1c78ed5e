"""What cannot work is told before anything runs: all of it at once, and within seconds."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from tasks.command.params_classes import params_classes
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Target
from tasks.contracts.release import Change
from tasks.contracts.sections import AllParams
from tasks.doctor import DoctorParams, doctor, main
from tests.fixtures.doctor import Sections, change, told
from tests.fixtures.repository import REPOSITORY

pytest_plugins = ["tests.fixtures.doctor"]


def test_params_of_the_repository_work(sections: Sections) -> None:
    assert told(sections) == []


@pytest.mark.parametrize(
    ("dotted", "value", "said"),
    [
        pytest.param("gatee", {"rules": []}, "gatee is unknown; the nearest section is gate", id="unknown section"),
        pytest.param("epochs", 3, "epochs is unknown", id="unknown at the top"),
        pytest.param("7", 3, "7 is unknown", id="a number for a name"),
        pytest.param("gate.rulez", [], "gate.rulez is unknown (known: confidence, rules)", id="unknown name"),
        pytest.param(
            "export.tolerance.int8.max_px", 3, "export.tolerance.int8.max_px is unknown", id="unknown name far below"
        ),
        pytest.param("train.epochs", "many", "train.epochs: Input should be a valid integer", id="no number"),
        pytest.param("split.fractions.train", 0.9, "they must be 1", id="fractions beyond all"),
        pytest.param("use_case.metric", "mAP", "'mAP' is not a metric", id="unknown metric"),
        pytest.param("use_case.operating_point", "recall > 1", "operating point 'recall > 1' is not", id="point"),
        pytest.param("use_case.target", "onnxx", "use_case.target is 'onnxx', which is not in", id="unknown target"),
        pytest.param("use_case.target", "champion", "use_case.target is 'champion', which is", id="champion goes live"),
        pytest.param("use_case.target", "tensorrt-fp16", "which is not in export.targets", id="target not made"),
        pytest.param("export.targets", ["onnx", "coreml"], "export.targets.1: Input should be", id="no such target"),
        pytest.param("gate.rules", ["map50 > 0.6"], "'map50 > 0.6': not of any form", id="unread rule"),
        pytest.param("gate.rules", ["mAP >= 0.6"], "'mAP >= 0.6': not of any form; write map50", id="unread"),
        pytest.param(
            "gate.rules",
            ["map50 >= 0.6 at 99.9 % confidence"],
            "map50 >= 0.6 at 99.9 % confidence: 1,000 resamples cannot be that sure; set evaluate.resamples to 5,000",
            id="too sure",
        ),
        pytest.param("gate.confidence", 99.99, "1,000 resamples cannot be that sure", id="too sure in general"),
        pytest.param(
            "gate.rules",
            ['recall of "nut" where size = tiny >= 0.5'],
            "no size 'tiny'; sizes are small, medium, large",
            id="no such size",
        ),
        pytest.param(
            "gate.rules",
            ['recall of "nut" where sise = small >= 0.5'],
            "no slices by 'sise', the nearest is 'size'; see evaluate.slice_attributes",
            id="no such slice",
        ),
        pytest.param("evaluate.slice_attributes", ["size"], "'size' is there twice", id="slice twice"),
        pytest.param(
            "tune.space",
            {"lr": {"low": 0.1, "high": 0.2}},
            "tune.space: lr is no parameter of ultralytics that can be",
            id="no parameter",
        ),
        pytest.param(
            "tune.space", {"scale": {"low": 0.1, "high": 7}}, "tune.space: scale 7.0: Input should be", id="bounds"
        ),
        pytest.param("ingest.source", "nowhere", "ingest.source: nowhere is not there; give a zip", id="no labels"),
        pytest.param("train.model", "yolo26n.pt", "weights 'yolo26n.pt' are neither here nor in", id="no weights"),
        pytest.param("train.model", "own/best.pt", "train.model: own/best.pt is not there", id="no file of weights"),
        pytest.param("train.model", "yolo-tiny.yaml", "architecture 'yolo-tiny.yaml' is not", id="no architecture"),
        pytest.param("train.device", "7", "train.device: '7' is not there, this machine has", id="no such GPU"),
        pytest.param("train.device", "0,1", "train.device: '0,1' is not there", id="no two GPUs"),
        pytest.param("evaluate.device", "9", "evaluate.device: '9' is not there", id="no GPU to measure on"),
        pytest.param(
            "export.targets", ["openvino-int8", "onnx", "onnx"], "export.targets: onnx stands there twice", id="twice"
        ),
        pytest.param("seed", -1, "seed -1 cannot be used", id="seed"),
    ],
)
def test_what_cannot_work_is_told_by_its_param(
    dotted: str, value: object, said: str, sections: Sections, tmp_path: Path
) -> None:
    change(dotted, value)(sections)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
    with pytest.raises(PipelineError, match=re.escape(said)):
        main(params=tmp_path / "params.yaml")


def test_default_champion_rule_without_the_champion_is_told_before_anything_runs(sections: Sections) -> None:
    change("export.targets", ["openvino-int8"])(sections)
    assert told(sections) == [
        "gate.rules: drop of map50 <= 0.05: the checkpoint is not evaluated; add pytorch to export.targets",
        "gate.rules: map50 not worse than champion by 0.05: the champion is not evaluated; add champion to "
        "export.targets",
    ]


def test_classes_are_held_to_those_that_parse_is_told_to_expect(sections: Sections) -> None:
    change("parse.classes", ["crack", "bolt", "nut", "scrap"])(sections)
    change("parse.drop", ["scrap"])(sections)
    change("use_case.metric", 'recall of "Crack"')(sections)
    change("use_case.operating_points", {"bolts": "recall >= 0.9"})(sections)
    change("gate.rules", ['recall of "scrap" >= 0.5', 'ap50 of "nut" >= 0.5', 'drop of recall of "bol" <= 0.1'])(
        sections
    )
    assert told(sections) == [
        "gate.rules: recall of \"scrap\" >= 0.5: no class 'scrap', the nearest is 'crack'; "
        "classes are crack, bolt, nut",
        "gate.rules: drop of recall of \"bol\" <= 0.1: no class 'bol', the nearest is 'bolt'; "
        "classes are crack, bolt, nut",
        "use_case.metric: no class 'Crack', the nearest is 'crack'; classes are crack, bolt, nut",
        "use_case.operating_points: no class 'bolts', the nearest is 'bolt'; classes are crack, bolt, nut",
    ]


def test_a_section_that_is_missing_is_one_fault_and_hides_no_others(sections: Sections) -> None:
    del sections["check"], sections["evaluate"]
    change("use_case.target", "torch")(sections)
    faults = told(sections)
    assert faults[:2] == ["section check is missing", "section evaluate is missing"]
    assert len(faults) == 3


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"gate: [", b"- 1", b""], ids=["bytes", "cut", "list", "empty"])
def test_a_file_that_is_no_params_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(PipelineError, match=r"params file (is not YAML|has no sections)"):
        main(params=tmp_path / "params.yaml")


def test_a_class_that_parse_renames_is_told_before_labels_are_read(sections: Sections) -> None:
    change("gate.rules", ['recall of "WBC" >= 0.5', 'precision of "Leukocyte" >= 0.5'])(sections)
    change("parse.rename", {"WBC": "Leukocyte"})(sections)
    said = (
        "gate.rules: recall of \"WBC\" >= 0.5: no class 'WBC': parse.rename turns it into 'Leukocyte'; write that name"
    )
    assert told(sections) == [said]
    change("parse.rename", {"WBC": "Leukocyte", "white": "WBC"})(sections)
    assert told(sections) == []


def test_a_class_that_new_labels_may_bring_is_no_fault(sections: Sections) -> None:
    change("gate.rules", ['recall of "dent" >= 0.5'])(sections)
    assert told(sections) == []


NOT_CHECKED = "classes that rules and use_case name are not checked before labels are read; split does it: "


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gate.rules": ['recall of "dent" >= 0.5', 'precision of "dent" >= 0.5']}, [NOT_CHECKED + '"dent"']),
        (
            {"use_case.metric": 'ap50 of "dent"', "use_case.operating_points": {"nut": "recall >= 0.9"}},
            [NOT_CHECKED + '"dent", "nut"'],
        ),
        ({"gate.rules": ["map50 >= 0.5"]}, []),
        ({"gate.rules": ['ap50 of "dent" >= 0.5'], "parse.classes": ["dent"]}, []),
    ],
    ids=["a rule", "use_case", "no class named", "classes known"],
)
def test_classes_that_cannot_be_checked_yet_are_named_in_a_line(
    changes: Sections, said: list[str], sections: Sections, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for dotted, value in ({"gate.rules": ["map50 >= 0.5"]} | changes).items():
        change(dotted, value)(sections)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
    with caplog.at_level("INFO"):
        main(params=tmp_path / "params.yaml")
    assert [line for line in caplog.messages if "not checked" in line] == said


def test_all_faults_are_told_at_once_the_first_twenty_and_the_count(sections: Sections, tmp_path: Path) -> None:
    change("gate.rules", [f"map50 > 0.{number}" for number in range(23)])(sections)
    change("gatee", {})(sections)
    change("use_case.target", "torch")(sections)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
    with pytest.raises(PipelineError, match="25 things cannot work") as refused:
        main(params=tmp_path / "params.yaml")
    assert len(refused.value.where.splitlines()) == 22
    assert "gatee is unknown" in refused.value.where
    assert "... and 5 more" in refused.value.where


def test_report_is_the_same_whatever_the_params_say(sections: Sections, tmp_path: Path) -> None:
    reports = []
    for epochs in (3, 4):
        change("train.epochs", epochs)(sections)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
        main(report=tmp_path / "reports" / "doctor.json", params=tmp_path / "params.yaml")
        reports.append((tmp_path / "reports" / "doctor.json").read_bytes())
    assert reports[0] == reports[1]


def test_only_the_champion_hears_of_the_list_of_targets(sections: Sections, tmp_path: Path) -> None:
    written = []
    for targets in (["pytorch", "openvino-int8", "champion"], ["champion", "onnx", "pytorch", "openvino-int8"]):
        change("export.targets", targets)(sections)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
        main(targets=tmp_path / "targets", params=tmp_path / "params.yaml")
        written.append({file.name: file.read_text() for file in (tmp_path / "targets").iterdir()})
    assert set(written[0]) == {f"{target}.json" for target in get_args(Target)}
    assert {name for name in written[0] if written[0][name] != written[1][name]} == {"champion.json"}


def test_nothing_is_written_behind_a_fault(sections: Sections, tmp_path: Path) -> None:
    change("gatee", {})(sections)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
    with pytest.raises(PipelineError):
        main(report=tmp_path / "doctor.json", params=tmp_path / "params.yaml")
    assert not (tmp_path / "doctor.json").exists()


def test_a_release_log_whose_registry_is_lost_is_told_with_the_way_out(sections: Sections, tmp_path: Path) -> None:
    line = Change(time="2026-01-01T00:00:00.000Z", who="me", action="release", version="1", before=None, why="")
    change("publish.log", "releases.jsonl")(sections)
    (tmp_path / "releases.jsonl").write_text(f"{line.model_dump_json()}\n")
    (fault,) = told(sections)
    assert fault.startswith("publish.log: the release log names a champion that the registry does not have")
    assert "set publish.new_registry: true" in fault
    (tmp_path / "folder").mkdir()
    change("publish.log", "folder")(sections)
    assert told(sections) == ["publish.log: release log is no file: folder. Move away what is there, and restore it "
                              "from Git"]  # fmt: skip


def test_a_gpu_of_intels_is_not_looked_for_among_those_of_nvidia(sections: Sections) -> None:
    change("export.targets", ["openvino-fp32", "openvino-int8"])(sections)
    change("evaluate.device", "0")(sections)
    change("gate.rules", ["map50 >= 0.6"])(sections)
    assert told(sections) == []


def test_less_space_than_asked_for_is_told(sections: Sections) -> None:
    found = doctor(AllParams(sections, params_classes()), DoctorParams(timeout_seconds=3, min_free_gigabytes=1e9))
    assert len(found) == 1
    assert "GB are free on the disk, doctor.min_free_gigabytes asks for 1e+09" in found[0]


PROGRAM = """
import runpy, sys
sys.argv[:] = ["doctor"]
try:
    runpy.run_module("tasks.doctor", run_name="__main__")
finally:
    print(sorted({"torch", "ultralytics", "mlflow"} & set(sys.modules)))
"""


def test_command_needs_no_option_and_neither_torch_nor_the_training_library(tmp_path: Path, sections: Sections) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing stands in the way" in done.stderr
    assert "code of ultralytics is under AGPL-3.0" in done.stderr
    assert done.stdout.strip() == "[]"
    assert {path.name for path in tmp_path.iterdir()} == {"samples", "params.yaml", "tasks"}
