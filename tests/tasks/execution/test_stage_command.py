"""The edge of a stage: outputs whole or not at all, and messages instead of tracebacks."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.contracts.machine_faults import machine_fault
from tasks.contracts.whole_output import whole_output
from tests.fixtures.repository import REPOSITORY

STAGE = '''
"""Adds a line.

In:   nothing
Out:  {out}
"""
import time
from pathlib import Path
from typing import Annotated
import typer
from tasks.contracts.errors import PipelineError
from tasks.execution.stage_command import run
from tasks.contracts.whole_output import whole_output

def main(out: Annotated[Path, typer.Option(help="where to write")], fail: bool = False, wait: bool = False) -> None:
    with whole_output(out) as partial:
        partial.write_text("half")
        if fail:
            raise PipelineError("label 'carr' is not known", "job 17, 00042.jpg", "Fix it in CVAT")
        if wait:
            print("waiting", flush=True)
            time.sleep(60)

if __name__ == "__main__":
    run(main)
'''


@pytest.fixture
def stage(tmp_path: Path) -> list[str]:
    module = tmp_path / "adds.py"
    module.write_text(STAGE)
    return [sys.executable, str(module), "--out", str(tmp_path / "out.txt")]


def repository_env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY)}


def test_user_fault_is_one_message_with_its_mend_and_exit_code_2(stage: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*stage, "--fail"], capture_output=True, text=True, env=repository_env(), check=False)
    assert done.returncode == 2
    assert done.stderr == "error: label 'carr' is not known: job 17, 00042.jpg. Fix it in CVAT\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adds.py"]


def test_list_of_faults_stands_on_lines_of_its_own() -> None:
    assert str(PipelineError("2 faults", "\n  - a\n  - b\n", "Correct them")) == "2 faults:\n  - a\n  - b\nCorrect them"
    assert str(PipelineError("2 faults", "a.xml:\n  - a", "Correct it")) == "2 faults: a.xml:\n  - a\nCorrect it"


def test_help_is_the_docstring_of_the_stage(stage: list[str]) -> None:
    done = subprocess.run([*stage, "--help"], capture_output=True, text=True, env=repository_env(), check=True)
    assert "In:   nothing\n  Out:  {out}" in done.stdout
    assert "where to write" in done.stdout


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=["SIGTERM", "SIGKILL"])
def test_stopped_stage_leaves_no_output_and_the_next_try_cleans_up(
    stage: list[str], tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    process = subprocess.Popen([*stage, "--wait"], stdout=subprocess.PIPE, env=repository_env())
    assert process.stdout is not None
    assert process.stdout.readline() == b"waiting\n"
    started = time.monotonic()
    process.send_signal(sent)
    assert process.wait(timeout=10) == code
    assert time.monotonic() - started < 10
    assert not (tmp_path / "out.txt").exists()

    subprocess.run(stage, env=repository_env(), check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adds.py", "out.txt"]


DROPPED = """
import os, signal, sys, time, weakref
from tasks.execution.stage_command import run
class Thing: pass
def callback(_reference):
    os.kill(os.getpid(), signal.SIGTERM)
    sum(range(100_000))
def main() -> None:
    thing = Thing()
    reference = weakref.ref(thing, callback)
    del thing
    print("goes on", flush=True)
    time.sleep(60)
run(main)
"""


def test_a_signal_that_python_drops_in_a_callback_stops_the_stage_all_the_same() -> None:
    command = [sys.executable, "-c", DROPPED]
    done = subprocess.run(command, env=repository_env(), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (143, "goes on\n")
    assert "Traceback" not in done.stderr


def write_folder(path: Path, text: str) -> None:
    with whole_output(path) as partial:
        partial.mkdir()
        (partial / "file.txt").write_text(text)


def test_folder_output_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, "old")
    write_folder(out, "new")
    assert (out / "file.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["out", "**", "job [1]", "what?"])
def test_leftovers_of_a_killed_try_are_removed_whatever_the_name(name: str, tmp_path: Path) -> None:
    (tmp_path / f".{name}.partial-1a2b3c4d").mkdir()
    (tmp_path / f".{name}.partial-5e6f7a8b").write_text("half")
    write_folder(tmp_path / name, "new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_failure_while_writing_keeps_the_old_output(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, "old")

    def break_off() -> None:
        with whole_output(out) as partial:
            partial.mkdir()
            raise OSError("disk is full")

    with pytest.raises(OSError, match="disk is full"):
        break_off()
    assert (out / "file.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        ("data/.annotations.partial-dc754be9", "data/annotations"),
        ("reports/.onnx.partial-0123abcd/predictions.parquet", "reports/onnx/predictions.parquet"),
        ("data/photo.partial-0123abcd", "data/photo.partial-0123abcd"),
    ],
    ids=["output", "file in an output", "another file of such a name"],
)
def test_what_the_machine_refuses_is_told_by_the_name_of_the_output(refused: str, told: str) -> None:
    fault = machine_fault(PermissionError(errno.EACCES, "Permission denied", refused))
    assert fault is not None
    assert (fault.what, fault.where) == ("no permission", told)
