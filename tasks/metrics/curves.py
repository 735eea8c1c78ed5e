"""Curves over the score: precision, recall and F1 of each class, and whether a score means what it says."""

import numpy as np
import pandas as pd

from tasks.contracts.evaluation import ScoreBin
from tasks.metrics.matching import Matches
from tasks.metrics.operating_points import sweep

CURVE_COLUMNS = ["label", "threshold", "precision", "recall", "f1"]
_POINTS = 500  # of one class's curve; more do not show


def curves(matches: Matches) -> pd.DataFrame:
    """CURVE_COLUMNS at IoU 0.5; thresholds fall within a label.

    A class without objects or without a right detection has no curve.
    """
    tables = []
    for index, label in enumerate(matches.labels):
        curve = sweep(*matches.judged(matches.of(index)), int(matches.objects[index]))
        if curve is None:
            continue
        kept = np.unique(np.linspace(0, len(curve.score) - 1, _POINTS).round().astype(int))
        columns = {"threshold": curve.score, "precision": curve.precision, "recall": curve.recall, "f1": curve.f1}
        tables.append(pd.DataFrame({"label": label} | {name: values[kept] for name, values in columns.items()}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=CURVE_COLUMNS)


def score_bins(matches: Matches, bins: int, least_score: float) -> list[ScoreBin]:
    """Equal bands of the score from `least_score` to 1, and the share of detections in each that is right (IoU 0.5)."""
    edges = np.linspace(least_score, 1, bins + 1)
    score, right = matches.judged()
    score, right = score[score >= least_score], right[score >= least_score]
    band = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, bins - 1)
    result = []
    for index in range(bins):
        inside = band == index
        some = bool(inside.any())
        result.append(
            ScoreBin(
                low=float(edges[index]),
                high=float(edges[index + 1]),
                predictions=int(inside.sum()),
                mean_score=float(score[inside].mean()) if some else None,
                precision=float(right[inside].mean()) if some else None,
            )
        )
    return result


def calibration_error(bins: list[ScoreBin]) -> float | None:
    """Expected calibration error: how far scores are from precision, weighted by detections; None without any."""
    total = sum(band.predictions for band in bins)
    gaps = [
        band.predictions * abs(band.mean_score - band.precision)
        for band in bins
        if band.mean_score is not None and band.precision is not None
    ]
    return sum(gaps) / total if total else None
