"""The whole pipeline by `dvc repro`, small: from labels to a registered model, whatever stops it."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from tests.fixtures.forks import words_of
from tests.fixtures.machine import Machine, Refused, running_machine
from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.slow

# Where a stage has no name of its own in the matrix, one of its targets stands for all.
STAGES = {"ingest": "ingest", "parse": "parse", "check": "check", "split": "split", "tune": "tune", "train": "train"}
STAGES |= {
    "export": "export@onnx",
    "evaluate": "evaluate@onnx",
    "gate": "gate",
    "report": "report",
    "publish": "publish",
}


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def change_params(folder: Path, changes: dict[str, dict[str, object]]) -> None:
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for section, values in changes.items():
        params[section].update(values)
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def prepared(folder: Path) -> Path:
    """A checkout with the sample, and with params that make every stage short."""
    tracked = run(REPOSITORY, "git", "ls-files", "tasks", ".dvc", ".dvcignore", ".gitignore", "dvc.yaml", "params.yaml")
    for name in tracked.stdout.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, folder / name)
    run(folder, "git", "init", "--quiet")
    change_params(
        folder,
        {
            "use_case": {"target": "onnx"},
            "tune": {"trials": 1, "epochs": 1},
            "train": {"epochs": 2},
            "export": {"targets": ["onnx", "champion"]},
            # One thread: several spin while they wait for a core that another test has.
            "evaluate": {"resamples": 100, "latency_images": 20, "threads": 1},
            "gate": {"rules": ["size <= 50 MB", "map50 >= 0"]},
        },
    )
    drawn = run(folder, "python", "-m", "tasks.sample", "--to", "samples", "--images", "96")
    assert drawn.returncode == 0, drawn.stderr
    return folder


def results(folder: Path) -> dict[str, bytes]:
    """What must not depend on how often a run was stopped: all but latencies, and digests of what holds them."""
    names = ["data/annotations/images.parquet", "data/annotations/objects.parquet", "data/annotations/ledger.json"]
    names += ["data/split.parquet", "data/checks/findings.parquet", "models/tuned/best.json"]
    names += ["reports/evaluation/onnx/predictions.parquet"]
    verdict = json.loads((folder / "reports" / "verdict.json").read_text())
    del verdict["evaluations_sha256"]
    return {name: (folder / name).read_bytes() for name in names} | {"verdict": json.dumps(verdict).encode()}


def repro_killed_at_work(folder: Path, stage: str) -> subprocess.CompletedProcess[str]:
    """`dvc repro` of a stage, whose own process gets SIGKILL once it has said what it is at."""
    words = ["dvc", "repro", STAGES[stage]]
    with subprocess.Popen(
        words, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as repro:
        assert repro.stdout is not None
        heard, at_work = "", False
        for line in repro.stdout:
            heard += line
            if at_work:
                child = next(
                    child for child in psutil.Process(repro.pid).children(recursive=True) if is_of(child, stage)
                )
                child.kill()
                break
            at_work = line.startswith(f"> python -m tasks.{stage} ")
        heard += repro.stdout.read()
    return subprocess.CompletedProcess(words, repro.returncode, heard)


def is_of(process: psutil.Process, stage: str) -> bool:
    words = process.cmdline()
    return words[1:3] == ["-m", f"tasks.{stage}"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run was stopped at every stage, and went on to its end each time."""
    folder = prepared(tmp_path_factory.mktemp("pipeline"))
    for stage in STAGES:
        killed = repro_killed_at_work(folder, stage)
        assert killed.returncode != 0, f"{stage} ended before it was killed:\n{killed.stdout}"
    done = run(folder, "dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_killed_anywhere_and_run_again_labels_become_a_registered_champion(checkout: Path) -> None:
    release = json.loads((checkout / "reports" / "release.json").read_text())
    assert (release["version"], release["alias"]) == ("1", "champion")
    assert release["targets"] == ["onnx"]
    assert (checkout / "reports" / "report.html").stat().st_size > 50_000


@pytest.fixture(scope="module")
def machine(checkout: Path) -> Iterator[Machine]:
    with running_machine(checkout) as machine:
        yield machine


def test_killed_anywhere_and_run_again_it_ends_as_the_commands_alone_do(
    checkout: Path, tmp_path: Path, machine: Machine
) -> None:
    folder = prepared(tmp_path)
    locked = yaml.safe_load((checkout / "dvc.lock").read_text())["stages"]
    for name in (name for stage in STAGES for name in locked if name.partition("@")[0] == stage):
        if name == "report":
            break  # what is compared is there
        done = machine.forks.run(words_of(locked[name]["cmd"]), folder, environment())
        assert done.returncode == 0, done.stderr
    undisturbed = results(folder)
    assert {name: content == undisturbed[name] for name, content in results(checkout).items()} == dict.fromkeys(
        undisturbed, True
    )


def refusal(done: Refused) -> str:
    """The one message of a stage that the machine refused something, which has left nothing half done."""
    (message,) = [line for line in done.said.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.said
    assert "partial" not in done.said
    assert done.code == 2
    return message.removeprefix("error: ")


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "doctor"])
def test_a_full_disk_is_one_message_of_every_stage_which_goes_on_when_there_is_room(
    machine: Machine, tmp_path: Path, stage: str
) -> None:
    # Those of the next but one test go on there.
    done = machine.refused(tmp_path / "disk", stage, "full", again=stage in {"tune", "publish"})
    assert re.match(
        r"the disk is full: [\w./:-]+, 0\.0 MB free( \([\w' ]+ cannot be used\))?\. Make room there, .* and run again",
        refusal(done),
    )


