"""Whether two artefacts predict the same, so that what one loses against the other is known without any statistics.

Equal figures do not show that: on a few objects an artefact that finds nine in ten may find as many as its checkpoint.
"""

from pathlib import Path

import pandas as pd

from tasks.contracts.tables import BOX, PREDICTIONS

_LEAST_SCORE = 0.05  # of what is compared; below, NMS decides between boxes that differ by rounding
_SCORE, _BOX_PX = 1e-4, 0.1  # by which rounding alone may set two predictions apart; of FP16 it is more


def read_confident(evaluation: Path) -> pd.DataFrame:
    """The predictions in the folder of an evaluation, those that are compared; none where it holds none."""
    file = evaluation / "predictions.parquet"
    if not file.exists():
        return pd.DataFrame(columns=PREDICTIONS.names)
    return pd.read_parquet(file, filters=[("score", ">=", _LEAST_SCORE)])


def predict_the_same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two artefacts find the same boxes on the same images with the same scores, but for rounding.

    one, other: from `read_confident`. Where nothing is predicted there is nothing to compare: False.
    """
    if one.empty or len(one) != len(other):
        return False
    ones, others = (
        table.sort_values(["image_id", "label", "score", *BOX], ignore_index=True) for table in (one, other)
    )
    if not ones[["image_id", "label"]].equals(others[["image_id", "label"]]):
        return False
    apart = (ones[["score", *BOX]] - others[["score", *BOX]]).abs().max()
    return bool(apart["score"] <= _SCORE and (apart[BOX] <= _BOX_PX).all())
