"""`stage("train", ...)`: one stage of dvc.yaml as an Airflow task. The only place that knows how Airflow runs one."""

import ast
import json
import shlex
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import yaml
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator, BaseOperatorLink, XComArg
from airflow.sdk.configuration import conf
from settings import DETACHED, PROGRESS, read_settings

SETTINGS = read_settings()
DECLARED: dict[str, dict[str, Any]] = yaml.safe_load((SETTINGS.checkout / "dvc.yaml").read_text("utf-8"))["stages"]
# dvc runs in the run's workspace; run_name is a macro of the DAG.
WORKSPACE = f"{SETTINGS.workspaces}/{{{{ run_name(run_id) }}}}"
ATTEMPT = "{{ dag.dag_id }}/{{ run_id }}/{{ task.task_id }}/{{ ti.map_index }}/"

Mapped = XComArg | list[str]


class ReportLink(BaseOperatorLink):
    """The run's report, as the api-server shows it."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002
        """The address of the page."""
        return report_url(ti_key.dag_id, ti_key.run_id)


class TrackingLink(BaseOperatorLink):
    """The training's run in MLflow; the page of all experiments while there is none."""

    name = "MLflow"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002
        """The address of the run's page."""
        return mlflow_url(Path(getattr(operator, "workspace", "")))


class ModelLink(BaseOperatorLink):
    """The registered version of the model in MLflow; the page of all models while there is none."""

    name = "Model"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002
        """The address of the version's page."""
        return model_url(Path(getattr(operator, "workspace", "")))


def report_url(dag_id: str, run_id: str) -> str:
    """Where the plugin run_pages shows a run's report."""
    return page_url(f"sightline/{quote(dag_id, safe='')}/{quote(run_id, safe='')}/report")


def page_url(path: str) -> str:
    """A page of the api-server, which may stand below a path of its host."""
    return f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}/{path}"


def mlflow_url(workspace: Path) -> str:
    """The page of the run that `models/trained/card.json` names."""
    card = _read(workspace / "models" / "trained" / "card.json")
    if not card.get("run_id"):
        return SETTINGS.mlflow_url
    return f"{SETTINGS.mlflow_url}/#/experiments/{card['experiment_id']}/runs/{card['run_id']}"


def model_url(workspace: Path) -> str:
    """The page of the version that `reports/release.json` names."""
    release = _read(workspace / "reports" / "release.json")
    versions = f"/{quote(release['model'], safe='')}/versions/{release['version']}" if release else ""
    return f"{SETTINGS.mlflow_url}/#/models{versions}"


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return found


def stage(name: str, *, over: Mapped | None = None, always: str = "", **how: Any) -> Any:
    """The task of a stage of dvc.yaml; mapped over the instances of its matrix if `over` is given.

    The instance `always` runs even if nothing that DVC knows of has changed. `how` is what `command` takes.
    """
    target = f"{name}@{{instance}}" if over is not None else name
    argv = ["dvc", "--wait-for-lock", "repro", "--single-item", target]
    if SETTINGS.detached:
        progress = [f"--progress={PROGRESS}"] if SETTINGS.progress else []
        argv = _detached("run", target, *progress, *([f"--always={name}@{always}"] if always else []))
    elif always:
        # The script is constant; what it runs stands behind it, as arguments.
        script = 'case "$0" in "$1") set -- "$@" --force;; esac; shift; exec "$@" "$0"'
        argv = ["sh", "-c", script, target, f"{name}@{always}", *argv[:-1]]
    manual = ast.get_docstring(ast.parse((SETTINGS.checkout / "tasks" / f"{name}.py").read_text("utf-8"))) or ""
    doc_md = f"{DECLARED[name]['desc']}.\n\n```\n{manual}\n```"
    return command(name, argv, over=over, doc_md=doc_md, **how)


