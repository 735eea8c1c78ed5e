"""A run's own workspace: a Git clone at a revision that shares the DVC cache, recorded as a commit when the run ends.

What a run remembers of earlier ones, that is the exports taken and the earlier split, comes from a `dvc.lock`:

1. A revision that is a recorded run itself (`runs/...`) has its own memory: it is run again as it was.
2. Otherwise the newest recorded run of the same label source (`ingest.source`) is remembered, unless the revision
   brings a `dvc.lock` that is newer still, say of a `dvc repro` by hand.

So images never change splits from run to run, runs of other labels leave no trace, and two runs at the same time both
start from the same memory. Nobody has to merge run branches: they are what the next run reads.
"""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from git_command import AUTHOR, git
from params_file import write_params, yaml
from settings import Settings

log = logging.getLogger(__name__)

RUN_TRAILER = "Sightline-Run"
# What the newest of so many runs does not remember is no memory worth looking for.
RUNS_LOOKED_AT = 100
# Where weights given by name are kept, see train.allow_download.
WEIGHTS = ".cache/weights"
# Notes within .git, so that they are never part of a commit: what this run goes on from, the outputs of it that must be
# there, and that the run's state is safe in the repository.
MEMORY = ".git/sightline-memory"
PERSISTED = ".git/sightline-persisted"
RECORDED = ".git/sightline-recorded"


