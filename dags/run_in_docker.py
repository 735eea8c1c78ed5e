"""Run a stage in a container of a Docker engine, with no more rights than it needs."""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from airflow.configuration import AIRFLOW_HOME
from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.hooks.docker import DockerHook
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException
from docker.errors import APIError
from docker.types import DeviceRequest, Mount
from run_in_process import GRACE_SECONDS, check_workspace, failure
from settings import Settings

import docker

# Labels of a container. Each part ends with a slash.
RUN = "sightline.run"  # dag and run
ATTEMPT = "sightline.attempt"  # dag, run, task and map index
TRY = "sightline.try"  # and the number of the try
# A fork bomb ends here; torch with its data loaders stays well below.
MOST_PROCESSES = 2048
GIB = 1024**3


class ContainerStage(DockerOperator):
    """Runs one command in a run's workspace; `instance` and `result` as in ProcessStage.

    Nothing that the container writes is unpickled: results are JSON files in the workspace.
    """

    template_fields: Sequence[str] = (*DockerOperator.template_fields, "argv", "workspace", "labels", "instance")

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
        labels = {
            RUN: "{{ dag.dag_id }}/{{ run_id }}/",
            ATTEMPT: attempt,
            TRY: f"{attempt}{{{{ ti.try_number }}}}/",
        }
        super().__init__(labels=labels, **kwargs)
        self.argv = argv
        self.workspace = workspace
        self.instance = instance
        self.result = result

    @cached_property
    def hook(self) -> DockerHook:
        """The engine's client; containers that it makes are locked down beyond what the operator has arguments for."""
        hook: DockerHook = super().hook
        client = hook.api_client
        client.create_host_config = partial(  # type: ignore[method-assign]
            client.create_host_config,
            read_only=True,
            tmpfs={"/tmp": "size=2g"},  # noqa: S108  # the container's own
            security_opt=["no-new-privileges"],
            cap_drop=["ALL"],
            pids_limit=MOST_PROCESSES,
            # The same as the memory: no swap.
            memswap_limit=cast("int", self.mem_limit),
            # A first process that hands signals on; without one a stage would be killed after a wait.
            init=True,
        )
        # DVC dies of SIGTERM at once, and the container with it; on SIGINT it waits for the stage and frees its locks,
        # which processes of another container could not tell from those of a living one.
        create = partial(client.create_container, stop_signal="SIGINT")
        client.create_container = create  # type: ignore[method-assign]
        return hook

    def execute(self, context: Context) -> Any:
        """Remove what an earlier try left, run the container, read the result."""
        assert isinstance(self.labels, dict)
        assert isinstance(self.user, str)
        workspace = check_workspace(self.workspace)
        if self.user.startswith("0:"):
            raise AirflowFailException("stages never run as root: start Airflow as the user whose files they may write")
        ended = remove_containers(self.cli, ATTEMPT, self.labels[ATTEMPT])
        if ended:
            self.log.warning("removed %d containers that an earlier try had left", ended)
        if not self.cli.containers(filters={"label": f"{RUN}={self.labels[RUN]}"}):
            # A killed DVC left it. It names processes by numbers, which those of every container share.
            (workspace / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
        self.working_dir = self.workspace
        self.command = [part.replace("{instance}", self.instance) for part in self.argv]
        self.log.info("in %s: %s", workspace, " ".join(self.command))
        try:
            super().execute(context)
        except DockerContainerFailedException as error:
            lines = [str(line).rstrip() for line in error.logs or [] if str(line).strip()]
            code = re.search(r"'StatusCode': (\d+)", str(error))
            raise failure(int(code[1]) if code else 1, lines, str(error)) from error
        finally:
            self.on_kill()
        return self.result(workspace) if self.result else None

    def on_kill(self) -> None:
        """Remove this try's container, running or not; what a later try has begun stays."""
        assert isinstance(self.labels, dict)
        remove_containers(self.cli, TRY, self.labels[TRY])


def container_of(
    settings: Settings, *, cpus: float, memory_gb: float, gpus: int, network: bool, writes_shared: bool
) -> dict[str, Any]:
    """What ContainerStage has to know of the site and of what the stage needs."""
    # Of the workspaces only the run's own: two runs cannot touch each other. No hard link leads from mount to mount, so
    # DVC copies from the cache into the workspace, unless the file system has reflinks.
    own = f"{settings.workspaces}/{{{{ run_name(run_id) }}}}"
    folders = {str(settings.shared): not writes_shared, str(settings.cache): False, own: False}
    # With the embedded server, Airflow's keys and other runs lie below what is shared.
    home = Path(AIRFLOW_HOME)
    hidden = [home] if home.is_relative_to(settings.shared) else []
    return {
        "image": settings.image,
        "api_version": "auto",
        "mounts": [
            *(Mount(path, path, "bind", read_only=read_only) for path, read_only in folders.items()),
            *(Mount(str(path), None, "tmpfs") for path in hidden),
        ],
        "mount_tmp_dir": False,
        "network_mode": settings.network if network else "none",
        # Files in the workspace belong to whom Airflow's worker runs as.
        "user": f"{os.getuid()}:{os.getgid()}",
        "cpus": cpus,
        "mem_limit": int(memory_gb * GIB),
        "shm_size": 1 * GIB,
        "device_requests": [DeviceRequest(count=gpus, capabilities=[["gpu"]])] if gpus and settings.gpus else None,
        "environment": {
            "HOME": "/tmp",  # noqa: S108  # the container's own
            # The image need not know the user's name.
            "USER": "stages",
            # DVC's notes on files, so that no stage hashes again what an earlier one has.
            "DVC_SITE_CACHE_DIR": f"{own}/.dvc/tmp/site",
            "PYTHONUNBUFFERED": "1",
            # The first process hands signals to the stage, too, not only to DVC.
            "TINI_KILL_PROCESS_GROUP": "1",
        },
        # Not shown in the page, unlike the ones above.
        "private_environment": {name: os.environ[name] for name in settings.pass_on if name in os.environ},
    }


def remove_containers(client: docker.APIClient, label: str, value: str) -> int:
    """Stop and remove the containers that carry a label, running or not; how many there were."""
    found = client.containers(all=True, filters={"label": f"{label}={value}"})
    for container in found:
        # Somebody else may be removing it, too.
        with suppress(APIError):
            client.stop(container["Id"], timeout=int(GRACE_SECONDS))
            client.remove_container(container["Id"], force=True)
    return len(found)


def end_run(dag_id: str, run_id: str) -> None:
    """Remove whatever a run's stages left."""
    remove_containers(docker.from_env().api, RUN, f"{dag_id}/{run_id}/")
