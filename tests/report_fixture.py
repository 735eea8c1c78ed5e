"""Writes every input of the report through the contracts: a belt of parts, predictions, figures and a verdict."""

from pathlib import Path

import numpy as np
import pandas as pd

from tasks.contracts.bundle import Bundle, Calibration, NoChampion, Output, Parity, Preprocessing
from tasks.contracts.card import Card, Lineage
from tasks.contracts.record import write_record
from tasks.contracts.tuned import Tuned
from tasks.contracts.verdict import RuleResult, TargetVerdict, Verdict
from tests.report_data_fixture import Scene, divided, drawn_images, drawn_objects, write_data
from tests.report_evaluation_fixture import write_evaluation


def write_inputs(folder: Path, scene: Scene) -> dict[str, Path]:
    """Write all inputs below `folder`; returns the path for each option of the stage."""
    rng = np.random.default_rng(3)
    paths = {
        "raw": folder / "data/raw",
        "annotations": folder / "data/annotations",
        "checks": folder / "data/checks",
        "split": folder / "data/split.parquet",
        "leakage": folder / "reports/leakage.json",
        "tuned": folder / "models/tuned",
        "trained": folder / "models/trained",
        "exported": folder / "models/exported",
        "evaluations": folder / "reports/evaluation",
        "verdict": folder / "reports/verdict.json",
    }
    images = drawn_images(scene)
    objects = drawn_objects(scene, images, rng)
    split = divided(images)
    if not scene.objects:
        tested = split.loc[split["split"] == "test", "image_id"]
        objects = objects[~objects["image_id"].isin(tested)]
    write_data(paths, scene, images, objects, split)
    _write_models(paths, scene, rng)
    test = objects[objects["image_id"].isin(split.loc[split["split"] == "test", "image_id"])]
    for number, target in enumerate(scene.targets):
        write_evaluation(paths["evaluations"] / target, target, scene, test, 0.004 * number)
    write_record(_verdict(scene), paths["verdict"])
    return paths


def _write_models(paths: dict[str, Path], scene: Scene, rng: np.random.Generator) -> None:
    _write_study(paths["tuned"], scene, rng)
    paths["trained"].mkdir(parents=True)
    lineage = Lineage(
        code_sha256="3f9c2d1e8b7a6054c3f9c2d1e8b7a6054c3f9c2d",
        data_sha256={"images.parquet": "a1" * 32, "objects.parquet": "b2" * 32, "split.parquet": "c3" * 32},
        params={"train.epochs": 20, "train.batch": 16, "train.lr0": 0.005, "train.device": "auto", "seed": 7},
        versions={"torch": "2.13.0", "ultralytics": "8.4.190"},
    )
    card = Card(
        family="ultralytics",
        architecture="yolo26n",
        code_licence="AGPL-3.0",
        weights_licence="AGPL-3.0",
        classes=list(scene.labels),
        image_size=320,
        weights="best.pt",
        weights_sha256="d4" * 32,
        metric="map50",
        best_epoch=17,
        best_value=0.871,
        epochs=20,
        parameters=2_400_000,
        batch=16,
        device="cpu",
        lineage=lineage,
    )
    write_record(card, paths["trained"] / "card.json")
    epochs = np.arange(1, 21)
    fall = np.exp(-epochs / 7)
    pd.DataFrame(
        {
            "epoch": epochs,
            "box": 0.6 + 2.1 * fall + rng.normal(0, 0.03, 20),
            "cls": 0.4 + 3.0 * fall + rng.normal(0, 0.03, 20),
            "dfl": 0.9 + 0.6 * fall + rng.normal(0, 0.02, 20),
            "metric": 0.9 * (1 - fall),
            "map50": 0.9 * (1 - fall) + rng.normal(0, 0.012, 20),
            "map50_95": 0.66 * (1 - fall) + rng.normal(0, 0.012, 20),
            "lr": 0.005 * (1 - 0.95 * epochs / 20),
        }
    ).to_csv(paths["trained"] / "history.csv", index=False)
    for target in scene.targets:
        folder = paths["exported"] / target
        if target == "champion" and not scene.champion:
            write_record(NoChampion(reason="the registry holds no champion yet"), folder / "absent.json")
        else:
            write_record(_bundle(target, scene), folder / "bundle.json")