def run_name(run_id: str) -> str:
    """A run id as a name for its folder and its branch; ids that differ get names that differ."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}", run_id):
        return run_id
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', run_id)[:90].strip('-') or 'run'}-{digest}"


def make(path: Path, revision: str, values: Mapping[str, object], site: Settings) -> str:
    """Clone the site's repository at `revision` into `path`, go on from earlier runs, write `values` into params.yaml.

    `values` maps dotted names of params.yaml to what they shall be. A workspace that is there already is kept with
    the progress in it: only its params are written again. Returns the commit's hash. Raises ValueError if the revision
    or a name is unknown, or what goes live would not be exported.
    """
    if not (path / ".git").is_dir():
        fresh = path.with_name(f".{path.name}.partial")
        shutil.rmtree(fresh, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        git("clone", "--quiet", "--no-checkout", "--", site.repository, str(fresh), cwd=path.parent)
        try:
            git("checkout", "--quiet", "--detach", _commit(fresh, revision), cwd=fresh)
            _set_params(fresh, values)
        except ValueError:
            shutil.rmtree(fresh)
            raise
        _warn_of_changes(site.repository)
        _share_cache(fresh, site.cache)
        fresh.rename(path)
    # It may be at work again, and is not to be swept.
    (path / RECORDED).unlink(missing_ok=True)
    params = _set_params(path, values)
    _remember(path, str(params["ingest"]["source"]))
    _link_shared(path, site.shared, params)
    # For the task that restores them where dvc is.
    (path / PERSISTED).write_text("".join(f"{name}\n" for name in _persisted(path)), encoding="utf-8")
    return git("rev-parse", "HEAD", cwd=path)


def begin(run_id: str, revision: str, values: Mapping[str, object], site: Settings) -> str:
    """Make the branch of a run whose machines share no disk, for its stages to land on; its name.

    A run that has begun goes on: only its params are written again. Raises ValueError as `make` does, and where
    labels or tracking would be on one machine only.
    """
    name = run_name(run_id)
    with TemporaryDirectory() as folder:
        alone = replace(site, cache=Path(folder) / "cache", shared=Path(folder) / "shared")
        path, branch = Path(folder) / name, f"runs/{name}"
        begun = git("ls-remote", "--heads", "--", site.repository, f"refs/heads/{branch}", cwd=Path(folder))
        make(path, branch if begun else revision, values, alone)
        params = yaml.load(path / "params.yaml")
        check_source(path, "machines share no disk that has it; give s3://bucket/prefix")
        tracking = str(params["tracking"]["uri"])
        if not tracking.startswith(("http://", "https://")):
            raise ValueError(f"tracking.uri: machines share no disk for {tracking!r}; give the URL of an MLflow server")
        return record(path, run_id)


def check_source(path: Path, missing: str = "nothing is there; give a zip, a folder or s3://bucket/prefix") -> None:
    """Raises ValueError if the labels of a workspace are not on its disk: ingest would fail of it try after try."""
    source = str(yaml.load(path / "params.yaml")["ingest"]["source"])
    if "://" not in source and not (path / source).exists():
        raise ValueError(f"ingest.source is {source}: {missing}")


@contextmanager
def branch_files(repository: str, run: str) -> Iterator[Path]:
    """A folder with what Git holds of a run, while the block lasts."""
    with TemporaryDirectory() as folder:
        branch = ("--quiet", "--depth=1", f"--branch=runs/{run}")
        git("clone", *branch, "--", repository, folder, cwd=Path(folder))
        yield Path(folder)


def _commit(clone: Path, revision: str) -> str:
    for name in (f"refs/remotes/origin/{revision}", revision):
        found = git(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", cwd=clone, check=False
        )
        if found:
            return found
    raise ValueError(f"revision {revision!r} is neither a branch, a tag nor a commit of the repository")


def _warn_of_changes(repository: str) -> None:
    """A run is a commit: what a checkout holds beyond its commits is no part of it."""
    if Path(repository, ".git").is_dir():
        changed = git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no", cwd=Path(repository))
        names = [line.split(maxsplit=1)[1] for line in changed.splitlines()]
        if names:
            log.warning("not part of this run, as they are not committed: changes of %s", ", ".join(names))


def _share_cache(clone: Path, cache: Path) -> None:
    config = ("config", "--file", str(clone / ".dvc" / "config.local"))
    cache.mkdir(parents=True, exist_ok=True)
    git(*config, "cache.dir", str(cache), cwd=clone)
    # Links, so that a workspace costs no copy of the data; DVC keeps them read-only. A copy where the file system has
    # none, or cache and workspace are two mounts, as in containers of a Docker engine.
    git(*config, "cache.type", "reflink,hardlink,copy", cwd=clone)


def targets_of(path: Path) -> list[str]:
    """What the run of this workspace exports and measures."""
    return [str(target) for target in yaml.load(path / "params.yaml")["export"]["targets"]]


def _set_params(path: Path, values: Mapping[str, object]) -> Mapping[str, Any]:
    write_params(path / "params.yaml", values)
    params: Mapping[str, Any] = yaml.load(path / "params.yaml")
    target, targets = params["use_case"]["target"], targets_of(path)
    if target not in targets:
        # `gate` would say so, hours later.
        raise ValueError(f"use_case.target is {target}, which is not among export.targets ({', '.join(targets)})")
    return params


def _remember(path: Path, source: str) -> None:
    """Take dvc.lock, and what of the last run's outputs Git holds, from the run that this one goes on from."""
    if (path / MEMORY).exists():
        return
    run = _memory(path, source)
    if run is not None:
        recorded = git("ls-tree", "-r", "--name-only", run, "--", "dvc.lock", "reports", cwd=path).splitlines()
        if recorded:
            git("checkout", "--quiet", run, "--", *recorded, cwd=path)
        log.info("going on from %s", run)
    (path / MEMORY).write_text(run or "", encoding="utf-8")


def _memory(path: Path, source: str) -> str | None:
    if RUN_TRAILER in git("log", "-1", "--format=%B", cwd=path):
        return None
    own = int(git("log", "-1", "--format=%ct", "--", "dvc.lock", cwd=path) or 0)
    runs = git(
        "for-each-ref", "--sort=-committerdate", f"--count={RUNS_LOOKED_AT}",
        "--format=%(committerdate:unix) %(refname)", "refs/remotes/origin/runs", cwd=path,
    )  # fmt: skip
    for line in runs.splitlines():
        committed, run = line.split(" ", 1)
        if int(committed) < own:
            return None
        params = yaml.load(git("show", f"{run}:params.yaml", cwd=path))
        if str(params["ingest"]["source"]) == source and git("ls-tree", run, "dvc.lock", cwd=path):
            return run
    return None