@pytest.mark.parametrize("stage", ["parse", "publish"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no-right", "no permission: .*Give this user"),
        ("read-only", "the disk can only be read: .*Mount it for writing"),
    ],
)
def test_a_disk_that_may_not_be_written_is_one_message(
    machine: Machine, tmp_path: Path, stage: str, fault: str, words: str
) -> None:
    assert re.match(words, refusal(machine.refused(tmp_path / "disk", stage, fault)))


@pytest.mark.parametrize(
    ("stage", "room"),  # bytes: less than its outputs take
    [("check", 40_000), ("train", 1_800_000), ("export", 300_000), ("evaluate", 20_000), ("report", 100_000)],
)
def test_a_disk_that_runs_full_midway_is_one_message_and_loses_nothing(
    machine: Machine, tmp_path: Path, stage: str, room: int
) -> None:
    done = machine.refused(tmp_path / "disk", stage, "full", room=room, again=True)
    assert refusal(done).startswith("the disk is full: ")


def test_second_repro_does_nothing(checkout: Path) -> None:
    done = run(checkout, "dvc", "repro")
    assert "Data and pipelines are up to date" in done.stdout
    assert stages_run(done.stdout) == []


def test_one_more_target_is_held_to_the_champion_and_makes_the_next_version(checkout: Path) -> None:
    change_params(checkout, {"export": {"targets": ["onnx", "pytorch", "champion"]}})
    done = run(checkout, "dvc", "repro")
    assert done.returncode == 0, done.stderr
    # What was made and measured before is not made and measured again; the champion is that of the day.
    exports = [f"export@{target}" for target in ("pytorch", "champion")]
    evaluations = ["evaluate@pytorch", "evaluate@champion"]
    assert sorted(stages_run(done.stdout)) == sorted(["doctor", *exports, *evaluations, "gate", "report", "publish"])
    release = json.loads((checkout / "reports" / "release.json").read_text())
    assert (release["version"], release["targets"]) == ("2", ["onnx", "pytorch"])


def test_rejection_stops_at_publish_and_a_limit_of_the_checks_trains_nothing(checkout: Path) -> None:
    before = (checkout / "dvc.lock").read_bytes()
    change_params(checkout, {"gate": {"rules": ["size <= 0.01 MB"]}, "check": {"min_objects_per_class": 20}})
    done = run(checkout, "dvc", "repro")
    assert done.returncode != 0
    assert stages_run(done.stdout) == ["doctor", "check", "split", "gate", "report", "publish"]
    assert "onnx is rejected and not published" in done.stderr
    assert re.search(r"- size <= 0.01 MB: rejected; size is \S+ MB, \S+ MB over the 0.01 MB", done.stderr)
    assert "ejected" in (checkout / "reports" / "report.html").read_text()
    assert (checkout / "dvc.lock").read_bytes() != before


def test_one_changed_label_takes_one_export_in_and_moves_no_image(checkout: Path) -> None:
    before = pd.read_parquet(checkout / "data" / "annotations" / "objects.parquet").set_index("object_id")
    split = pd.read_parquet(checkout / "data" / "split.parquet")
    relabel_one(checkout / "samples" / "belt.zip", 'label="nut"', 'label="bolt"')
    done = run(checkout, "dvc", "repro", "split")
    assert done.returncode == 0, done.stderr
    assert stages_run(done.stdout) == ["ingest", "parse", "check", "split"]
    assert "ingested 1 new exports" in done.stdout + done.stderr
    after = pd.read_parquet(checkout / "data" / "annotations" / "objects.parquet").set_index("object_id")
    changed = before["label"] != after["label"].reindex(before.index)
    assert (before.loc[changed, "label"].tolist(), after.loc[changed[changed].index, "label"].tolist()) == (
        ["nut"],
        ["bolt"],
    )
    pd.testing.assert_frame_equal(split, pd.read_parquet(checkout / "data" / "split.parquet"))
    status = run(checkout, "dvc", "status").stdout
    assert "train:" in status


def relabel_one(export: Path, old: str, new: str) -> None:
    """Change the first such label, as a labeller would, and export again."""
    with zipfile.ZipFile(export) as before:
        content = {name: before.read(name) for name in before.namelist()}
    content["annotations.xml"] = content["annotations.xml"].replace(old.encode(), new.encode(), 1)
    with zipfile.ZipFile(export, "w") as after:
        for name, data in content.items():
            after.writestr(name, data)
