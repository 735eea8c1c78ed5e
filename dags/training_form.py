"""The form of a training run: the values set most often, with the defaults of params.yaml; a bad value is refused.

Any other value of params.yaml can be given by its dotted name in `params`.
"""

from typing import Any

import yaml
from airflow.sdk import Param
from settings import read_settings

DEFAULTS: dict[str, Any] = yaml.safe_load((read_settings().checkout / "params.yaml").read_text("utf-8"))
TARGETS: list[str] = DEFAULTS["export"]["targets"]


def knob(name: str, section: str, description: str, **schema: Any) -> Param:
    """A value of params.yaml: its dotted name, its group in the form, its meaning and its JSON schema."""
    value: Any = DEFAULTS
    for part in name.split("."):
        value = value[part]
    return Param(value, title=name, section=section, description=description, **schema)


def text(name: str, section: str, description: str, **schema: Any) -> Param:
    """A text that is not empty."""
    return knob(name, section, description, type="string", minLength=1, **schema)


def whole(name: str, section: str, description: str, minimum: int, **schema: Any) -> Param:
    """A whole number."""
    return knob(name, section, description, type="integer", minimum=minimum, **schema)


KNOBS = {
    knob.schema["title"]: knob
    for knob in [
        text("ingest.source", "Labels", "a CVAT zip, a folder of exports, or s3://bucket/prefix"),
        text("use_case.target", "Use case", "the artefact that goes live; its verdict decides", enum=TARGETS),
        text("use_case.metric", "Use case", 'what search and training maximise: map50, recall of "crack", ...'),
        knob(
            "gate.rules",
            "Use case",
            "what every target is held to, one rule a line",
            type="array",
            items={"type": "string", "minLength": 1},
        ),
        whole("tune.trials", "Search", "0: no search", minimum=0, maximum=10_000),
        whole("tune.epochs", "Search", "of one trial", minimum=1),
        text("train.model", "Training", "pretrained weights, or an architecture file to start from nothing"),
        text("train.device", "Training", "auto, cpu, 0, or 0,1 for two GPUs", pattern=r"^(auto|cpu|\d+(,\d+)*)$"),
        whole("train.image_size", "Training", "pixels, a multiple of 32", minimum=32, multipleOf=32),
        whole("train.epochs", "Training", "at most", minimum=1),
        whole("train.batch", "Training", "images; halved if memory runs out", minimum=1),
        knob("train.lr0", "Training", "first learning rate", type="number", exclusiveMinimum=0, maximum=1),
        knob(
            "export.targets",
            "Targets",
            "what the checkpoint is turned into and measured as",
            type="array",
            items={"type": "string", "enum": TARGETS},
            examples=TARGETS,
            minItems=1,
            uniqueItems=True,
        ),
        whole("seed", "Run", "all randomness of a run comes from it", minimum=0),
    ]
}
OF_THE_RUN = {
    "revision": Param(
        "HEAD",
        title="revision",
        section="Run",
        description="branch, tag or commit; runs/... repeats a recorded run",
        type="string",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./@+-]*$",
        maxLength=200,
    ),
    "workers": Param(
        1,
        title="workers",
        section="Run",
        description="tasks that share the search; pool gpu says how many work at a time",
        type="integer",
        minimum=0,
        maximum=64,
    ),
    "params": Param(
        {},
        title="other values",
        section="Run",
        description='of params.yaml, by dotted name: {"train.optimizer": "SGD"}',
        type="object",
    ),
}
