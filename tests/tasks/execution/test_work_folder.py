"""Progress is held by one process at a time, and by nobody once that process is gone."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.execution.work_folder import only_one
from tests.fixtures.repository import REPOSITORY

HOLDER = """
import sys
from pathlib import Path
from tasks.execution.work_folder import only_one
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
