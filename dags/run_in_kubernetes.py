"""Run a stage as a pod of a Kubernetes cluster, with no more rights than it needs.

A pod works in the run's workspace on a volume that all share, or, detached, in a clone of the run's branch.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import tenacity
from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import generic_api_retry
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import make_safe_label_value
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodManager, PodPhase
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import CoreV1Api
from kubernetes.client import models as k8s
from run_in_process import USER_FAULT, check_workspace, failure
from settings import PROGRESS, Settings
from workspace import branch_files

# Of the image's user.
USER_ID = 1000
VOLUME = "sightline"
APP = "sightline"
# Between SIGTERM and SIGKILL; and after how long a deleted pod is not going to end by itself.
GRACE_SECONDS = 30
DELETION_SECONDS = 4 * GRACE_SECONDS
# As a pod's first process DVC would not hear SIGTERM; elsewhere it dies of it at once. On SIGINT it waits for the
# stage, which gets it, too, and frees its locks. (A detached stage takes care of that itself.)
FIRST = ("dumb-init", "--rewrite", "15:2", "--")
RIGHTS = {
    "security_context": k8s.V1PodSecurityContext(
        run_as_non_root=True,
        run_as_user=USER_ID,
        run_as_group=USER_ID,
        fs_group=USER_ID,
        seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
    ),
    "container_security_context": k8s.V1SecurityContext(
        read_only_root_filesystem=True,
        allow_privilege_escalation=False,
        capabilities=k8s.V1Capabilities(drop=["ALL"]),
    ),
    # Stages never talk to the cluster.
    "automount_service_account_token": False,
}


class PodStage(KubernetesPodOperator):
    """Runs one command in a run's workspace; `instance` and `result` as in ProcessStage.

    A detached pod has no workspace, and `result` reads what of the stage's outputs Git holds.

    The pod of an earlier try that is still running is taken over, and one that has ended is deleted; labels say whose
    it is: dag, run, task and map index. So there is never a second one, and training outlives its worker. One that is
    being deleted is no pod to take over: its end is waited for.
    """

    template_fields: Sequence[str] = (*KubernetesPodOperator.template_fields, "argv", "workspace", "instance")

    def __init__(
        self,
        *,
        argv: list[str],
        workspace: str,
        attempt: str,  # noqa: ARG002  # the provider's own labels say it
        detached: str = "",
        instance: str = "",
        result: Callable[[Path], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(durable=True, name=kwargs["task_id"], **kwargs)
        self.argv = argv
        self.workspace = workspace
        self.detached = detached
        self.instance = instance
        self.result = result

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> k8s.V1Pod:
        """Describe the pod that runs the command."""
        argv = [part.replace("{instance}", self.instance) for part in self.argv]
        self.cmds = argv if self.detached else [*FIRST, *argv]
        pod = super().build_pod_request_obj(context, dry_run=dry_run)
        if not self.detached:
            pod.spec.containers[0].working_dir = self.workspace
        return pod

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        """The pod of an earlier try that goes on, or a new one."""
        own = self._build_find_pod_label_selector(context, exclude_checked=False)
        namespace = pod_request_obj.metadata.namespace
        await_end(lambda: [pod for pod in pods(self.client, namespace, own) if pod.metadata.deletion_timestamp])
        if self.detached:
            return super().get_or_create_pod(pod_request_obj, context)
        ti, workspace = context["ti"], Path(self.workspace)
        with one_at_a_time(workspace):
            of_run = pods_of_run(self.client, namespace, ti.dag_id, ti.run_id)
            if all(pod.status.phase in PodPhase.terminal_states for pod in of_run):
                # A killed DVC left it. It names processes by numbers, which those of every pod share.
                (workspace / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
            return super().get_or_create_pod(pod_request_obj, context)

    def execute(self, context: Context) -> None:
        """Run the pod, push the result."""
        if not self.detached:
            check_workspace(self.workspace)
        try:
            super().execute(context)
        except AirflowException as error:
            raise failure_of(self.remote_pod, str(error)) from error
        if self.result is not None:
            name = Path(self.workspace).name
            with branch_files(self.detached, name) if self.detached else nullcontext(Path(self.workspace)) as files:
                # Airflow would push what execute returns only with a side-car to read it out of the pod.
                context["ti"].xcom_push(key="return_value", value=self.result(files))


@contextmanager
def one_at_a_time(workspace: Path) -> Iterator[None]:
    """Have the run's other tasks wait: none may make its pod after another one has looked and found none."""
    with (workspace / ".git" / "sightline-pods").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pods_of_run(client: CoreV1Api, namespace: str, dag_id: str, run_id: str) -> list[k8s.V1Pod]:
    """Pods of a run's stages."""
    labels = {"app": APP, "dag_id": make_safe_label_value(dag_id), "run_id": make_safe_label_value(run_id)}
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    return pods(client, namespace, selector)


def pods(client: CoreV1Api, namespace: str, selector: str) -> list[k8s.V1Pod]:
    """Pods whose labels a selector fits, ended or not."""
    ask = generic_api_retry(client.list_namespaced_pod)  # type: ignore[no-untyped-call]
    return list(ask(namespace, label_selector=selector).items)


