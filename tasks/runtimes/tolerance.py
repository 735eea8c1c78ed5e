"""How far an artefact may be from the checkpoint, and from what training measured, before it is another detector."""

import logging
from pathlib import Path

from pydantic import Field

from tasks.contracts.bundle import Bundle, Parity
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Params
from tasks.contracts.work import content_sha256

log = logging.getLogger(__name__)


class Tolerance(Params):
    """What parity may be at worst. INT8 moves single boxes far and most of them little: quantiles suit it better."""

    max_box_px: float | None = Field(default=None, gt=0, description="largest shift of a box side; null: any")
    max_score: float | None = Field(default=None, gt=0, le=1, description="largest change of a score; null: any")
    max_p90_box: float | None = Field(
        default=None, gt=0, description="shift that nine of ten boxes keep within, as a share of their size; null: any"
    )
    max_p90_score: float | None = Field(
        default=None, gt=0, le=1, description="change of score that nine of ten boxes keep within; null: any"
    )
    max_bias_input_px: float | None = Field(
        default=None,
        gt=0,
        description="median shift of all boxes to one direction, in pixels of the network's input; null: any",
    )
    min_matched: float = Field(
        ge=0,
        le=1,
        description="share of the checkpoint's boxes that must be found again; as many as may be lacking may be extra",
    )


class Tolerances(Params):
    """One for every precision of artefacts."""

    fp32: Tolerance
    fp16: Tolerance
    int8: Tolerance


def faults_of(parity: Parity, tolerance: Tolerance) -> list[str]:
    """What is beyond tolerance, each with its figure and its limit."""
    faults = []
    if parity.matched < tolerance.min_matched * parity.boxes:
        faults.append(f"{parity.matched} of {parity.boxes} boxes found again, {tolerance.min_matched:.0%} wanted")
    if parity.extra and parity.boxes - parity.extra < tolerance.min_matched * parity.boxes:
        allowed = int((1 - tolerance.min_matched) * parity.boxes)
        faults.append(
            f"{parity.extra} boxes that the checkpoint does not have, beside its {parity.boxes}, {allowed} allowed"
        )
    for says, value, limit in (
        ("boxes up to {} px off", parity.max_box_px, tolerance.max_box_px),
        ("scores up to {} off", parity.max_score, tolerance.max_score),
        ("one box in ten more than {} of its size off", parity.p90_box, tolerance.max_p90_box),
        ("one score in ten more than {} off", parity.p90_score, tolerance.max_p90_score),
        ("boxes {} px of the input off to one side", parity.bias_input_px, tolerance.max_bias_input_px),
    ):
        if limit is not None and (value or 0) > limit:
            faults.append(f"{says.format(f'{value:.3g}')}, {limit:g} allowed")
    return faults


class TrainingTolerance(Params):
    """How far val may be from what training measured of the same weights on the same images; null: not compared."""

    fp32: float | None = Field(default=0.02, ge=0, le=1, description="map50 and map50_95 of such artefacts")
    fp16: float | None = Field(default=0.03, ge=0, le=1, description="of such")
    int8: float | None = Field(default=0.1, ge=0, le=1, description="of such; smaller losses are for the gate")


def hold_to_training(
    bundle: Bundle, val: dict[str, float | None], tables: list[Path], tolerances: TrainingTolerance
) -> None:
    """Raises PipelineError if val is not what training measured: both run the same weights on the same images."""
    tolerance: float | None = getattr(tolerances, bundle.precision)
    trained = bundle.trained_val
    if bundle.registry_version or tolerance is None:
        return  # a champion was trained on other images
    if trained is None:
        log.warning("val is not compared with training: NMS or head of %s are others than in training", bundle.target)
        return
    if trained.data_sha256 != {table.name: content_sha256(table) for table in tables}:
        log.warning("val is not compared with training: the tables have changed since")
        return
    before = {name: value for name, value in trained.figures.items() if value is not None}
    off = {name: (val[name] or 0.0) - value for name, value in before.items()}
    worst = max(off, key=lambda name: abs(off[name]), default=None)
    if worst is not None and abs(off[worst]) > tolerance:
        raise PipelineError(
            f"{bundle.target} does not measure on val what training measured with the same weights on the same images: "
            f"{worst} {val[worst] or 0.0:.3f} here, {before[worst]:.3f} in training",
            f"{abs(off[worst]):.3f} apart, evaluate.training_tolerance.{bundle.precision} allows {tolerance:g}",
            "Find out which of the two is wrong before anything ships: pre-processing, export or the weights. If both "
            "are right, widen the tolerance in params.yaml",
        )
