"""Writes what evaluate hands to the report: predictions with every kind of error, and plausible figures."""

from pathlib import Path

import numpy as np
import pandas as pd

from tasks.contracts.evaluation import ClassEvaluation, ClassSlice, Evaluation, Interval, Latency, ScoreBin, Slice
from tasks.contracts.record import write_record
from tasks.contracts.tables import BOX, PREDICTIONS, write_table
from tests.report_data_fixture import Scene

METRICS = ("map50", "map50_95", "precision", "recall", "f1")


def _interval(scene: Scene, value: float, spread: float = 0.04) -> Interval:
    if not scene.objects:
        return Interval(value=None, low=None, high=None)
    value = round(min(value, 0.999), 4)
    if not scene.intervals:
        return Interval(value=value, low=None, high=None)
    return Interval(value=value, low=round(max(0.0, value - spread), 4), high=round(min(1.0, value + spread * 0.8), 4))


def write_evaluation(folder: Path, target: str, scene: Scene, test: pd.DataFrame, drop: float) -> None:
    folder.mkdir(parents=True)
    if target == "champion" and not scene.champion:
        write_record(Evaluation(target=target, absent="the registry holds no champion yet"), folder / "evaluation.json")
        return
    rng = np.random.default_rng(11)
    predictions = _predictions(scene, test, rng)
    write_table(predictions, folder / "predictions.parquet", PREDICTIONS)
    write_record(_evaluation(target, scene, test, drop), folder / "evaluation.json")
    names = [*METRICS, *[f'ap50 of "{label}"' for label in scene.labels]]
    wobble = np.random.default_rng(5).normal(0, 0.018, (200, len(names))) + np.random.default_rng(len(target)).normal(
        0, 0.006, (200, len(names))
    )
    pd.DataFrame(0.87 - drop + wobble, columns=names).to_parquet(folder / "resamples.parquet")
    thresholds = np.linspace(0, 1, 51)
    curves = [
        pd.DataFrame(
            {
                "label": label,
                "threshold": thresholds,
                "precision": 1 - 0.6 * (1 - thresholds) ** (2.5 - 2 * number / len(scene.labels)),
                "recall": (1 - thresholds ** (3 - 2 * number / len(scene.labels))) * 0.96,
            }
        )
        for number, label in enumerate(scene.labels)
    ]
    table = pd.concat(curves) if scene.objects else pd.concat(curves).iloc[:0]
    table["f1"] = 2 * table["precision"] * table["recall"] / (table["precision"] + table["recall"])
    table.to_parquet(folder / "curves.parquet", index=False)


def _predictions(scene: Scene, test: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for number, row in enumerate(test.to_dict("records")):
        if number % 9 == 4 or (scene.objects_per_image and number % 2):
            continue  # missed
        label = scene.labels[0] if number % 11 == 6 else row["label"]
        far = 14.0 if number % 10 == 8 else 1.5
        shift = rng.normal(0, far, 4)
        box = [row[side] + move for side, move in zip(BOX, shift, strict=True)]
        rows.append((row["image_id"], label, round(float(rng.uniform(0.4, 0.97)), 3), *box))
        if number % 7 == 3:
            rows.append((row["image_id"], label, 0.55, 20.0, 205.0, 60.0, 232.0))  # on the background
        if number % 13 == 5:
            rows.append((row["image_id"], label, 0.45, *[side + 2 for side in box]))  # twice
    return pd.DataFrame(rows, columns=PREDICTIONS.names)


def _evaluation(target: str, scene: Scene, test: pd.DataFrame, drop: float) -> Evaluation:
    counts = {label: int((test["label"] == label).sum()) for label in scene.labels}
    worse = {label: 0.95 - 0.3 * number / len(scene.labels) - drop for number, label in enumerate(scene.labels)}
    return Evaluation(
        target=target,
        registry_version="3" if target == "champion" else None,
        known=list((target == "champion" and scene.champion_knows) or scene.labels),
        images=test["image_id"].nunique(),
        objects=len(test),
        groups=4,
        resampled="parts",
        resampling_reason="test shares a scene with other sides of the split, divided in time: 4 parts are resampled",
        resamples=1000,
        overall={name: _interval(scene, 0.87 - drop - 0.04 * number) for number, name in enumerate(METRICS)},
        val=dict.fromkeys(METRICS, 0.88 - drop),
        classes={
            label: ClassEvaluation(
                objects=counts[label],
                groups=min(4, counts[label]),
                threshold=0.31 + 0.02 * (number % 8),
                operating_point="recall >= 0.95" if scene.operating_note else "",
                operating_note=scene.operating_note if label == scene.labels[-1] else "",
                true_positives=int(counts[label] * 0.9),
                false_positives=2,
                ap50=_interval(scene, worse[label]),
                ap50_95=_interval(scene, worse[label] - 0.2),
                precision=_interval(scene, worse[label] - 0.02),
                recall=_interval(scene, worse[label] - 0.05, 0.07),
                f1=_interval(scene, worse[label] - 0.03),
            )
            for number, label in enumerate(scene.labels)
        },
        errors=_errors(scene),
        confusion=_confusion(scene, counts),
        slices=[
            Slice(
                by=by,
                part=part,
                images=5,
                objects=9,
                ap50=_interval(scene, 0.8),
                recall=_interval(scene, 0.78),
                classes={label: _class_slice(scene) for label in scene.labels[:2]} if by == "size" else {},
            )
            for by, part in [("size", "small"), ("size", "medium"), ("source", "camera-0"), ("source", "camera-1")]
        ],
        calibration_error=0.061 if scene.objects else None,
        score_bins=[
            ScoreBin(low=n / 10, high=(n + 1) / 10, predictions=3 * n, mean_score=n / 10 + 0.05, precision=n / 11)
            for n in range(10)
        ]
        if scene.objects
        else [],
        latency=Latency(p50_ms=4.2 + 30 * drop, p95_ms=6.1 + 30 * drop, p99_ms=7.0, images=200, machine="2-core x86-64",
                        threads=2, device="cpu"),
        peak_memory_mb=412.0,
        size_bytes=2_900_000 if "int8" in target else 9_800_000,
        hints=list(scene.hints),
    )  # fmt: skip


def _class_slice(scene: Scene) -> ClassSlice:
    return ClassSlice(
        objects=4,
        groups=2,
        images=3,
        true_positives=3,
        found=4,
        ap50=_interval(scene, 0.7),
        recall=_interval(scene, 0.68),
    )


def _errors(scene: Scene) -> dict[str, dict[str, int]]:
    if not scene.objects:
        return {}
    last = len(scene.labels) - 1
    return {
        label: {
            "missed": 2,
            "background": 1 + number % 3,
            "class": 1 + number % 2 if number < last else 0,
            "localisation": number % 2,
            "duplicate": 1,
        }
        for number, label in enumerate(scene.labels)
    }


def _confusion(scene: Scene, counts: dict[str, int]) -> dict[str, dict[str, int]]:
    """What the errors say, in the one reading that both come from."""
    errors = _errors(scene)
    if not errors:
        return {}
    table: dict[str, dict[str, int]] = {}
    for number, label in enumerate(scene.labels):
        lost = errors[label]["missed"] + errors[label]["localisation"]
        taken_for = {scene.labels[number - 1]: errors[scene.labels[number - 1]]["class"]} if number else {}
        right = max(0, counts[label] - lost - sum(taken_for.values()))
        table[label] = {label: right, **taken_for, "background": lost}
    wrong = {
        label: sum(of[kind] for kind in ("background", "localisation", "duplicate")) for label, of in errors.items()
    }
    return {**table, "background": wrong}
