"""Whether what params name is labelled, and which classes came or went: known as soon as labels are read."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pydantic import ConfigDict, Field

from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.params import Params, read_params, read_rename, read_sections
from tasks.contracts.record import read_record
from tasks.contracts.use_case import UseCase
from tasks.contracts.verdict import Verdict
from tasks.gating.renames import Rename, rename_hint
from tasks.gating.rule_faults import attribute_faults, class_faults, part_faults, understood

log = logging.getLogger(__name__)

_ANY_CONFIDENCE = 0.95  # says nothing about names


class _Gate(Params):
    model_config = ConfigDict(extra="ignore", frozen=True)
    rules: list[str] = Field(default_factory=list)


class _Evaluate(Params):
    model_config = ConfigDict(extra="ignore", frozen=True)
    slice_attributes: list[str] = Field(default_factory=list)


def look_at_names(params: Path, verdict: Path, objects: pd.DataFrame) -> None:
    """Hold what params name to the labels, and tell of classes that came or went since the last run."""
    refuse_names_without_labels(params, objects)
    tell_of_other_classes(verdict, objects, read_rename(params))


def refuse_names_without_labels(params: Path, objects: pd.DataFrame) -> None:
    """Hold gate.rules, use_case and evaluate.slice_attributes to the labels and attributes of the objects.

    objects: contracts.tables.OBJECTS. Raises PipelineError that names each, with the nearest that there is.
    """
    faults = list(_faults(params, objects))
    if faults:
        raise PipelineError(
            "params name what is labelled nowhere",
            f"{params}\n{first_of(faults)}\n",
            "Correct the names, or label such objects; nothing is trained before",
        )


def _faults(params: Path, objects: pd.DataFrame) -> Iterator[str]:
    gate, evaluate = read_params(params, "gate", _Gate), read_params(params, "evaluate", _Evaluate)
    rules, _ = understood(gate.rules, _ANY_CONFIDENCE)
    if "use_case" in read_sections(params):
        classes = sorted(objects["label"].unique())
        yield from class_faults(rules, read_params(params, "use_case", UseCase), classes, read_rename(params))
    if evaluate.slice_attributes:
        values = _values(objects)
        yield from attribute_faults(evaluate.slice_attributes, sorted(values))
        yield from part_faults(rules, {name: values[name] for name in evaluate.slice_attributes if name in values})


def _values(objects: pd.DataFrame) -> dict[str, list[str]]:
    """The values of each attribute, as slices name them."""
    seen: dict[str, set[str]] = {}
    for text in objects["attributes"].unique():
        for name, value in json.loads(text).items():
            seen.setdefault(name, set()).add(str(value))
    return {name: sorted(values) for name, values in seen.items()}


def tell_of_other_classes(verdict: Path, objects: pd.DataFrame, rename: Rename) -> None:
    """Warn of classes that came or went since the last run's verdict, if there is one.

    A champion cannot be measured on a class that it does not know, and a class that went is one nobody looks for.
    """
    try:
        before = set(read_record(verdict, Verdict).classes)
    except PipelineError:
        return  # of no run, or of another version
    now = set(objects["label"])
    gone, new = sorted(before - now), sorted(now - before)
    if not before or not (gone or new):
        return
    says = [f"{word}: {', '.join(map(repr, some))}" for word, some in (("gone", gone), ("new", new)) if some]
    hint = rename_hint(gone, new, rename)
    log.warning("classes are not those of the last run, %s%s", "; ".join(says), f". {hint}" if hint else "")
