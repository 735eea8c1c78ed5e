"""Whether the classes and attributes that params name are labelled: known as soon as labels are read."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pydantic import ConfigDict, Field

from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.params import Params, UseCase, read_params, read_sections
from tasks.metrics.rule_faults import attribute_faults, class_faults, understood

_ANY_CONFIDENCE = 0.95  # says nothing about names


class _Gate(Params):
    model_config = ConfigDict(extra="ignore", frozen=True)
    rules: list[str] = Field(default_factory=list)


class _Evaluate(Params):
    model_config = ConfigDict(extra="ignore", frozen=True)
    slice_attributes: list[str] = Field(default_factory=list)


def refuse_names_without_labels(params: Path, objects: pd.DataFrame) -> None:
    """Hold gate.rules, use_case and evaluate.slice_attributes to the labels and attributes of the objects.

    objects: contracts.tables.OBJECTS. Raises PipelineError that names each, with the nearest that there is.
    """
    faults = list(_faults(params, objects))
    if faults:
        raise PipelineError(
            "params name what is labelled nowhere",
            f"{params}\n{first_of(faults)}\n",
            "Mend the names, or label such objects; nothing is trained before",
        )


def _faults(params: Path, objects: pd.DataFrame) -> Iterator[str]:
    gate, evaluate = read_params(params, "gate", _Gate), read_params(params, "evaluate", _Evaluate)
    rules, _ = understood(gate.rules, _ANY_CONFIDENCE)
    if "use_case" in read_sections(params):
        classes = sorted(objects["label"].unique())
        yield from class_faults(rules, read_params(params, "use_case", UseCase), classes)
    if evaluate.slice_attributes:
        known = {name for text in objects["attributes"].unique() for name in json.loads(text)}
        yield from attribute_faults(evaluate.slice_attributes, sorted(known))