def worker(task_id: str, name: str, *, output: str, over: Mapped, **how: Any) -> Any:
    """Mapped tasks that share the work of stage `name` beforehand, by the same command; none if nothing is to be done.

    `output` is the option whose folder the stage itself will write: a worker's goes where nobody looks.
    """
    # The script is constant; what it runs stands behind it, as arguments.
    script = 'dvc --wait-for-lock status --quiet "$0" || exec "$@"'
    argv = ["sh", "-c", script, name, *shlex.split(DECLARED[name]["cmd"]), output, f".work/{task_id}/{{instance}}"]
    if SETTINGS.detached:
        argv = _detached("share", name, f"--output={output}", "--worker={instance}")
    doc_md = f"Work on the study of `{name}`, which the task of that name then sums up; nothing if it has not changed."
    return command(task_id, argv, over=over, doc_md=doc_md, **how)


def around(task_id: str, script: str, **how: Any) -> Any:
    """A task with a constant shell script for all stages of a run; nothing where each does that for itself."""
    if SETTINGS.detached:
        return EmptyOperator(task_id=task_id)
    return command(task_id, ["sh", "-c", script], network=True, **how)


def _detached(verb: str, target: str, *options: str) -> list[str]:
    """The command of a stage that gets what it reads, and lands what it made, by itself."""
    where = [f"--repository={SETTINGS.repository}", f"--remote={SETTINGS.remote}", "--run={{ run_name(run_id) }}"]
    return [*DETACHED, verb, target, *where, *options]


def command(
    task_id: str,
    argv: list[str],
    *,
    timeout: timedelta,
    over: Mapped | None = None,
    retries: int = 0,
    pool: str = "default_pool",
    cpus: float = 1,
    memory_gb: float = 2,
    gpus: int = 0,
    network: bool = False,
    writes_shared: bool = False,
    result: Callable[[Path], Any] | None = None,
    links: tuple[BaseOperatorLink, ...] = (),
    **task: Any,
) -> Any:
    """A task that runs `argv` in the run's workspace, in the way of the site's runner.

    cpus, memory_gb, gpus and network are what a container gets, and whether it may write the site's shared folder: the
    embedded MLflow store, the release log, a DVC remote. A process takes what the machine has.
    `result` reads the task's XCom from the workspace. A mapped task has one instance per item of `over`.
    """
    operator, where = _runner(cpus=cpus, memory_gb=memory_gb, gpus=gpus, network=network, writes_shared=writes_shared)
    kwargs = {
        "task_id": task_id,
        "argv": argv,
        "workspace": WORKSPACE,
        "attempt": ATTEMPT,
        "result": result,
        "execution_timeout": timeout,
        "retries": retries,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
        "pool": pool,
        **where,
        **task,
    }
    if over is None:
        made = operator(**kwargs)
        made.operator_extra_links = links
        return made
    return operator.partial(**kwargs, map_index_template="{{ task.instance }}").expand(instance=over)


def end_stages(dag_id: str, run_id: str) -> None:
    """End whatever is still running of a run's stages."""
    if SETTINGS.runner == "docker":
        from run_in_docker import end_run  # noqa: PLC0415

        end_run(dag_id, run_id)
    elif SETTINGS.runner == "kubernetes":
        from run_in_kubernetes import end_pods  # noqa: PLC0415

        end_pods(SETTINGS.namespace, dag_id, run_id)
    else:
        from run_in_process import end_processes  # noqa: PLC0415

        end_processes(f"{dag_id}/{run_id}/")


def _runner(**needs: Any) -> tuple[type[BaseOperator], dict[str, Any]]:
    """The operator of the site's runner, and what it has to know beyond the command."""
    # Each provider takes a second to import, and only one is needed.
    if SETTINGS.runner == "docker":
        from run_in_docker import ContainerStage, container_of  # noqa: PLC0415

        return ContainerStage, container_of(SETTINGS, **needs)
    if SETTINGS.runner == "kubernetes":
        from run_in_kubernetes import PodStage, pod_of  # noqa: PLC0415

        return PodStage, pod_of(SETTINGS, **needs)
    from run_in_process import ProcessStage  # noqa: PLC0415

    return ProcessStage, {"environment": str(SETTINGS.environment)}
