"""Run by Airflow's Python: what the DAGs or the pods of their stages are, as a JSON file.

Given a question and a file, it answers once. Given nothing, it imports Airflow and then answers each line of stdin in a
fork of its own. Nothing of it is imported by the tests, whose environment has no Airflow.
"""

# ruff: noqa: PLC0415  # what an import brings is what is asked for

import gc
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "dags"))
RUN_ID = "manual__2026-01-01T00:00:00+00:00"


def said_by_dags() -> dict[str, Any]:
    """Tasks, edges and form of every DAG, and which heavy modules their import has brought."""
    import labels
    import training
    from airflow.serialization.serialized_objects import DagSerialization

    heavy = [
        name for name in ("torch", "dvc", "tasks", "mlflow", "boto3", "docker", "kubernetes") if name in sys.modules
    ]
    dags = {dag.dag_id: dag for dag in (training.dag, labels.dag)}
    return {
        "heavy": heavy,
        "dags": {dag_id: said_by_dag(dag) for dag_id, dag in dags.items()},
        "serialized": {dag_id: json.dumps(DagSerialization.serialize_dag(dag)) for dag_id, dag in dags.items()},
    }


def said_by_dag(dag: Any) -> dict[str, Any]:
    """One DAG's tasks and form."""
    params = {name: dag.params.get_param(name) for name in dag.params}
    return {
        "doc": dag.doc_md,
        "tasks": {task.task_id: said_by_task(task) for task in dag.tasks},
        "params": {
            name: {"default": param.value, "description": param.description, "schema": param.schema}
            for name, param in params.items()
        },
    }


def said_by_task(task: Any) -> dict[str, Any]:
    """What Airflow will do with a task."""
    return {
        "downstream": sorted(task.downstream_task_ids),
        "pool": task.pool,
        "retries": task.retries,
        "timeout": task.execution_timeout.total_seconds() if task.execution_timeout else None,
        "owner": task.owner,
        "doc": task.doc_md,
        "mapped": bool(task.is_mapped),
        "teardown": bool(task.is_teardown),
        "reddens": bool(task.is_teardown and task.on_failure_fail_dagrun),
        "argv": getattr(task, "argv", None) or (task.partial_kwargs.get("argv") if task.is_mapped else None),
    }


def pods() -> dict[str, Any]:
    """The pod of every stage, checked against the schema of Kubernetes; what is wrong with it, if anything."""
    import kubernetes_validate
    import training
    from kubernetes.client import ApiClient

    found = {}
    for task in training.dag.tasks:
        if not hasattr(task, "argv") and "argv" not in getattr(task, "partial_kwargs", {}):
            continue
        one, context = in_a_run(task, "onnx")
        pod = ApiClient().sanitize_for_serialization(one.build_pod_request_obj(context))
        try:
            kubernetes_validate.validate(pod, "1.31", strict=True)
            fault = None
        except kubernetes_validate.ValidationError as error:
            fault = error.message
        found[task.task_id] = {"pod": pod, "fault": fault}
    return found


def in_a_run(task: Any, instance: str) -> tuple[Any, dict[str, Any]]:
    """A task as Airflow would execute it in a run, and the context; what it pushes is in the context's `pushed`."""
    one = task.unmap({"instance": instance}) if task.is_mapped else task
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(dag_id="training", task_id=task.task_id, run_id=RUN_ID, map_index=-1, try_number=1)
    ti.xcom_push = lambda key, value: pushed.update({key: value})
    if task.is_mapped:
        ti.map_index = ["onnx", "pytorch"].index(instance)
    context = {"ti": ti, "run_id": RUN_ID, "dag": task.dag, "task": one, "pushed": pushed}
    one.render_template_fields(context, task.dag.get_template_env())
    return one, context


def executed() -> dict[str, Any]:
    """What the tasks that TASKS names push or raise when they are executed side by side."""
    import training

    def execute(named: str) -> dict[str, Any]:
        name, _, instance = named.partition("@")
        one, context = in_a_run(training.dag.get_task(name), instance)
        try:
            one.execute(context)
        except Exception as error:
            return {"raised": f"{type(error).__name__}: {error}"}
        return context["pushed"]

    named = os.environ["TASKS"].split()
    with ThreadPoolExecutor() as pool:
        return dict(zip(named, pool.map(execute, named), strict=True))


def ended() -> dict[str, Any]:
    """Which pods are there once the stages of a run have been ended."""
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    from airflow_stage import end_stages

    end_stages("training", RUN_ID)
    left = KubernetesHook(conn_id=None).core_v1_client.list_namespaced_pod("sightline").items
    return {"pods": [pod.metadata.name for pod in left]}


