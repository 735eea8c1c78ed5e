"""The DAGs as Airflow reads them, held against dvc.yaml, params.yaml and the stages."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from tasks.contracts.params import Target
from tasks.contracts.use_case import METRIC, METRICS
from tasks.runtimes.kinds import KINDS
from tests.fixtures.airflow_environment import probe, probe_alone
from tests.fixtures.airflow_stand_in import git, make_repository
from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.slow

STAGES: dict[str, dict[str, Any]] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text("utf-8"))["stages"]
PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text("utf-8"))


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the DAGs say in a fresh process."""
    return probe_alone("dags", tmp_path_factory.mktemp("dags"))


@pytest.fixture(scope="module")
def tasks(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tasks of training."""
    found: dict[str, dict[str, Any]] = said["dags"]["training"]["tasks"]
    return found


def test_importing_the_dags_brings_nothing_heavy(said: dict[str, Any]) -> None:
    assert said["heavy"] == []


def test_dag_files_import_nothing_of_the_stages() -> None:
    imported = set()
    for file in (REPOSITORY / "dags").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported |= {name.split(".")[0] for name in names}
    assert not imported & {"tasks", "torch", "dvc", "mlflow", "ultralytics", "optuna"}


def test_dag_runs_the_stages_of_dvc_yaml_in_its_order(tasks: dict[str, dict[str, Any]]) -> None:
    assert set(STAGES) <= set(tasks)
    of_dag = closure({name: set(task["downstream"]) for name, task in tasks.items()})
    of_dvc = closure({name: {other for other in STAGES if reads(other, name)} for name in STAGES})
    assert {name: of_dag[name] & set(STAGES) for name in STAGES} == of_dvc


def reads(stage: str, earlier: str) -> bool:
    """Whether a dependency of `stage` is, holds or is held by an output of `earlier`."""
    outs = [path_of(out) for kind in ("outs", "metrics", "plots") for out in STAGES[earlier].get(kind, [])]
    deps = [path_of(dep) for dep in STAGES[stage]["deps"]]
    return any(f"{dep}/".startswith(f"{out}/") or f"{out}/".startswith(f"{dep}/") for dep in deps for out in outs)


def path_of(entry: str | Mapping[str, object]) -> str:
    return re.sub(r"\$\{.*?\}", "*", entry if isinstance(entry, str) else next(iter(entry)))


def closure(after: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """All that comes after each name, however far."""
    found = {name: set(direct) for name, direct in after.items()}
    for _ in found:
        found = {name: direct.union(*(found[other] for other in direct)) for name, direct in found.items()}
    return found


def test_every_stage_is_one_dvc_command_with_its_manual(tasks: dict[str, dict[str, Any]]) -> None:
    for name, stage in STAGES.items():
        target = f"{name}@{{instance}}" if "matrix" in stage else name
        assert said_to_dvc(tasks[name]["argv"], target) == ["--wait-for-lock", "repro", "--single-item", target]
        assert tasks[name]["mapped"] == ("matrix" in stage)
        assert tasks[name]["doc"].startswith(stage["desc"])
        assert "Example" in tasks[name]["doc"]


def said_to_dvc(argv: list[str], target: str) -> list[str]:
    """The arguments that dvc gets of a task's command."""
    if argv[0] == "dvc":
        return argv[1:]
    told = [target if word == "export@{instance}" else "echo" if word == "dvc" else word for word in argv]
    return subprocess.run(told, check=True, capture_output=True, text=True).stdout.split()


def test_champion_is_pulled_again_even_if_nothing_has_changed(tasks: dict[str, dict[str, Any]]) -> None:
    argv = tasks["export"]["argv"]
    assert "--force" in said_to_dvc(argv, "export@champion")
    assert "--force" not in said_to_dvc(argv, "export@onnx")


@pytest.mark.parametrize(("saved", "ends_well"), [("success", True), ("failed", False)])
def test_run_whose_data_was_not_saved_is_red_and_recorded(tmp_path: Path, saved: str, ends_well: bool) -> None:
    repository = make_repository(tmp_path / "repository")
    site = {"SIGHTLINE_REPOSITORY": str(repository), "SIGHTLINE_WORKSPACES": str(tmp_path / "workspaces")}
    site |= {"SIGHTLINE_CACHE": str(tmp_path / "cache"), "SAVED": saved}
    said = probe("recorded", tmp_path, **site)
    assert ("Clear `save`" not in said["raised"]) == ends_well
    assert git(repository, "branch", "--list", "runs/one").split() == ["runs/one"]


def test_failed_publish_and_record_decide_the_run(tasks: dict[str, dict[str, Any]]) -> None:
    # As Airflow takes it: what is followed by nothing that counts, teardowns only if they may fail the run.
    counts = {name for name, task in tasks.items() if task["reddens"] or not task["teardown"]}
    assert {name for name in counts if not counts & set(tasks[name]["downstream"])} == {"publish", "record"}


def test_restore_mends_what_a_killed_stage_left(tasks: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    def dvc(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", *words], cwd=tmp_path, check=True, capture_output=True)

    git(tmp_path, "init", "--quiet")
    dvc("init", "--quiet")
    (tmp_path / "dvc.yaml").write_text(
        "stages: {ingest: {cmd: mkdir -p raw && touch raw/a, outs: [raw: {persist: true}]}}"
    )
    dvc("repro", "--quiet")
    (tmp_path / ".git" / "sightline-persisted").write_text("raw\n")
    (tmp_path / "raw" / "b").write_text("taken in, and then killed before DVC knew of it")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(tasks["restore"]["argv"], cwd=tmp_path, check=True, env=os.environ | {"PATH": path})
    assert [file.name for file in (tmp_path / "raw").iterdir()] == ["a"]


def test_only_the_target_of_a_matrix_reaches_a_shell_line_of_dvc_yaml() -> None:
    templated = {value for stage in STAGES.values() for value in re.findall(r"\$\{(.*?)\}", stage["cmd"])}
    assert templated == {"item.target"}


def test_every_task_has_an_owner_and_an_end(said: dict[str, Any]) -> None:
    for dag in said["dags"].values():
        for name, task in dag["tasks"].items():
            assert task["owner"] == "vision", name
            assert task["timeout"], name


def test_judgements_are_not_repeated_and_servers_are_asked_again(tasks: dict[str, dict[str, Any]]) -> None:
    assert {tasks[name]["retries"] for name in ("doctor", "check", "split", "evaluate", "gate", "report")} == {0}
    assert {tasks[name]["retries"] for name in ("ingest", "tune", "train", "publish", "record")} == {2}


def test_stages_that_train_share_the_gpu_pool(tasks: dict[str, dict[str, Any]]) -> None:
    assert {name for name, task in tasks.items() if task["pool"] == "gpu"} == {"search", "tune", "train"}


def test_form_has_the_values_of_params_yaml(said: dict[str, Any]) -> None:
    form = said["dags"]["training"]["params"]
    fields = {name: param for name, param in form.items() if name not in {"revision", "workers", "params"}}
    for name, param in fields.items():
        value: Any = PARAMS
        for part in name.split("."):
            value = value[part]
        assert param["default"] == value, name
    assert {name.split(".")[0] for name in fields} <= {*STAGES, "seed", "use_case", "tracking"}


LABELS = (r'f1 of "5\" pipe"', 'f1 of "5" pipe"', r'f1 of "a\\b"', r'f1 of "a\b\q"', r'f1 of "\u00e9"', 'f1 of ""')


def test_form_offers_the_targets_and_metrics_that_the_stages_know(said: dict[str, Any]) -> None:
    form = {name: param["schema"] for name, param in said["dags"]["training"]["params"].items()}
    assert set(form["export.targets"]["items"]["enum"]) == set(get_args(Target))
    assert set(form["use_case.target"]["enum"]) == set(KINDS)
    for metric in (*METRICS, 'recall of "crack"', "mAP", 'map50 of "crack"', "recall of crack", "recall ", *LABELS):
        assert bool(re.search(form["use_case.metric"]["pattern"], metric)) == bool(METRIC.fullmatch(metric)), metric


def test_every_value_of_the_form_is_typed_described_and_grouped(said: dict[str, Any]) -> None:
    for name, param in said["dags"]["training"]["params"].items():
        assert param["description"], name
        assert {"type", "section", "title"} <= set(param["schema"]), name


def test_containers_are_wired_as_processes_are(tasks: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    # mapped tasks included, each provider imported only by its own runner
    said = probe_alone("dags", tmp_path, SIGHTLINE_RUNNER="docker")
    assert said["heavy"] == ["docker"]
    for name, task in said["dags"]["training"]["tasks"].items():
        assert task == tasks[name]


DETACHED = {
    "SIGHTLINE_DETACHED": "1",
    "SIGHTLINE_REPOSITORY": "https://git.example.com/sightline.git",
    "SIGHTLINE_REMOTE": "s3://bucket/sightline",
    "SIGHTLINE_PROGRESS": "progress",
}


def pods_of(folder: Path, **variables: str) -> dict[str, Any]:
    """The pod of every stage, on a site that has GPUs."""
    return probe("pods", folder, SIGHTLINE_RUNNER="kubernetes", SIGHTLINE_GPUS="1", **variables)


@pytest.fixture(scope="module")
def on_a_shared_volume(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return pods_of(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def detached(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return pods_of(tmp_path_factory.mktemp("detached"), **DETACHED)


@pytest.mark.parametrize("way", ["on_a_shared_volume", "detached"])
def test_pods_of_all_stages_are_valid_and_have_few_rights(way: str, request: pytest.FixtureRequest) -> None:
    pods: dict[str, Any] = request.getfixturevalue(way)
    assert set(STAGES) <= set(pods)
    for name, built in pods.items():
        assert built["fault"] is None, name
        spec = built["pod"]["spec"]
        container = spec["containers"][0]
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["automountServiceAccountToken"] is False, name
        rights = container["securityContext"]
        assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False), name
        assert rights["capabilities"] == {"drop": ["ALL"]}, name
        assert {"cpu", "memory"} <= set(container["resources"]["limits"]), name
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (name in {"search", "tune", "train"}), name


RUN = "manual__2026-01-01T00-00-00-00-00-1e8dc70c"


def test_pods_on_a_shared_volume_work_in_the_workspace_of_the_run(on_a_shared_volume: dict[str, Any]) -> None:
    for name, built in on_a_shared_volume.items():
        assert built["pod"]["spec"]["containers"][0]["workingDir"].endswith(RUN), name
        assert built["pod"]["metadata"]["labels"]["sightline/network"] == ("no" if name in CLOSED else "yes"), name
    assert "export@onnx" in on_a_shared_volume["export"]["pod"]["spec"]["containers"][0]["command"]


CLOSED = {"parse", "check", "split", "evaluate", "gate", "report"}


def test_detached_pods_get_repository_remote_and_run_and_no_shared_volume(detached: dict[str, Any]) -> None:
    assert set(detached) == {*STAGES, "search"}
    where = ["--repository=https://git.example.com/sightline.git", "--remote=s3://bucket/sightline", f"--run={RUN}"]
    program = ["python", "/opt/stages/detached.py"]
    for name, built in detached.items():
        spec = built["pod"]["spec"]
        command = spec["containers"][0]["command"]
        target = f"{name}@onnx" if "matrix" in STAGES.get(name, {}) else name
        if name == "search":
            assert command == [*program, "share", "tune", *where, "--output=--tuned", "--worker=onnx"]
        else:
            always = ["--always=export@champion"] if name == "export" else []
            assert command == [*program, "run", target, *where, "--progress=/progress", *always]
        claims = [volume["persistentVolumeClaim"] for volume in spec["volumes"] if "persistentVolumeClaim" in volume]
        assert claims == [{"claimName": "progress"}], name
        assert built["pod"]["metadata"]["labels"]["sightline/network"] == "yes", name


def test_failed_command_says_its_last_words_and_is_tried_again_only_if_that_can_help(
    tmp_path: Path,
) -> None:
    words = "error: no labels: data/raw. Add some"
    assert probe("failures", tmp_path) == {
        "user's fault": ["AirflowFailException", words],
        "detached, user's fault": ["AirflowFailException", words],
        "stage's fault": ["AirflowException", words],
        "out of memory": ["AirflowException", "Pod has failed"],
        "gone": ["AirflowException", "Pod has failed"],
        "command without DVC, user's fault": ["AirflowFailException", words],
        "deleted, but still there": [
            "AirflowException",
            "deleted pods do not end: train-1. "
            "Their node may be lost; once it is off, kubectl delete pod --force train-1",
        ],
    }


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SIGHTLINE_DETACHED": "1"}, "wants a URL as SIGHTLINE_REPOSITORY"),
        ({**DETACHED, "SIGHTLINE_RUNNER": "docker"}, "is for the runner kubernetes"),
    ],
)
def test_pods_that_could_not_reach_what_they_need_are_refused(variables: dict[str, str], said: str) -> None:
    sys.path.append(str(REPOSITORY / "dags"))
    from settings import read_settings  # noqa: PLC0415  # the folder is no package

    with pytest.raises(ValueError, match=said):
        read_settings({"SIGHTLINE_RUNNER": "kubernetes", **variables})
