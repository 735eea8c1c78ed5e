"""Run the stages of a run where no disk is shared: machines meet in a Git repository and a DVC remote.

    detached.py start --repository URL --run NAME ...    the run's branch runs/NAME, with the form's values
    detached.py run STAGE --repository URL --run NAME    one stage of it, or of its instances: export@onnx
    detached.py share STAGE ...                          work that a stage finds done: trials of a search
    detached.py record --repository URL --run NAME       the end of the run, in whatever outcome

A stage gets what it reads from the remote, pushes what it writes, and lands its entry of dvc.lock, with what of its
outputs Git holds, on the branch. What has not changed is skipped, so any of it can be killed and run again.

Exit codes: 0 done, 2 a fault that the user can correct and no retry can, 143 stopped by SIGTERM, or the stage's own.
"""

import importlib
import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Annotated

import psutil
import typer
from dvc.exceptions import DownloadError, ReproductionError
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.stage.exceptions import StageNotFound
from git_command import GitError, git
from landing import Landing, land, yaml

log = logging.getLogger("detached")

USER_FAULT = 2
TERMINATED = 128 + signal.SIGTERM
# Less than the 30 s after which Kubernetes kills.
GRACE_SECONDS = 25
# DVC says how a command ended in words alone.
EXITED = re.compile(r"exited with (-?\d+)$")
RUN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")

Repository = Annotated[str, typer.Option(help="Git URL that the run is cloned from and recorded in")]
Run = Annotated[str, typer.Option(help="the run's name: letters, digits, - and _")]
Remote = Annotated[str, typer.Option(help="URL of the DVC remote; empty: the one that the repository is set to")]
Progress = Annotated[
    str, typer.Option(help="folder that outlives this machine: a killed stage goes on from there; empty: none")
]
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=__doc__)


class FaultError(Exception):
    """What the user can correct: told in one line, and not tried again."""


@app.command()
def start(
    *,
    repository: Repository,
    run: Run,
    revision: Annotated[str, typer.Option(help="branch, tag or commit; runs/... repeats a recorded run")] = "HEAD",
    text: Annotated[list[str], typer.Option(help="NAME=TEXT, by dotted name of params.yaml")] = [],  # noqa: B006
    value: Annotated[list[str], typer.Option(help="NAME=JSON, the same for all but texts")] = [],  # noqa: B006
    values: Annotated[str, typer.Option(help="JSON object of further values by dotted name")] = "{}",
    shown: Annotated[str, typer.Option(help="JSON object of what a form shows: left so, it is the revision's")] = "{}",
) -> None:
    """Make the run's branch: the revision, the form's values, and what earlier runs remember of images and labels."""
    form = dict(given.split("=", 1) for given in text)
    form |= {name: json.loads(given) for name, given in (pair.split("=", 1) for pair in value)}
    defaults = json.loads(shown)
    form = {name: given for name, given in form.items() if name not in defaults or given != defaults[name]}
    form |= json.loads(values)
    with _clone(repository, _named(run), branch=None) as clone:
        # Of the repository itself, Git's command too, so that a run starts alike wherever it is started.
        sys.path.insert(0, str(clone / "dags"))
        del sys.modules[git.__module__]
        settings, workspace, training_form = map(importlib.import_module, ("settings", "workspace", "training_form"))
        site = replace(settings.read_settings({}), repository=repository)
        try:
            training_form.check(form)
            branch = workspace.begin(run, revision, form, site)
        except ValueError as error:
            raise FaultError(str(error)) from error
    log.info("the run is branch %s", branch)


@app.command()
def run(
    stage: str,
    *,
    repository: Repository,
    run: Run,
    remote: Remote = "",
    progress: Progress = "",
    always: Annotated[str, typer.Option(help="the stage that runs even if nothing has changed")] = "",
) -> None:
    """Run one stage and land what it made."""
    with _clone(repository, _named(run), f"runs/{run}") as clone:
        _keep_progress(clone, progress, run)
        with Repo(str(clone)) as project:
            declared = _declared(project, stage, remote)
            _get_what_it_reads(project, declared)
            if not _reproduce(project, stage, force=stage == always):
                return
            project.push(targets=[stage])
            landing = _landing(clone, declared)
        land(clone, f"runs/{run}", landing)


@app.command()
def share(
    stage: str,
    *,
    repository: Repository,
    run: Run,
    output: Annotated[str, typer.Option(help="option of the stage's command that names its output")],
    worker: Annotated[str, typer.Option(help="name of this one among those that share the work")],
    remote: Remote = "",
) -> None:
    """Run a stage's command beside others, for the study that they share; nothing of it is landed."""
    with _clone(repository, _named(run), f"runs/{run}") as clone:
        if not yaml.load(clone / "params.yaml")[stage].get("storage"):
            log.warning("%s.storage names no database: the stage will search alone", stage)
            return
        with Repo(str(clone)) as project:
            declared = _declared(project, stage, remote)
            _get_what_it_reads(project, declared)
            with project.lock:
                changed = declared.changed(allow_missing=True)
        if changed:
            command = [*shlex.split(declared.cmd), output, f".work/share/{worker}"]
            sys.exit(subprocess.run(command, cwd=clone, check=False).returncode)  # noqa: S603  # of dvc.yaml, no shell


