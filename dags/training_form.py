"""The form of a training run: the values set most often, with the defaults of params.yaml; a bad value is refused.

Any other value of params.yaml can be given by its dotted name in `params`. Airflow and Kubeflow show the same form.
"""

from collections.abc import Mapping
from typing import Any

import yaml
from settings import read_settings

# Default, title, section, description, and the rest of a JSON schema: what Airflow's Param takes.
Field = dict[str, Any]

DEFAULTS: dict[str, Any] = yaml.safe_load((read_settings().checkout / "params.yaml").read_text("utf-8"))
# tasks/contracts/params.py has the same; a test holds them together.
ARTEFACTS = ["pytorch", "torchscript", "onnx", "openvino-fp32", "openvino-fp16", "openvino-int8", "tensorrt-fp16"]
LABEL = r'"([^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})+"'
METRIC = f"^(map50|map50_95|precision|recall|f1|(ap50|ap50_95|precision|recall|f1) of {LABEL})$"
# The one section that Airflow's page shows unfolded.
OPEN = "Run Parameters"


def knob(name: str, section: str, description: str, **schema: Any) -> Field:
    """A value of params.yaml: its dotted name, its group in the form, its meaning and its JSON schema."""
    value: Any = DEFAULTS
    for part in name.split("."):
        value = value[part]
    # YAML 1.1 takes 1e-3 for a text; the stages take it for what it is.
    value = float(value) if schema["type"] == "number" else value
    return {"default": value, "title": name, "section": section, "description": description, **schema}


def text(name: str, section: str, description: str, **schema: Any) -> Field:
    """A text that is not empty."""
    return knob(name, section, description, type="string", minLength=1, **schema)


def whole(name: str, section: str, description: str, minimum: int, **schema: Any) -> Field:
    """A whole number."""
    return knob(name, section, description, type="integer", minimum=minimum, **schema)


KNOBS: dict[str, Field] = {
    knob["title"]: knob
    for knob in [
        text("ingest.source", OPEN, "Where the labels are: a CVAT zip, a folder of exports, or s3://bucket/prefix."),
        text(
            "use_case.metric",
            OPEN,
            "What search and training maximise: map50, map50_95, precision, recall, f1; of one class, say "
            'recall of "crack".',
            pattern=METRIC,
        ),
        text(
            "train.model",
            OPEN,
            "Pretrained weights, or an architecture file to start from nothing. Weights are fetched only if "
            "train.allow_download is on.",
            examples=["yolo26n.pt", "yolo26s.pt", "yolo11s.pt", "rtdetr-l.pt", "yolo-micro.yaml"],
        ),
        whole("train.epochs", OPEN, "Passes over the training images, at most.", minimum=1),
        whole(
            "train.image_size",
            OPEN,
            "Pixels of the square that images are fitted into: a multiple of 32.",
            minimum=32,
            multipleOf=32,
        ),
        knob(
            "export.targets",
            OPEN,
            "What the detector is exported to and measured as. pytorch is the checkpoint, with which rules on a drop "
            "compare; champion is the live model, measured again on today's test images.",
            type="array",
            items={"type": "string", "enum": [*ARTEFACTS, "champion"]},
            examples=[*ARTEFACTS, "champion"],
            minItems=1,
            uniqueItems=True,
        ),
        text("use_case.target", OPEN, "The one of them that goes live: its verdict decides.", enum=ARTEFACTS),
        knob(
            "gate.rules",
            OPEN,
            "What every target is held to, one rule a line: map50 >= 0.6, "
            'recall of "crack" >= 0.95 at 95 % confidence, '
            "drop of map50 <= 0.05, map50 not worse than champion by 0.05, latency p95 <= 50 ms, size <= 10 MB. "
            "The doc of task gate has all forms.",
            type="array",
            items={"type": "string"},
        ),
        whole("tune.trials", "Search", "Sets of hyperparameters that are tried; 0: no search.", minimum=0),
        whole("tune.epochs", "Search", "Epochs of one trial.", minimum=1),
        knob(
            "train.allow_download",
            "Training",
            "Fetch pretrained weights that are given by name and are not here yet.",
            type="boolean",
        ),
        text("train.device", "Training", "auto, cpu, 0, or 0,1 for two GPUs.", pattern=r"^(auto|cpu|\d+(,\d+)*)$"),
        whole("train.batch", "Training", "Images at a time; halved if memory runs out.", minimum=1),
        knob(
            "train.lr0",
            "Training",
            "First learning rate; a search looks for it and goes before this value.",
            type="number",
            exclusiveMinimum=0,
            maximum=1,
        ),
        whole("seed", "This run", "All randomness of the run comes from it.", minimum=0),
    ]
}
OF_THE_RUN: dict[str, Field] = {
    "workers": {
        "default": 1,
        "title": "workers",
        "section": "Search",
        "description": "Tasks that share the search; pool gpu says how many work at a time. 0: task tune searches "
        "alone.",
        "type": "integer",
        "minimum": 0,
        "maximum": 64,
    },
    "revision": {
        "default": "HEAD",
        "title": "revision",
        "section": "This run",
        "description": "Branch, tag or commit whose code and params.yaml are run; runs/... repeats a recorded run. "
        "What this form leaves as shown is then that revision's own.",
        "type": "string",
        "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_./@+-]*$",
        "maxLength": 200,
    },
    "params": {
        "default": {},
        "title": "other values",
        "section": "This run",
        "description": 'Any value of params.yaml by its dotted name: {"train.optimizer": "SGD"}. It is set even if it '
        "is the one that the form shows.",
        "type": "object",
    },
}


def values(form: Mapping[str, Any]) -> dict[str, Any]:
    """What a filled form sets, by dotted name of params.yaml; the rest is the revision's own. Raises ValueError."""
    filled = {name: form[name] for name in KNOBS}
    # The page sends a text area's empty lines, too.
    filled["gate.rules"] = [rule.strip() for rule in filled["gate.rules"] if rule.strip()]
    changed = {name: value for name, value in filled.items() if value != KNOBS[name]["default"]}
    chosen: dict[str, Any] = changed | form["params"]
    check(chosen)
    return chosen


def check(given: Mapping[str, object]) -> None:
    """Hold values by dotted name against the form. Raises ValueError."""
    import jsonschema  # noqa: PLC0415  # the DAG's import does without

    for name, value in given.items():
        try:
            jsonschema.validate(value, KNOBS.get(name, {}))
        except jsonschema.ValidationError as error:
            raise ValueError(f"{name}: {error.message}") from error
