"""Run a stage in a container of a Docker engine, with no more rights than it needs."""

import os
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.hooks.docker import DockerHook
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException
from docker.types import DeviceRequest, Mount
from run_in_process import USER_FAULT
from settings import Settings

import docker

ATTEMPT = "sightline.attempt"  # label: dag, run, task and map index
RUN = "sightline.run"  # label: dag and run
# A fork bomb ends here; torch with its data loaders stays well below.
MOST_PROCESSES = 2048
GIB = 1024**3


class ContainerStage(DockerOperator):
    """Runs one command in a run's workspace; `instance` and `result` as in ProcessStage.

    Nothing that the container writes is unpickled: results are JSON files in the workspace.
    """

    template_fields: Sequence[str] = (*DockerOperator.template_fields, "argv", "working_dir", "labels", "instance")

    def __init__(
        self,
        *,
        argv: list[str],
        workspace: str,
        attempt: str,
        instance: str = "",
        result: Callable[[Path], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # The label that a later try and the end of the run find it by.
        labels = {ATTEMPT: attempt, RUN: "{{ dag.dag_id }}/{{ run_id }}/"}
        super().__init__(working_dir=workspace, labels=labels, **kwargs)
        self.argv = argv
        self.workspace = workspace
        self.instance = instance
        self.result = result

    @cached_property
    def hook(self) -> DockerHook:
        """The engine's client; containers that it makes are locked down beyond what the operator has arguments for."""
        hook: DockerHook = super().hook
        client = hook.api_client
        client.create_host_config = partial(
            client.create_host_config,
            read_only=True,
            tmpfs={"/tmp": "size=2g"},  # noqa: S108  # the container's own
            security_opt=["no-new-privileges"],
            cap_drop=["ALL"],
            pids_limit=MOST_PROCESSES,
            # The same as the memory: no swap.
            memswap_limit=self.mem_limit,
            # A first process that hands SIGTERM on; without one a stage would be killed after a wait.
            init=True,
        )
        return hook

    def execute(self, context: Context) -> Any:
        """Remove what an earlier try left, run the container, read the result."""
        assert isinstance(self.labels, dict)
        remove_containers(self.cli, ATTEMPT, self.labels[ATTEMPT])
        self.command = [part.replace("{instance}", self.instance) for part in self.argv]
        self.log.info("in %s: %s", self.working_dir, " ".join(self.command))
        try:
            super().execute(context)
        except DockerContainerFailedException as error:
            last = next((line for line in reversed(error.logs or []) if line.strip()), "")
            if USER_FAULT.search(str(last)):
                raise AirflowFailException(last) from error
            raise
        return self.result(Path(str(self.working_dir))) if self.result else None


def container_of(settings: Settings, cpus: float, memory_gb: float, gpus: int, network: bool) -> dict[str, Any]:
    """What ContainerStage has to know of the site and of what the stage needs."""
    folders = {settings.cache: False, settings.shared: True}
    mounts = [Mount(str(path), str(path), "bind", read_only=read_only) for path, read_only in folders.items()]
    # Of the workspaces only the run's own: two runs cannot touch each other.
    own = f"{settings.workspaces}/{{{{ run_name(run_id) }}}}"
    mounts.append(Mount(own, own, "bind"))
    return {
        "image": settings.image,
        "api_version": "auto",
        "mounts": mounts,
        "mount_tmp_dir": False,
        "auto_remove": "force",
        "network_mode": settings.network if network else "none",
        # Files in the workspace belong to whom Airflow's worker runs as; never root.
        "user": f"{os.getuid() or 1000}:{os.getgid() or 1000}",
        "cpus": cpus,
        "mem_limit": int(memory_gb * GIB),
        "shm_size": 1 * GIB,
        "device_requests": [DeviceRequest(count=gpus, capabilities=[["gpu"]])] if gpus and settings.gpus else None,
        "environment": {"HOME": "/tmp", "DVC_SITE_CACHE_DIR": "/tmp/dvc", "PYTHONUNBUFFERED": "1"},  # noqa: S108
        # Not shown in the page, unlike the ones above.
        "private_environment": {name: os.environ[name] for name in settings.pass_on if name in os.environ},
        "do_xcom_push": True,
    }


def remove_containers(client: docker.APIClient, label: str, value: str) -> None:
    """Stop and remove the containers that carry a label, running or not."""
    for found in client.containers(all=True, filters={"label": f"{label}={value}"}):
        client.stop(found["Id"], timeout=5)
        client.remove_container(found["Id"], force=True)


def end_run(dag_id: str, run_id: str) -> None:
    """Remove whatever a run's stages left."""
    remove_containers(docker.APIClient(**docker.utils.kwargs_from_env()), RUN, f"{dag_id}/{run_id}/")