def _link_shared(path: Path, shared: Path, params: Mapping[str, Any]) -> None:
    """Link what params name by a relative path and Git does not hold, so that params of a run mean the same elsewhere.

    These are labels and weights that are there, and what all runs write together, there or not yet: the embedded
    MLflow store and the release log.
    """
    tracking = params.get("tracking", {})
    written = {str(tracking.get("uri")), str(tracking.get("artifacts")), str(params.get("publish", {}).get("log"))}
    if "://" not in str(tracking.get("artifacts", "://")):
        (shared / tracking["artifacts"]).mkdir(parents=True, exist_ok=True)
    for text in {*_texts(params), WEIGHTS}:
        relative = PurePosixPath(text.removeprefix("sqlite:///"))
        if "://" in str(relative) or relative.is_absolute() or ".." in relative.parts or len(text) > 255:
            continue
        target, link = shared / relative, path / relative
        if (text in written or target.exists()) and not os.path.lexists(link):
            target.parent.mkdir(parents=True, exist_ok=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield str(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _persisted(path: Path) -> list[str]:
    """Outputs declared `persist: true` whose last state dvc.lock holds."""
    if not (path / "dvc.lock").is_file():
        return []
    declared = yaml.load(path / "dvc.yaml")["stages"]
    locked = yaml.load(path / "dvc.lock").get("stages", {})
    return [
        str(name)
        for stage, declaration in declared.items()
        if stage in locked
        for out in declaration.get("outs", [])
        if isinstance(out, dict)
        for name, options in out.items()
        if options and options.get("persist") and any(out["path"] == name for out in locked[stage].get("outs", []))
    ]


def record(path: Path, run_id: str) -> str:
    """Commit the run's params, dvc.lock and what of its outputs Git holds, push it as branch runs/<run>; its name.

    Repeating it moves the branch to the newest state of the same run.
    """
    branch = f"runs/{run_name(run_id)}"
    declared = [PurePosixPath(name) for name in _kept_in_git(path)]
    files = [str(name) for name in (PurePosixPath("params.yaml"), PurePosixPath("dvc.lock"), *declared)]
    present = [name for name in files if (path / name).is_file()]
    git("add", "--force", "--", *present, cwd=path)
    message = f"Run {run_id}\n\n{RUN_TRAILER}: {run_id}"
    git(*AUTHOR, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", message, cwd=path)
    git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}", cwd=path)
    (path / RECORDED).touch()
    log.info("recorded as %s at %s", branch, git("rev-parse", "HEAD", cwd=path))
    return branch


def _kept_in_git(path: Path) -> list[str]:
    stages = yaml.load(path / "dvc.yaml")["stages"].values()
    kinds = [declaration.get(kind, []) for declaration in stages for kind in ("outs", "metrics", "plots")]
    outs = [out for kind in kinds for out in kind if isinstance(out, dict)]
    return [str(name) for out in outs for name, options in out.items() if (options or {}).get("cache") is False]


def sweep(workspaces: Path, keep: int, days: int) -> list[str]:
    """Remove recorded workspaces beyond the newest `keep`, or older than `days`; the names of what went.

    A run that is not recorded may still be going on, and stays.
    """
    recorded = sorted(workspaces.glob(f"*/{RECORDED}"), key=lambda stamp: stamp.stat().st_mtime, reverse=True)
    oldest = time.time() - days * 86_400
    old = [stamp.parents[1] for i, stamp in enumerate(recorded) if i >= keep or stamp.stat().st_mtime < oldest]
    for path in old:
        # Set aside first: a workspace is there whole or not at all.
        aside = path.with_name(f".{path.name}.swept")
        path.rename(aside)
    for aside in workspaces.glob(".*.swept"):
        shutil.rmtree(aside, ignore_errors=True)
    return [path.name for path in old]
