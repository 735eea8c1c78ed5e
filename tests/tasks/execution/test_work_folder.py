"""Progress lies where its inputs say, and is held by one process at a time, by nobody once that process is gone."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Params
from tasks.execution.work_folder import only_one, work_folder
from tests.fixtures.repository import REPOSITORY

HOLDER = """
import sys
from pathlib import Path
from tasks.contracts.params import Params
from tasks.execution.work_folder import only_one, work_folder
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_process_holds_is_refused_until_that_process_is_killed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLDER, str(tmp_path)]
    repository = REPOSITORY
    with subprocess.Popen(words, cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        refusal = rf"another process is at this very work.*process {holder.pid}\. Wait for it or stop it"
        with pytest.raises(PipelineError, match=refusal), only_one(tmp_path):
            pass
        holder.kill()
    with only_one(tmp_path):
        assert (tmp_path / "lock").exists()


class BakeParams(Params):
    minutes: int = 5


def test_work_folder_follows_inputs_and_params(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "inner").mkdir(parents=True)
    (data / "inner" / "a.txt").write_text("1")
    first = work_folder(tmp_path / "work", "train", [data], BakeParams(), 7)
    assert work_folder(tmp_path / "work", "train", [data], BakeParams(), 7) == first
    assert work_folder(tmp_path / "work", "train", [data], BakeParams(minutes=6), 7) != first
    (data / "inner" / "a.txt").rename(data / "inner" / "b.txt")
    assert work_folder(tmp_path / "work", "train", [data], BakeParams(), 7) != first