def _write_study(folder: Path, scene: Scene, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    numbers = np.arange(scene.trials)
    value = np.where(numbers % 5 == 3, np.nan, 0.6 + 0.02 * numbers + rng.normal(0, 0.02, scene.trials))
    best = int(np.nanargmax(value)) if scene.trials else None
    learning_rate = 10 ** rng.uniform(-4, -2, scene.trials)
    trials = pd.DataFrame(
        {
            "number": numbers,
            "state": ["PRUNED" if number % 5 == 3 else "COMPLETE" for number in numbers],
            "value": value,
            "epochs": np.full(scene.trials, 6),
            "lr0": learning_rate,
            "optimizer": [("AdamW", "SGD")[number % 2] for number in numbers],
        }
    )
    trials.to_parquet(folder / "trials.parquet", index=False)
    chosen = {} if best is None else {"lr0": float(learning_rate[best]), "optimizer": ("AdamW", "SGD")[best % 2]}
    best_value = None if best is None else float(value[best])
    importances = {"lr0": 0.82, "optimizer": 0.18} if scene.trials > 2 else {}
    write_record(
        Tuned(
            metric="map50", trials=scene.trials, trial=best, value=best_value, params=chosen, importances=importances
        ),
        folder / "best.json",
    )


def _bundle(target: str, scene: Scene) -> Bundle:
    int8 = "int8" in target
    return Bundle(
        target=target,
        artefact="model.bin",
        family="ultralytics",
        architecture="yolo26n",
        code_licence="AGPL-3.0",
        weights_licence="AGPL-3.0",
        classes=list(scene.labels),
        precision="int8" if int8 else "fp32",
        preprocessing=Preprocessing(input_wh=(320, 320)),
        output=Output(layout="yolo"),
        calibration=Calibration(images=64, sha256="e5" * 32, objects_per_class=dict.fromkeys(scene.labels, 40))
        if int8
        else None,
        parity=None
        if target == "pytorch"
        else Parity(images=8, boxes=61, matched=60 if int8 else 61, max_box_px=1.84, max_score=0.021, mean_box_px=0.3,
                    mean_score=0.004),
        versions={"openvino": "2026.4.1"},
        files_sha256={"model.bin": "f6" * 32},
        size_bytes=2_900_000 if int8 else 9_800_000,
        trained_sha256="d4" * 32,
        registry_version="3" if target == "champion" else None,
    )  # fmt: skip


def _verdict(scene: Scene) -> Verdict:
    crack = scene.labels[-1]
    outcome = scene.outcome
    accepted = outcome == "accepted"
    says = f'recall of "{crack}" is'
    reasons = {
        "accepted": f"{says} 0.970, at 95 % confidence at least 0.952, and 0.95 is asked for",
        "rejected": f"{says} 0.900, 0.050 short of 0.95; at 95 % confidence it is at most 0.940",
        "undecided": f"{says} 0.970, but at 95 % confidence only at least 0.830, and 0.95 is asked for: "
        f'about 140 more test objects of "{crack}" could decide it',
    }
    deciding = RuleResult(
        rule=f'recall of "{crack}" >= 0.95 at 95 % confidence',
        metric=f'recall of "{crack}"',
        outcome=outcome,
        value=0.90 if outcome == "rejected" else 0.97,
        low=0.952 if accepted else 0.83,
        high=0.99 if outcome != "rejected" else 0.94,
        bound=0.95,
        unit="",
        shortfall=None if accepted else 0.05,
        more_objects=140 if outcome == "undecided" else None,
        reason=reasons[outcome],
    )
    passed = [
        RuleResult(
            rule="map50 >= 0.6",
            metric="map50",
            outcome="accepted",
            value=0.85,
            low=0.81,
            high=0.89,
            bound=0.6,
            unit="",
            shortfall=None,
            more_objects=None,
            reason="map50 is 0.850, at 95 % confidence at least 0.810, and 0.6 is asked for",
        ),
        RuleResult(
            rule="latency p95 <= 20 ms",
            metric="latency p95",
            outcome="accepted",
            value=6.1,
            low=None,
            high=None,
            bound=20,
            unit="ms",
            shortfall=None,
            more_objects=None,
            reason="latency p95 is 6.1 ms, and 20 ms is allowed",
        ),
    ]
    judged = [target for target in scene.targets if target != "champion"]
    return Verdict(
        accepted=accepted,
        target="openvino-int8",
        outcome=outcome,
        reason="openvino-int8 passes all 3 rules" if accepted else f"openvino-int8 is {outcome}: {deciding.reason}",
        targets={target: TargetVerdict(outcome=outcome, rules=[deciding, *passed]) for target in judged},
        released=judged if accepted else [],
        champion_version="3" if scene.champion else None,
    )
