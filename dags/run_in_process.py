"""Run a stage as a process of the ML environment beside Airflow's: the embedded default."""

import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

# Names the dag, run, task, map index and try that a process works for, as a label names those of a container. Each
# part ends with a slash, so that no name begins another.
ATTEMPT = "SIGHTLINE_ATTEMPT"
# Airflow's supervisor kills after 5 s what does not end on SIGTERM, and on_kill with it.
GRACE_SECONDS = 3.0
# A fault that the user has to fix, and that no retry can: a stage's exit code, and DVC's last words on such a stage.
USER_FAULT = 2
DVC_TELLS_USER_FAULT = re.compile(rf"exited with {USER_FAULT}\b")
DVC_PASSES_ON = re.compile(r"ERROR: failed to reproduce .* exited with \d+$")
# A stage's error message may name twenty faults.
LINES_KEPT = 50


class ProcessStage(BaseOperator):
    """Runs one command in a run's workspace, without a shell; what it prints is the task's log.

    `instance` takes the place of {instance} in `argv`. `result` reads, from the workspace of a command that ended
    well, what becomes the task's XCom.
    """

    template_fields: Sequence[str] = ("argv", "workspace", "attempt", "instance")

    def __init__(
        self,
        *,
        argv: list[str],
        workspace: str,
        attempt: str,
        environment: str,
        instance: str = "",
        result: Callable[[Path], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.argv = argv
        self.workspace = workspace
        self.attempt = attempt
        self.environment = environment
        self.instance = instance
        self.result = result
        self._process: subprocess.Popen[str] | None = None
        self._mark = ""

    def execute(self, context: Context) -> Any:
        """End what an earlier try left, run the command, pass its lines on."""
        workspace = check_workspace(self.workspace)
        ended = end_processes(self.attempt)
        if ended:
            self.log.warning("ended %d processes that an earlier try had left", ended)
        argv = [part.replace("{instance}", self.instance) for part in self.argv]
        self.log.info("in %s: %s", workspace, " ".join(argv))
        # With the try, as a supervisor that has lost its task to a later one must not end what that one has begun.
        self._mark = f"{self.attempt}{context['ti'].try_number}/"
        tail: deque[str] = deque(maxlen=LINES_KEPT)
        # A session of its own, so that SIGTERM reaches the stage and all that it started.
        self._process = subprocess.Popen(  # noqa: S603
            argv,
            cwd=workspace,
            env=stage_environment(Path(self.environment), workspace, self._mark),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip():
                tail.append(line.rstrip())
                self.log.info("%s", tail[-1])
        code = self._process.wait()
        if code:
            raise failure(code, tail, f"{argv[0]} ended with {code}")
        return self.result(workspace) if self.result else None

    def on_kill(self) -> None:
        """Stop the stage and all that it started; called on SIGTERM, time-out and failure by hand."""
        if self._process is not None:
            end_processes(self._mark)


def check_workspace(workspace: str) -> Path:
    """The workspace's path; AirflowFailException if it is not there."""
    path = Path(workspace)
    if not path.is_dir():
        raise AirflowFailException(f"workspace {path} was swept: clear the task `workspace` and all behind it")
    return path


def failure(code: int, lines: Sequence[str], otherwise: str) -> AirflowException:
    """What to raise of a command that printed these lines and ended so: its last words, with or without a retry."""
    final = code == USER_FAULT or (bool(lines) and DVC_TELLS_USER_FAULT.search(lines[-1]))
    return (AirflowFailException if final else AirflowException)(last_words(lines) or otherwise)


def last_words(lines: Sequence[str]) -> str:
    """What a failed stage said in the end: its error message, else its last line, but for DVC's own about it."""
    own = [line for line in lines if not DVC_PASSES_ON.match(line)]
    begin = max((number for number, line in enumerate(own) if line.startswith("error: ")), default=-1)
    return "\n".join(own[begin:])


def stage_environment(environment: Path, workspace: Path, attempt: str) -> dict[str, str]:
    """Airflow's variables without its own settings, among them its secrets, and with the ML environment first."""
    inherited = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        inherited.pop(name, None)
    path = f"{environment / 'bin'}{os.pathsep}{inherited.get('PATH', os.defpath)}"
    # DVC keeps notes on a repository elsewhere, which would outlive the workspace.
    notes = {"DVC_SITE_CACHE_DIR": str(workspace / ".dvc" / "tmp" / "site")}
    return {**inherited, **notes, "PATH": path, "PYTHONUNBUFFERED": "1", ATTEMPT: attempt}


def end_processes(attempt: str) -> int:
    """Stop every process whose attempt begins so, first kindly, then for good; how many there were.

    They are known by a variable that children inherit, so one whose parent was killed is found, too.
    """
    seen: set[int] = set()
    while found := list(_processes(attempt)):
        seen.update(process.pid for process in found)
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        _, stubborn = psutil.wait_procs(found, timeout=GRACE_SECONDS)
        for process in stubborn:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(stubborn, timeout=GRACE_SECONDS)
    return len(seen)


def _processes(attempt: str) -> list[psutil.Process]:
    """Those that carry the attempt's mark, and whatever else is in their sessions."""
    living, sessions = [], set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            session = os.getsid(process.pid)
            living.append((session, process))
            if process.environ().get(ATTEMPT, "").startswith(attempt):
                sessions.add(session)
    sessions.discard(os.getsid(0))
    return [process for session, process in living if session in sessions]
