"""The form of a training run: the values set most often, with the defaults of params.yaml; a bad value is refused.

Any other value of params.yaml can be given by its dotted name in `params`. Airflow and Kubeflow show the same form.
Text and bounds are those of the params classes: `python -m tests.params_schema` writes params_schema.json of them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from settings import read_settings

# Default, title, section, description, and the rest of a JSON schema: what Airflow's Param takes.
Field = dict[str, Any]

DEFAULTS: dict[str, Any] = yaml.safe_load((read_settings().checkout / "params.yaml").read_text("utf-8"))
SCHEMA: dict[str, Any] = json.loads(Path(__file__).with_name("params_schema.json").read_text("utf-8"))
# Airflow's page shows the first unfolded.
GROUPS = {
    "Run Parameters": [
        "ingest.source",
        "use_case.metric",
        "train.model",
        "train.epochs",
        "train.image_size",
        "export.targets",
        "use_case.target",
        "gate.rules",
    ],
    "Search": ["tune.trials", "tune.epochs"],
    "Training": ["train.allow_download", "train.device", "train.batch", "train.lr0"],
    "This run": ["seed"],
}


def field(name: str, group: str) -> Field:
    """A value of params.yaml: its dotted name, its group in the form, and the schema of its params class."""
    section, _, key = name.rpartition(".")
    values = DEFAULTS[section] if section else DEFAULTS
    schema = SCHEMA["$defs"][SCHEMA["properties"][section]["$ref"].rsplit("/", 1)[1]] if section else SCHEMA
    found: Field = schema["properties"][key]
    # YAML 1.1 takes 1e-3 for a text; the stages take it for what it is.
    default = float(values[key]) if found["type"] == "number" else values[key]
    text = found["description"]
    description = f"{text[0].upper()}{text[1:]}."
    # Airflow's page draws a list to choose from by its examples.
    choices = {"examples": found["items"]["enum"]} if "enum" in found.get("items", {}) else {}
    return {**found, **choices, "default": default, "title": name, "section": group, "description": description}


PARAMETERS = {name: field(name, group) for group, names in GROUPS.items() for name in names}
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
    filled = {name: form[name] for name in PARAMETERS}
    # The page sends a text area's empty lines, too.
    filled["gate.rules"] = [rule.strip() for rule in filled["gate.rules"] if rule.strip()]
    changed = {name: value for name, value in filled.items() if value != PARAMETERS[name]["default"]}
    chosen: dict[str, Any] = changed | form["params"]
    check(chosen)
    return chosen


def check(given: Mapping[str, object]) -> None:
    """Hold values by dotted name against the form. Raises ValueError."""
    import jsonschema  # noqa: PLC0415  # the DAG's import does without

    for name, value in given.items():
        try:
            jsonschema.validate(value, PARAMETERS.get(name, {}))
        except jsonschema.ValidationError as error:
            raise ValueError(f"{name}: {error.message}") from error
