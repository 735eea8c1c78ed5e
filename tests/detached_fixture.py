"""A site whose machines share a bare Git repository and a DVC remote, with stages that stand in."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.airflow_stand_in import git, make_repository

REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAM = REPOSITORY / "docker" / "stages" / "detached.py"
TARGETS = ["pytorch", "onnx"]


@contextmanager
def running_parent() -> Iterator[subprocess.Popen[str]]:
    """The process that the program's are forked from."""
    command = [sys.executable, "-m", "tests.detached_parent", str(PROGRAM)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:  # ends with its input
        yield parent


class Site:
    """A bare repository and a remote; what a machine of the site is told."""

    def __init__(self, folder: Path, parent: subprocess.Popen[str], remote: str = "") -> None:
        self.folder = folder
        self.parent = parent
        self.source = make_repository(folder / "repository")
        self.repository = folder / "bare.git"
        git(folder, "clone", "--quiet", "--bare", str(self.source), str(self.repository))
        self.remote = remote or str(folder / "remote")

    def command(self, what: str, run: str, *arguments: str) -> list[str]:
        verb, *rest = what.split()
        # By a protocol, as a folder would be copied with its whole history.
        common = ["--repository", self.repository.as_uri(), "--run", run]
        where = ["--remote", self.remote] if verb in {"run", "share"} else []
        return [sys.executable, str(PROGRAM), verb, *rest, *common, *where, *arguments]

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "STAND_IN_JOURNAL": str(self.folder / "journal.txt"), "SHELL": "/bin/sh"}

    def call(self, what: str, run: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program in a process of its own, which begins with the imports done."""
        assert self.parent.stdin is not None
        assert self.parent.stdout is not None
        command = self.command(what, run, *arguments)
        files = [self.folder / "output.txt", self.folder / "errors.txt"]
        print(json.dumps([command[2:], self.environment(), list(map(str, files))]), file=self.parent.stdin, flush=True)
        code = int(self.parent.stdout.readline())
        return subprocess.CompletedProcess(command, code, *(file.read_text() for file in files))

    def do(self, what: str, run: str, *arguments: str) -> str:
        done = self.call(what, run, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def start(self, run: str, **values: object) -> None:
        self.do("start", run, *self.form(**values))

    def form(self, **values: object) -> list[str]:
        """Options of `start`; a dot of a name is written as two underscores."""
        given = {
            "ingest.source": str(self.source / "samples"),
            "tracking.uri": "http://mlflow:5000",
            "use_case.target": "onnx",
            "export.targets": TARGETS,
            "train.epochs": 2,
            **{name.replace("__", "."): value for name, value in values.items()},
        }
        texts = [f"--text={name}={value}" for name, value in given.items() if isinstance(value, str)]
        others = [f"--value={name}={json.dumps(value)}" for name, value in given.items() if not isinstance(value, str)]
        return [*texts, *others]

    def commits(self, run: str) -> list[str]:
        return git(self.repository, "log", "--reverse", "--format=%s", f"main..runs/{run}").splitlines()

    def show(self, run: str, file: str) -> str:
        return git(self.repository, "show", f"runs/{run}:{file}")


def land(clone: Path) -> None:
    """Land an entry by the name of the clone's folder; here, where a process that begins with it imports little."""
    sys.path.append(str(PROGRAM.parent))
    import landing  # noqa: PLC0415  # the folder is no package

    made = landing.Landing(clone.name, {"cmd": clone.name}, {f"reports/{clone.name}.json": b"{}"})
    landing.land(clone, "runs/one", made)
