"""Everything that the page is drawn from, as read from the stages' outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from tasks.contracts.bundle import Bundle
from tasks.contracts.card import Card
from tasks.contracts.check_report import CheckReport
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.leakage import Leakage
from tasks.contracts.ledger import Ledger
from tasks.contracts.tuned import Tuned
from tasks.contracts.use_case import UseCase
from tasks.contracts.verdict import TargetVerdict, Verdict
from tasks.dataset.decoding import Image

LoadImage = Callable[[str], Image | None]  # an image_id's picture; None where there is no file or it cannot be decoded


@dataclass(frozen=True)
class MeasuredTarget:
    """One target: what was exported and what was measured of it."""

    evaluation: Evaluation
    bundle: Bundle | None  # None where there was nothing to export
    verdict: TargetVerdict | None  # None where the gate does not judge it
    resamples: pd.DataFrame
    curves: pd.DataFrame
    confident: pd.DataFrame = field(default_factory=pd.DataFrame)  # predictions, see gating.same_predictions


# The two-sided 95 % interval of how far the first is above the second in a metric that was measured on both.
Between = Callable[[str, MeasuredTarget, MeasuredTarget], tuple[float, float]]


@dataclass(frozen=True)
class Data:
    """What was labelled, what is wrong with it and how it was divided."""

    images: pd.DataFrame
    objects: pd.DataFrame
    split: pd.DataFrame
    findings: pd.DataFrame
    ledger: Ledger
    checks: CheckReport
    leakage: Leakage


@dataclass(frozen=True)
class Training:
    """The search, the training and where both came from."""

    tuned: Tuned
    trials: pd.DataFrame
    card: Card
    history: pd.DataFrame  # one row per epoch


@dataclass(frozen=True)
class ReportInputs:
    """What the page is made of."""

    use_case: UseCase
    verdict: Verdict
    targets: dict[str, MeasuredTarget]  # the live one first, then in the order of the verdict
    predictions: pd.DataFrame  # of the live target
    data: Data
    training: Training
    between: Between
    rename: Mapping[str, str]  # parse.rename

    @property
    def live(self) -> MeasuredTarget | None:
        """The target that the release is about; None if it was not measured."""
        return self.measured.get(self.verdict.target)

    @property
    def measured(self) -> dict[str, MeasuredTarget]:
        """The targets that there was something to measure of."""
        return {name: target for name, target in self.targets.items() if target.evaluation.absent is None}