@app.command()
def record(
    repository: Repository,
    run: Run,
    status: Annotated[str, typer.Option(help="how it ended, as Kubeflow tells it: JSON with a `state`")] = "{}",
    progress: Progress = "",
) -> None:
    """Note the run's end on its branch; progress that no stage will ask for any more goes."""
    state = str(json.loads(status).get("state", "ended")).lower()
    with _clone(repository, _named(run), f"runs/{run}") as clone:
        land(clone, f"runs/{run}", Landing(f"Run {run}: {state}", {}, {}))
    if progress and state == "succeeded":
        shutil.rmtree(Path(progress, run), ignore_errors=True)


def _named(run: str) -> str:
    if not RUN_NAME.fullmatch(run):
        raise FaultError(f"{run!r} is no name of a run: letters, digits, - and _ make one")
    return run


@contextmanager
def _clone(repository: str, run: str, branch: str | None) -> Iterator[Path]:
    """A clone to work in, which goes afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{run}-", ignore_cleanup_errors=True) as folder:
        clone = Path(folder) / run
        options = ["--quiet", "--depth=1", *([f"--branch={branch}"] if branch else [])]
        try:
            git("clone", *options, "--", repository, str(clone), cwd=Path(folder))
        except GitError as error:
            if branch and f"Remote branch {branch} not found" in str(error):
                raise FaultError(f"{repository} has no branch {branch}: `start` makes it") from error
            raise
        with chdir(clone):
            yield clone


def _keep_progress(clone: Path, progress: str, run: str) -> None:
    if progress:
        kept = Path(progress, run)
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except PermissionError as error:
            raise FaultError(
                f"user {os.getuid()} may not write to the volume of progress: {progress}. "
                "Run the Job of docker/kubernetes/detached/volume.yaml, which gives it to the stages' user"
            ) from error
        (clone / ".work").symlink_to(kept)


def _declared(project: Repo, name: str, remote: str) -> PipelineStage:
    """The stage as dvc.yaml declares it, in a project that knows its remote."""
    with project.config.edit("local") as config:
        # Links, where the file system has them, so that the data lies here once.
        config["cache"] = {"type": ["reflink", "hardlink", "copy"]}
        if remote:
            config["core"] = {"remote": "site"}
            config["remote"] = {"site": {"url": remote}}
    if not project.config["core"].get("remote"):
        raise FaultError("no DVC remote is set: give --remote, or set one in the repository's .dvc/config")
    try:
        found = project.stage.collect(name)
    except StageNotFound as error:
        raise FaultError(f"dvc.yaml has no stage {name}") from error
    if len(found) != 1:
        raise FaultError(f"{name} has instances, and one runs at a time: {', '.join(one.addressing for one in found)}")
    declared: PipelineStage = found[0]
    return declared


def _get_what_it_reads(project: Repo, stage: PipelineStage) -> None:
    """Pull its dependencies, and what it remembers of its last run."""
    read = [PurePosixPath(dep.def_path) for dep in stage.deps]
    outputs = [out for out in project.index.outs if out.use_cache and out.hash_info]
    wanted = [out for out in outputs if any(_overlap(PurePosixPath(out.def_path), path) for path in read)]
    wanted += [out for out in stage.outs if out.persist and out.hash_info]
    # `Repo.pull` would read dvc.yaml and dvc.lock again for each of them, twice: seconds of every stage.
    for out in wanted:
        for remote, objects in out.get_used_objs().items():
            if project.cloud.pull(objects, odb=remote).failed:
                raise DownloadError(len(objects))
        out.checkout()
    # DVC would take a stage whose dependency is not there for unchanged.
    missing = [dep.def_path for dep in stage.deps if dep.is_in_repo and not dep.exists]
    if missing:
        raise FaultError(f"{stage.addressing} lacks what it reads: {', '.join(missing)}")


def _overlap(first: PurePosixPath, second: PurePosixPath) -> bool:
    return first.is_relative_to(second) or second.is_relative_to(first)


def _reproduce(project: Repo, stage: str, *, force: bool) -> bool:
    """Run the stage if it has changed; whether it has. Ends with the stage's exit code if that is not 0."""
    try:
        # Its outputs are on the remote and needed by others, not here.
        return bool(project.reproduce(stage, single_item=True, allow_missing=True, force=force))
    except ReproductionError as error:
        ended = EXITED.search(str(error.__cause__))
        if not ended:
            raise
        log.error("%s: %s", error, error.__cause__)  # noqa: TRY400  # the stage has said why
        sys.exit(int(ended[1]))


def _landing(clone: Path, stage: PipelineStage) -> Landing:
    entry = yaml.load(clone / "dvc.lock")["stages"][stage.addressing]
    names = [out.def_path for out in stage.outs if not out.use_cache]
    return Landing(stage.addressing, entry, {name: (clone / name).read_bytes() for name in names})


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Stop what was started and let it end well; as process 1 of a container nobody else would tell it."""
    started = psutil.Process().children(recursive=True)
    for process in started:
        process.terminate()
    psutil.wait_procs(started, timeout=GRACE_SECONDS)
    sys.exit(TERMINATED)


def main() -> None:
    """Run the command that the command line names."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # It has handlers of its own.
    logging.getLogger("dvc").propagate = False
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except FaultError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(USER_FAULT)


if __name__ == "__main__":
    main()
