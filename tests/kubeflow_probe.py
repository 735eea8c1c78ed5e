"""Run by Kubeflow's Python in a process of its own: what the pipeline says, or a run of it on the Docker engine.

Nothing of it is imported by the tests, whose environment has no kfp.
"""

# ruff: noqa: PLC0415  # what comes of this repository is found only then

import json
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "dags"))


def run(folder: str, inputs: dict[str, Any]) -> None:
    """Run the pipeline in containers that see `folder` and no network."""
    from docker.types import Mount
    from kfp import local
    from training_kubeflow import training

    runner = local.DockerRunner(mounts=[Mount(folder, folder, "bind")], network_mode="none", init=True)
    local.init(runner=runner, pipeline_root=f"{folder}/pipeline", workspace_root=f"{folder}/workspace")
    training(**inputs)


if __name__ == "__main__":
    run(sys.argv[1], json.loads(sys.argv[2]))
