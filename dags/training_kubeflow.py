"""From labels to a gated and published detector, as a Kubeflow pipeline: one step per stage of dvc.yaml.

Pods share no disk: each runs one stage by dags/detached/detached.py, gets what it reads from the DVC remote, and lands
what it made on branch `runs/<id of the run>` of the repository. A model that falls short of the gate fails the run at
`publish`; `record` runs in every outcome.

`make kubeflow` compiles it to training_kubeflow.yaml, for the page or `kfp pipeline create`, with the SIGHTLINE_*
variables of dags/settings.py.
"""

import inspect
import json
from collections.abc import Callable
from typing import Any

from kfp import dsl, kubernetes
from settings import DETACHED, GIT_VARIABLES, PROGRESS, read_settings
from training_form import OF_THE_RUN, PARAMETERS, Field

SETTINGS = read_settings()
PROGRAM = list(DETACHED)
# A path of the machine that compiles says nothing to a pod.
REPOSITORY = SETTINGS.repository if SETTINGS.repository != str(SETTINGS.checkout) else inspect.Parameter.empty
# The id of the run, wherever it stands in a command.
RUN = f"--run={dsl.PIPELINE_JOB_ID_PLACEHOLDER}"
TYPES = {"string": str, "integer": int, "boolean": bool, "number": float, "array": list, "object": dict}
# The form of the DAG, but for the dots of its names, and for workers, as a loop wants a list.
INPUTS: dict[str, Field] = {
    "repository": {"default": REPOSITORY, "type": "string", "description": "URL of the Git repository"},
    **{name.replace(".", "_"): field for name, field in {**PARAMETERS, **OF_THE_RUN}.items()},
    "workers": {
        "default": [],
        "type": "array",
        "description": "names of pods that share the search: [a, b]; tune.storage must be a database",
    },
    "remote": {
        "default": SETTINGS.remote,
        "type": "string",
        "description": "URL of the DVC remote; empty: the one that the repository is set to",
    },
}


def step(name: str, *arguments: str, instance: bool = False, **how: Any) -> Callable[..., dsl.PipelineTask]:
    """A step that calls the program with `arguments`; `how` is what `place` takes.

    It is called with the repository and the remote, and with the instance that stands for {instance} if it has any.
    """

    def command(repository: str, remote: str) -> dsl.ContainerSpec:
        where = [RUN, f"--repository={repository}", f"--remote={remote}"]
        return dsl.ContainerSpec(image=SETTINGS.image, command=PROGRAM, args=[*arguments, *where])

    def instance_command(repository: str, remote: str, instance: str) -> dsl.ContainerSpec:
        where = [RUN, f"--repository={repository}", f"--remote={remote}"]
        named = [argument.replace("{instance}", f"{instance}") for argument in arguments]
        return dsl.ContainerSpec(image=SETTINGS.image, command=PROGRAM, args=[*named, *where])

    chosen = instance_command if instance else command
    chosen.__name__ = name
    component = dsl.container_component(chosen)
    return lambda **given: place(component(**given), **how)


def place(
    task: dsl.PipelineTask,
    *,
    hours: float,
    cpus: float = 1,
    memory_gb: float = 2,
    gpus: int = 0,
    retries: int = 0,
    progress: bool = False,
) -> dsl.PipelineTask:
    """What a step's pod gets of the cluster."""
    # DVC knows what has changed; Kubeflow would take an outcome of yesterday for that of today's labels.
    task.set_caching_options(False)
    task.set_cpu_limit(f"{cpus:g}").set_memory_limit(f"{memory_gb:g}Gi")
    if gpus and SETTINGS.gpus:
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus)
    if retries:
        task.set_retry(retries, backoff_duration="10s", backoff_factor=2, backoff_max_duration="600s")
    kubernetes.set_timeout(task, int(hours * 3600))
    kubernetes.set_security_context(task, run_as_user=1000, run_as_group=1000, run_as_non_root=True)
    # Data loaders of torch hand images on through it; the default of 64 MB is too small.
    kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit="1Gi")  # noqa: S108
    if SETTINGS.pass_on:
        kubernetes.use_secret_as_env(task, SETTINGS.secret, {name: name for name in SETTINGS.pass_on})
    kubernetes.use_secret_as_env(task, SETTINGS.git_secret, {name: name for name in GIT_VARIABLES}, optional=True)
    if progress and SETTINGS.progress:
        kubernetes.mount_pvc(task, SETTINGS.progress, PROGRESS)
    return task


