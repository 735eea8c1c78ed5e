"""The Kubeflow pipeline, held against dvc.yaml and the DAG, and run in containers with stages that stand in."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dags.test_dags import STAGES, closure, reads
from tests.fixtures.airflow_environment import probe
from tests.fixtures.airflow_stand_in import git, make_repository
from tests.fixtures.engine import IMAGE, hand_over, need_engine
from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.slow

KUBEFLOW = REPOSITORY / ".venv-kubeflow" / "bin"
SITE = {
    "SIGHTLINE_GPUS": "1",
    "SIGHTLINE_PASS_ON": "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY",
    "SIGHTLINE_SECRET": "storage",
    "SIGHTLINE_PROGRESS": "progress",
}
# Wired in every outcome, or around the stages.
AROUND = {"start", "search"}


def kubeflow(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Kubeflow's environment."""
    if not KUBEFLOW.is_dir():
        pytest.fail("Kubeflow's environment is missing: `make test` makes it")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE")}
    environment = {**inherited, "PYTHONPATH": str(REPOSITORY / "dags"), "SIGHTLINE_IMAGE": IMAGE, **variables}
    return subprocess.run(
        [KUBEFLOW / command[0], *command[1:]], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What `make kubeflow` writes for a site: the pipeline, and what is Kubernetes' own about it."""
    file = tmp_path_factory.mktemp("kubeflow") / "training.yaml"
    source = REPOSITORY / "dags" / "training_kubeflow.py"
    done = kubeflow("kfp", "dsl", "compile", "--py", source, "--function", "training", "--output", file, **SITE)
    assert done.returncode == 0, done.stdout + done.stderr
    return list(yaml.safe_load_all(file.read_text()))


@pytest.fixture(scope="module")
def steps(compiled: list[dict[str, Any]]) -> dict[str, Any]:
    """The steps between start and end of a run."""
    pipeline = compiled[0]
    (group,) = set(pipeline["root"]["dag"]["tasks"]) - {"record"}
    found: dict[str, Any] = pipeline["components"][f"comp-{group}"]["dag"]["tasks"]
    return found


@pytest.fixture(scope="module")
def executors(compiled: list[dict[str, Any]]) -> dict[str, Any]:
    """The container of each step."""
    found = compiled[0]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): executor["container"] for name, executor in found.items()}


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAG of Airflow."""
    dag: dict[str, Any] = probe("dags", tmp_path_factory.mktemp("dags"))["dags"]["training"]
    return dag


def test_pipeline_runs_the_stages_of_dvc_yaml_in_its_order(steps: dict[str, Any]) -> None:
    assert set(steps) == {*STAGES, *AROUND}
    before = {name: set(step.get("dependentTasks", [])) for name, step in steps.items()}
    of_kubeflow = closure({name: {other for other in steps if name in before[other]} for name in steps})
    of_dvc = closure({name: {other for other in STAGES if reads(other, name)} for name in STAGES})
    assert {name: of_kubeflow[name] & set(STAGES) for name in STAGES} == of_dvc
    assert of_kubeflow["start"] == set(steps) - {"start"}
    assert "tune" in of_kubeflow["search"]


def test_every_step_is_the_program_with_its_stage_and_no_shell(executors: dict[str, Any]) -> None:
    for name, container in executors.items():
        assert container["command"] == ["python", "/opt/stages/detached.py"]
        assert container["image"] == IMAGE
        stage = f"{name}@{{{{$.inputs.parameters['instance']}}}}" if "matrix" in STAGES.get(name, {}) else name
        first = {"search": ["share", "tune"], "start": ["start"], "record": ["record"]}.get(name, ["run", stage])
        assert container["args"][: len(first)] == first
        assert "--run={{$.pipeline_job_uuid}}" in container["args"]


def test_form_is_that_of_the_dag(compiled: list[dict[str, Any]], training: dict[str, Any]) -> None:
    form = training["params"]
    given = compiled[0]["root"]["inputDefinitions"]["parameters"]
    assert set(given) == {*(name.replace(".", "_") for name in form), "repository", "remote"}
    for name, param in form.items():
        if name != "workers":
            assert given[name.replace(".", "_")]["defaultValue"] == param["default"], name
            assert given[name.replace(".", "_")]["description"] == param["description"], name
    # Nothing of the machine that compiles.
    assert "defaultValue" not in given["repository"]


def test_every_value_of_the_form_reaches_the_start(executors: dict[str, Any], compiled: list[dict[str, Any]]) -> None:
    used = set(re.findall(r"parameters\['(\w+)'\]", " ".join(executors["start"]["args"])))
    assert used == set(compiled[0]["root"]["inputDefinitions"]["parameters"]) - {"workers", "remote"}


def test_steps_get_what_pods_of_the_dag_get(
    executors: dict[str, Any], compiled: list[dict[str, Any]], tmp_path: Path
) -> None:
    pods = probe("pods", tmp_path, SIGHTLINE_RUNNER="kubernetes", SIGHTLINE_GPUS="1")
    own = compiled[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name in {*STAGES, "search"}:
        limits = pods[name]["pod"]["spec"]["containers"][0]["resources"]["limits"]
        resources = executors[name]["resources"]
        assert resources["resourceCpuLimit"] == limits["cpu"], name
        assert resources["resourceMemoryLimit"] == limits["memory"], name
        gpus = resources.get("accelerator", {}).get("resourceCount")
        assert gpus == limits.get("nvidia.com/gpu"), name
        secrets = own[f"exec-{name}"]["secretAsEnv"]
        assert [entry["secretName"] for entry in secrets] == ["storage", "sightline-git"]
        assert [entry["envVar"] for entry in secrets[0]["keyToEnv"]] == SITE["SIGHTLINE_PASS_ON"].split()
        assert own[f"exec-{name}"]["securityContext"]["runAsNonRoot"], name
    assert {name for name, entry in own.items() if "pvcMount" in entry} == {"exec-tune", "exec-train", "exec-record"}


def test_retries_and_limits_of_time_are_those_of_the_dag_and_a_rejection_is_not_repeated(
    compiled: list[dict[str, Any]], training: dict[str, Any]
) -> None:
    tasks = training["tasks"]
    own = compiled[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    every = [one["dag"]["tasks"] for one in compiled[0]["components"].values() if "dag" in one]
    told = {name: task for one in every for name, task in one.items() if task["componentRef"]["name"] == f"comp-{name}"}
    for name in {*STAGES, "search"}:
        expected = 0 if name == "publish" else tasks[name]["retries"]
        assert told[name].get("retryPolicy", {}).get("maxRetryCount", 0) == expected, name
        assert int(own[f"exec-{name}"]["activeDeadlineSeconds"]) == tasks[name]["timeout"], name


def test_nothing_is_taken_from_the_cache_of_kubeflow(compiled: list[dict[str, Any]]) -> None:
    every = [one["dag"]["tasks"] for one in [*compiled[0]["components"].values(), compiled[0]["root"]] if "dag" in one]
    containers = [task for one in every for task in one.values() if _is_container(compiled[0], task)]
    assert len(containers) == len(STAGES) + len(AROUND) + 1
    assert not [task for task in containers if task.get("cachingOptions", {}).get("enableCache")]


def _is_container(pipeline: dict[str, Any], task: dict[str, Any]) -> bool:
    return "executorLabel" in pipeline["components"][task["componentRef"]["name"]]


@pytest.mark.flows
def test_rejected_model_fails_the_run_at_publish_and_the_run_is_recorded(tmp_path: Path) -> None:
    need_engine()
    source, bare = make_repository(tmp_path / "repository"), tmp_path / "bare.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(source), str(bare))
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "workspace").mkdir()
    tmp_path.chmod(0o755)
    hand_over(tmp_path)
    inputs = {
        "repository": bare.as_uri(),
        "remote": str(tmp_path / "remote"),
        "ingest_source": str(source / "samples"),
        "export_targets": ["pytorch", "onnx"],
        "use_case_target": "onnx",
        "train_epochs": 2,
        "gate_rules": ["impossible"],
        "params": {"tracking.uri": "http://mlflow:5000"},
        "workers": ["one", "two"],
    }
    ran = kubeflow("python", REPOSITORY / "tests" / "fixtures" / "kubeflow_probe.py", tmp_path, json.dumps(inputs))
    assert ran.returncode != 0
    assert "short by 0.2" in ran.stdout + ran.stderr
    (run,) = git(tmp_path, "--git-dir", str(bare), "branch", "--list", "--format=%(refname:short)", "runs/*").split()
    landed = git(tmp_path, "--git-dir", str(bare), "log", "--reverse", "--format=%s", f"main..{run}").splitlines()
    name = run.removeprefix("runs/")
    assert landed[:8] == [f"Run {name}", "doctor", "ingest", "parse", "check", "split", "tune", "train"]
    assert set(landed[8:10]) == {"export@pytorch", "export@onnx"}
    assert set(landed[10:12]) == {"evaluate@pytorch", "evaluate@onnx"}
    assert landed[12:] == ["gate", "report", f"Run {name}: failed"]