def logins() -> dict[str, Any]:
    """Users that have a password once the api-server has started."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    SimpleAuthManager().init()
    return {name: len(password) for name, password in SimpleAuthManager.get_passwords().items()}


def failures() -> dict[str, Any]:
    """What is raised for pods that failed in different ways: its class and its text."""
    from airflow.sdk.exceptions import AirflowException
    from kubernetes.client import models as k8s
    from run_in_kubernetes import await_end, failure_of
    from run_in_process import failure

    def ended(code: int, message: str | None) -> k8s.V1Pod:
        state = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code, message=message))
        status = k8s.V1ContainerStatus(name="base", image="", image_id="", ready=False, restart_count=0, state=state)
        return k8s.V1Pod(status=k8s.V1PodStatus(container_statuses=[status]))

    error = "epoch 3\nerror: no labels: data/raw. Add some\n"
    pods = {
        "user's fault": ended(255, f"{error}ERROR: failed to reproduce 'train': ... exited with 2\n"),
        "detached, user's fault": ended(2, error),
        "stage's fault": ended(255, f"{error}ERROR: failed to reproduce 'train': ... exited with 1\n"),
        "out of memory": ended(137, None),
        "gone": None,
    }
    raised = {name: failure_of(pod, "Pod has failed") for name, pod in pods.items()}
    raised["command without DVC, user's fault"] = failure(2, error.splitlines(), "ended with 2")
    try:
        await_end(lambda: [k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="train-1"))], seconds=0)
    except AirflowException as still_there:
        raised["deleted, but still there"] = still_there
    return {name: [type(error).__name__, str(error)] for name, error in raised.items()}


def waiting() -> dict[str, Any]:
    """How long a task may wait for a worker and run on it, in seconds, and how many may wait and run together."""
    import jwt
    from airflow.api_fastapi.auth.tokens import JWTGenerator
    from airflow.executors.workloads.base import BaseWorkloadSchema
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.providers.celery.executors.celery_executor import app

    generator = JWTGenerator(secret_key="secret" * 12, audience="tests", valid_for=60)
    token = BaseWorkloadSchema.generate_token("task", generator)
    claims = jwt.decode(token, options={"verify_signature": False})
    scheduler = SchedulerJobRunner(Job())
    return {
        "token": claims["exp"] - claims["iat"],
        "queued": scheduler._task_queued_timeout,
        "together": scheduler._parallelism,
        "delivered": app.conf.broker_transport_options["visibility_timeout"],
    }


def reports() -> dict[str, Any]:
    """Status and text of the page of a run's report, asked for as a run of either DAG by who may see it."""
    sys.path.insert(0, str(REPOSITORY / "docker" / "airflow" / "plugins"))
    from fastapi.testclient import TestClient
    from run_pages import app

    for route in app.routes:
        for rights in getattr(route, "dependencies", []):
            app.dependency_overrides[rights.dependency] = lambda: None
    client = TestClient(app)
    answers = {dag_id: client.get(f"/{dag_id}/first/report") for dag_id in ("training", "labels")}
    return {dag_id: [answer.status_code, answer.text] for dag_id, answer in answers.items()}


def watched() -> dict[str, Any]:
    """What DAG labels does about its source: the text of the skip, or the update of the asset."""
    import labels
    from airflow.sdk.exceptions import AirflowSkipException

    update = SimpleNamespace(extra={})
    try:
        labels.watch.function({labels.LABELS: []}, {labels.LABELS: update})
    except AirflowSkipException as skipped:
        return {"skipped": str(skipped)}
    return {"files": update.extra["files"]}


def recorded() -> dict[str, Any]:
    """What task `record` raises, once `save` has ended as the variable SAVED says."""
    import os

    import training

    site = training.SETTINGS
    path = site.workspaces / "one"
    training.workspaces.make(path, "HEAD", {}, site)
    (path / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")

    def get_task_states(**asked: Any) -> dict[str, Any]:
        return {"one": dict.fromkeys(asked["task_ids"], os.environ["SAVED"])}

    ti = SimpleNamespace(dag_id="training", get_task_states=get_task_states)
    try:
        training.record.function(ti, "one")
    except training.AirflowFailException as error:
        return {"raised": str(error)}
    return {"raised": ""}


def manifests() -> dict[str, Any]:
    """What is wrong with each manifest of docker/kubernetes by the schema of Kubernetes, if anything."""
    import kubernetes_validate
    import yaml

    found: dict[str, Any] = {}
    for file in sorted((REPOSITORY / "docker" / "kubernetes").rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text("utf-8")):
            if "kind" in document:
                name = f"{file.parent.name}/{file.name}: {document['kind']} {document['metadata']['name']}"
                try:
                    kubernetes_validate.validate(document, "1.31", strict=True)
                    found[name] = None
                except kubernetes_validate.ValidationError as error:
                    found[name] = error.message
    return found


def asked() -> tuple[str, str]:
    """Import what most questions need, then return once for each line of stdin, in a fork that has its variables.

    A line is JSON: the question, the file for the answer, the file for what is said, the variables. The exit status of
    its fork is printed. What is imported here must take nothing of a site but AIRFLOW_HOME and KUBECONFIG.
    """
    import airflow.models.connection
    import airflow.providers.cncf.kubernetes.operators.pod
    import airflow.sdk
    import airflow.serialization.serialized_objects  # noqa: F401
    import kubernetes_validate  # noqa: F401
    from sqlalchemy.orm import configure_mappers

    configure_mappers()
    gc.freeze()  # a fork that ends would take a second to collect all this
    for line in sys.stdin:
        what, answer, said, variables = json.loads(line)
        child = os.fork()
        if not child:
            os.environ.clear()
            os.environ.update(variables)
            with Path(said).open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            return what, answer
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201
    sys.exit()


if __name__ == "__main__":
    what, answer = sys.argv[1:] or asked()
    probes = {
        "dags": said_by_dags,
        "pods": pods,
        "executed": executed,
        "ended": ended,
        "logins": logins,
        "failures": failures,
        "manifests": manifests,
        "waiting": waiting,
        "recorded": recorded,
        "reports": reports,
        "watched": watched,
    }
    Path(answer).write_text(json.dumps(probes[what]()))