KEEPING = [f"--progress={PROGRESS}"] if SETTINGS.progress else []
# As in the DAG, but for publish: Kubeflow tries again whatever has failed, and a rejection is no failure to repeat.
GPU: dict[str, Any] = {"cpus": 8, "memory_gb": 32, "gpus": 1, "retries": 2, "hours": 24 * 7}
doctor = step("doctor", "run", "doctor", hours=1 / 6)
ingest = step("ingest", "run", "ingest", hours=12, retries=2)
parse = step("parse", "run", "parse", hours=2, memory_gb=4)
check = step("check", "run", "check", hours=6, cpus=4, memory_gb=8)
split = step("split", "run", "split", hours=1, memory_gb=4)
search_one = step("search", "share", "tune", "--output=--tuned", "--worker={instance}", instance=True, **GPU)
tune = step("tune", "run", "tune", *KEEPING, progress=True, **GPU)
train = step("train", "run", "train", *KEEPING, progress=True, **GPU)
always = "--always=export@champion"
export_one = step("export", "run", "export@{instance}", always, instance=True, hours=4, cpus=4, memory_gb=16, retries=2)
evaluate_one = step("evaluate", "run", "evaluate@{instance}", instance=True, hours=6, cpus=4, memory_gb=16)
gate = step("gate", "run", "gate", hours=0.5, memory_gb=4)
report = step("report", "run", "report", hours=1, memory_gb=8)
publish = step("publish", "run", "publish", hours=2)


# Loops are pipelines of their own, as a step can wait for one as a whole only so.
@dsl.pipeline
def search(workers: list[str], repository: str, remote: str) -> None:
    """Share the search among workers, on one study in a database."""
    with dsl.ParallelFor(workers) as worker:
        search_one(instance=worker, repository=repository, remote=remote)


@dsl.pipeline
def export(targets: list[str], repository: str, remote: str) -> None:
    """Turn the checkpoint into one bundle per target."""
    with dsl.ParallelFor(targets) as target:
        export_one(instance=target, repository=repository, remote=remote)


@dsl.pipeline
def evaluate(targets: list[str], repository: str, remote: str) -> None:
    """Measure each bundle; one at a time, as a neighbour would spoil the latencies that are measured."""
    with dsl.ParallelFor(targets, parallelism=1) as target:
        evaluate_one(instance=target, repository=repository, remote=remote)


@dsl.container_component
def record(repository: str, status: dsl.PipelineTaskFinalStatus) -> dsl.ContainerSpec:
    """Note the run's end on its branch."""
    arguments = ["record", RUN, f"--repository={repository}", f"--status={status}", *KEEPING]
    return dsl.ContainerSpec(image=SETTINGS.image, command=PROGRAM, args=arguments)


def begin(**given: Any) -> dsl.PipelineTask:
    """Make the run's branch, with what the form says written into params.yaml."""

    def start(*inputs: Any) -> dsl.ContainerSpec:
        said = dict(zip(given, inputs, strict=True))
        texts = [name for name, field in PARAMETERS.items() if field["type"] == "string"]
        options = [f"--text={name}={said[_plain(name)]}" for name in texts]
        options += [f"--value={name}={said[_plain(name)]}" for name in PARAMETERS if name not in texts]
        # The loops go over the targets of the form, whatever those of the revision are.
        shown = {name: field["default"] for name, field in PARAMETERS.items() if name != "export.targets"}
        rest = [f"--repository={said['repository']}", f"--revision={said['revision']}", f"--values={said['params']}"]
        rest.append(f"--shown={json.dumps(shown)}")
        return dsl.ContainerSpec(image=SETTINGS.image, command=PROGRAM, args=["start", RUN, *options, *rest])

    start.__signature__ = _signature(list(given), defaults=False)  # type: ignore[attr-defined]
    return place(dsl.container_component(start)(**given), hours=0.5, retries=2)


def training(*inputs: Any) -> None:
    """Wire the picture; parameters are those of INPUTS, in their order."""
    given = dict(zip(INPUTS, inputs, strict=True))
    where = {name: given[name] for name in ("repository", "remote")}
    form = {name: given[name] for name in INPUTS if name not in {"workers", "remote"}}
    targets, workers = given["export_targets"], given["workers"]
    with dsl.ExitHandler(place(record(repository=given["repository"]), hours=0.5, retries=2, progress=True)):
        started = begin(**form)
        looked_at = doctor(**where).after(started)
        ingested = ingest(**where).after(looked_at)
        parsed = parse(**where).after(ingested)
        checked = check(**where).after(parsed)
        divided = split(**where).after(checked)
        searched = search(workers=workers, **where).after(divided)
        tuned = tune(**where).after(searched)
        trained = train(**where).after(tuned)
        exported = export(targets=targets, **where).after(trained)
        evaluated = evaluate(targets=targets, **where).after(exported)
        judged = gate(**where).after(evaluated)
        reported = report(**where).after(judged)
        publish(**where).after(reported)


def _plain(name: str) -> str:
    return name.replace(".", "_")


def _signature(names: list[str], *, defaults: bool) -> inspect.Signature:
    """Parameters as KFP reads them from a function, so that the form is written once."""
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                annotation=TYPES[INPUTS[name]["type"]],
                default=INPUTS[name]["default"] if defaults else inspect.Parameter.empty,
            )
            for name in names
        ]
    )


training.__signature__ = _signature(list(INPUTS), defaults=True)  # type: ignore[attr-defined]
described = "\n".join(f"    {name}: {field['description']}" for name, field in INPUTS.items())
training.__doc__ = f"{__doc__}\n\nArgs:\n{described}\n"
training = dsl.pipeline(name="training")(training)
