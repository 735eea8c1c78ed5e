"""How far an artefact may be from the checkpoint before it is another detector."""

from pydantic import Field

from tasks.contracts.bundle import Parity
from tasks.contracts.params import Params


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
    """The tolerance of each precision that artefacts have."""

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
