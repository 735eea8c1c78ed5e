"""Where stages run and where files lie: SIGHTLINE_* variables, so that the same DAGs serve a laptop and a cluster."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

Runner = Literal["process", "docker", "kubernetes"]
CHECKOUT = Path(__file__).resolve().parents[1]
# In the image of the stages, where no disk is shared: the program that runs one, and the volume of its progress.
DETACHED = ("python", "/opt/stages/detached.py")
PROGRESS = "/progress"
# What lets Git in, say by a header: https://git-scm.com/docs/git-config, GIT_CONFIG_COUNT.
GIT_VARIABLES = ("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0")


@dataclass(frozen=True)
class Settings:
    """One site. Paths are absolute, and the same on every machine and in every container that runs a stage."""

    runner: Runner
    checkout: Path  # declarations that the DAGs read: dvc.yaml, params.yaml, tasks/*.py
    repository: str  # that runs are cloned from and recorded in: a path or a URL
    workspaces: Path  # one folder per run
    cache: Path  # the DVC cache that all runs share
    shared: Path  # where relative paths of params.yaml lie that Git does not hold: labels, weights, the MLflow store
    environment: Path  # process: the environment of the stages
    image: str  # docker, kubernetes: the image of the stages
    pass_on: tuple[str, ...]  # names of variables that stages get: credentials of storage and tracking
    gpus: bool  # docker, kubernetes: whether there are any; without, stages that train use the CPU
    network: str  # docker: the network of stages that need one
    namespace: str  # kubernetes
    claim: str  # kubernetes: the ReadWriteMany volume that holds workspaces, cache and shared
    detached: bool  # kubernetes: no such volume; stages meet in the repository and a DVC remote, as in Kubeflow
    git_secret: str  # detached, kubeflow: whose keys are variables of Git that let it in
    remote: str  # detached: URL of the DVC remote; none: the one that the repository is set to
    progress: str  # detached: the volume where killed training and search go on; none: they begin again
    scratch_gb: int  # detached: disk of a stage for its clone, what it reads and what it writes
    secret: str  # kubernetes: whose keys are the variables to pass on
    keep_workspaces: int  # of recorded runs, the newest; older ones are swept
    keep_days: int  # of recorded runs; what is older is swept
    schedule: str | None  # cron of training beside the labels; none: labels and hand only
    watch_every_minutes: int
    mlflow_url: str  # of the MLflow page, for links


def read_settings(variables: Mapping[str, str] = os.environ) -> Settings:
    """The site's settings; what is not set gets the embedded default, all of it below this checkout.

    Raises ValueError if the runner is unknown, a path is not absolute, or pods could not reach what they need.
    """

    def value(name: str, default: str) -> str:
        return variables.get(f"SIGHTLINE_{name}", "") or default

    def folder(name: str, default: Path) -> Path:
        path = Path(value(name, str(default)))
        if not path.is_absolute():
            raise ValueError(f"SIGHTLINE_{name} must be an absolute path, not {path}")
        return path

    runner = value("RUNNER", "process")
    if runner not in get_args(Runner):
        raise ValueError(f"SIGHTLINE_RUNNER must be one of {', '.join(get_args(Runner))}, not {runner!r}")
    detached = value("DETACHED", "") == "1"
    if detached and (runner != "kubernetes" or "://" not in value("REPOSITORY", "")):
        raise ValueError("SIGHTLINE_DETACHED is for the runner kubernetes, and wants a URL as SIGHTLINE_REPOSITORY")
    return Settings(
        runner=cast("Runner", runner),
        checkout=CHECKOUT,
        repository=value("REPOSITORY", str(CHECKOUT)),
        workspaces=folder("WORKSPACES", CHECKOUT / ".airflow" / "workspaces"),
        cache=folder("CACHE", CHECKOUT / ".dvc" / "cache"),
        shared=folder("SHARED", CHECKOUT),
        environment=folder("ENVIRONMENT", CHECKOUT / ".venv"),
        image=value("IMAGE", "sightline/stages:latest"),
        pass_on=tuple(value("PASS_ON", "").split()),
        gpus=value("GPUS", "") == "1",
        network=value("NETWORK", "bridge"),
        namespace=value("NAMESPACE", "sightline"),
        claim=value("CLAIM", "sightline"),
        detached=detached,
        git_secret=value("GIT_SECRET", "sightline-git"),
        remote=value("REMOTE", ""),
        progress=value("PROGRESS", ""),
        scratch_gb=int(value("SCRATCH_GB", "50")),
        secret=value("SECRET", "sightline"),
        keep_workspaces=int(value("KEEP_WORKSPACES", "10")),
        keep_days=int(value("KEEP_DAYS", "14")),
        schedule=value("SCHEDULE", "") or None,
        watch_every_minutes=int(value("WATCH_EVERY_MINUTES", "5")),
        mlflow_url=value("MLFLOW_URL", "http://127.0.0.1:5000"),
    )
