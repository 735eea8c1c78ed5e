"""How far an artefact's figures on val may be from what training measured, before one of the two must be wrong."""

import logging
from pathlib import Path

from pydantic import Field

from tasks.contracts.bundle import Bundle
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Params

log = logging.getLogger(__name__)


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