def await_end(find: Callable[[], list[k8s.V1Pod]], seconds: float = DELETION_SECONDS) -> None:
    """Wait until pods that are being deleted are gone; AirflowException if they are not."""
    waiting = tenacity.Retrying(
        retry=tenacity.retry_if_result(bool),
        wait=tenacity.wait_fixed(1),
        stop=tenacity.stop_after_delay(seconds),
        retry_error_callback=_still_there,
    )
    waiting(find)


def _still_there(state: tenacity.RetryCallState) -> NoReturn:
    assert state.outcome is not None
    names = " ".join(pod.metadata.name for pod in state.outcome.result())
    raise AirflowException(
        f"deleted pods do not end: {names}. Their node may be lost; once it is off, kubectl delete pod --force {names}"
    )


def end_pods(namespace: str, dag_id: str, run_id: str) -> None:
    """Delete whatever a run's stages left, and wait for its end."""
    client = KubernetesHook(conn_id=None).core_v1_client
    for pod in pods_of_run(client, namespace, dag_id, run_id):
        PodManager(kube_client=client).delete_pod(pod)
    await_end(lambda: pods_of_run(client, namespace, dag_id, run_id))


def failure_of(pod: k8s.V1Pod | None, otherwise: str) -> AirflowException:
    """What to raise for a failed pod: its last words, or `otherwise` where it said nothing."""
    ended = _ended(pod)
    lines = [line for state in ended for line in (state.message or "").splitlines() if line.strip()]
    is_users = any(state.exit_code == USER_FAULT for state in ended)
    return failure(USER_FAULT if is_users else 1, lines, otherwise)


def _ended(pod: k8s.V1Pod | None) -> list[k8s.V1ContainerStateTerminated]:
    statuses = (pod.status.container_statuses or []) if pod is not None else []
    return [status.state.terminated for status in statuses if status.state and status.state.terminated]


def pod_of(
    settings: Settings, *, cpus: float, memory_gb: float, gpus: int, network: bool, writes_shared: bool
) -> dict[str, Any]:
    """What PodStage has to know of the site and of what the stage needs."""
    disk = f"{settings.scratch_gb}Gi" if settings.detached else "4Gi"
    limits = {"memory": f"{memory_gb:g}Gi", "cpu": f"{cpus:g}", "ephemeral-storage": disk}
    if gpus and settings.gpus:
        limits["nvidia.com/gpu"] = str(gpus)
    secrets = [settings.secret, settings.git_secret] if settings.detached else [settings.secret]
    volumes, mounts = progress(settings) if settings.detached else shared_folders(settings, writes_shared)
    # Data loaders of torch hand images on through /dev/shm; the default of 64 MB is too small.
    volumes += [
        k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit=disk)),
        k8s.V1Volume(name="shm", empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit="1Gi")),
    ]
    mounts += [
        k8s.V1VolumeMount(name="tmp", mount_path="/tmp"),  # noqa: S108  # the pod's own
        k8s.V1VolumeMount(name="shm", mount_path="/dev/shm"),  # noqa: S108
    ]
    return {
        "image": settings.image,
        "namespace": settings.namespace,
        "kubernetes_conn_id": None,
        "detached": settings.repository if settings.detached else "",
        # Whether a network policy lets it out; a detached one has to reach the repository and the remote.
        "labels": {"app": APP, "sightline/network": "yes" if network or settings.detached else "no"},
        "volumes": volumes,
        "volume_mounts": mounts,
        "env_vars": {"HOME": "/tmp", "DVC_SITE_CACHE_DIR": "/tmp/dvc", "PYTHONUNBUFFERED": "1"},  # noqa: S108
        "env_from": [
            k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=name, optional=True)) for name in secrets
        ],
        "container_resources": k8s.V1ResourceRequirements(
            requests={name: limits[name] for name in ("cpu", "memory")}, limits=limits
        ),
        **RIGHTS,
        "termination_message_policy": "FallbackToLogsOnError",
        "termination_grace_period": GRACE_SECONDS,
        "startup_timeout_seconds": 900,
        "on_finish_action": "delete_pod",
    }


def shared_folders(settings: Settings, writes_shared: bool) -> tuple[list[k8s.V1Volume], list[k8s.V1VolumeMount]]:
    """The volume that all share, with each of its folders where every machine has it."""
    # One mount where they lie together and nothing else does: no link leads from one mount to another.
    together = settings.workspaces.parent == settings.cache.parent != settings.shared.parent
    written = [settings.cache.parent] if together else [settings.workspaces, settings.cache]
    folders = {**dict.fromkeys(written, False), settings.shared: not writes_shared}
    mounts = [
        k8s.V1VolumeMount(name=VOLUME, mount_path=str(path), sub_path=path.name, read_only=read_only)
        for path, read_only in folders.items()
    ]
    return [_claimed(settings.claim)], mounts


def progress(settings: Settings) -> tuple[list[k8s.V1Volume], list[k8s.V1VolumeMount]]:
    """The volume where a killed stage goes on, if the site has one."""
    if not settings.progress:
        return [], []
    return [_claimed(settings.progress)], [k8s.V1VolumeMount(name=VOLUME, mount_path=PROGRESS)]


def _claimed(name: str) -> k8s.V1Volume:
    return k8s.V1Volume(name=VOLUME, persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name=name))
