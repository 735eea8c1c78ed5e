"""Section `use_case` of params.yaml: what the detector is for, and the names of metrics that it is said in."""

import re
from typing import get_args

from pydantic import Field, field_validator

from tasks.contracts.params import Artefact, Params
from tasks.contracts.quoting import QUOTED, quoted, quoting_hint, unquoted

METRICS = ("map50", "map50_95", "precision", "recall", "f1")
METRIC = re.compile(rf"{'|'.join(METRICS)}|(?P<name>ap50|ap50_95|precision|recall|f1) of (?P<label>{QUOTED})")


class UseCase(Params):
    """What the detector is for: shared by tune, train, evaluate, gate and publish."""

    # List and pattern are for forms: doctor and the validator below say more of a wrong value.
    target: str = Field(
        description="the one of export.targets that goes live: its verdict decides the release",
        json_schema_extra={"enum": list(get_args(Artefact))},
    )
    metric: str = Field(
        description="what tune and train maximise on val: map50, map50_95, precision, recall, f1, "
        'or of one class ap50, ap50_95, precision, recall, f1: recall of "crack", ap50 of "5\\" pipe" (quoted as in '
        "JSON)",
        json_schema_extra={"pattern": f"^({re.sub(r'[?]P<[a-z]+>', '', METRIC.pattern)})$"},
    )
    operating_point: str = Field(
        default="best f1",
        description='how a class\'s score threshold is chosen on val: "best f1", "recall >= 0.95" (the highest '
        'threshold that still reaches it) or "precision >= 0.9" (the lowest threshold that reaches it)',
    )
    operating_points: dict[str, str] = Field(default_factory=dict, description="the same per class, by label")

    @field_validator("metric")
    @classmethod
    def _metric_is_known(cls, metric: str) -> str:
        form = METRIC.fullmatch(metric)
        if form is None:
            hint = quoting_hint(metric) or f'write one of {", ".join(METRICS)} or ap50 of "label"'
            raise ValueError(f"'{metric}' is not a metric; {hint}")
        # One of the ways in which JSON writes a label, so that names can be compared.
        return metric if form["label"] is None else f"{form['name']} of {quoted(unquoted(form['label']))}"

    @property
    def label(self) -> str | None:
        """The class that the metric is of; None where it is over all."""
        return label_of(self.metric)


def label_of(metric: str) -> str | None:
    """The class of a metric's name, as `recall of "crack"`; None where it is over all, or of another form."""
    form = METRIC.fullmatch(metric)
    return None if form is None or form["label"] is None else unquoted(form["label"])
