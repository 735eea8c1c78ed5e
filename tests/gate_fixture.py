"""Evaluated targets, and the verdict on them."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.contracts.evaluation import Evaluation, Latency
from tasks.contracts.params import UseCase, read_params
from tasks.contracts.tables import BOX
from tasks.contracts.verdict import RuleResult, Verdict
from tasks.evaluate import EvaluateParams, evaluate
from tasks.gate import GateParams, gate
from tasks.metrics.judgement import Target
from tasks.metrics.labelled import Labelled

REPOSITORY = Path(__file__).resolve().parents[1]
LABELS = ["bolt", "crack"]
USE_CASE = UseCase(target="onnx", metric="map50")
PARAMS = read_params(REPOSITORY / "params.yaml", "evaluate", EvaluateParams).model_copy(update={"resamples": 300})


def labelled(images: int, side: str, seed: int = 0) -> Labelled:
    """One bolt and, in every second image, one crack; two images of a group."""
    names = [f"{side}-{number:04}" for number in range(images)]
    rows = [[name, "bolt", 10, 10, 40, 40] for name in names] + [[n, "crack", 60, 60, 200, 120] for n in names[::2]]
    truth = pd.DataFrame(rows, columns=["image_id", "label", *BOX]).assign(attributes="{}")
    groups = [f"{side}-g{number // 2}" for number in range(images)]
    return Labelled(placed(names, groups), truth)


def placed(names: list[str], groups: list[str]) -> pd.DataFrame:
    """Images of whole scenes, one group each."""
    columns = {"image_id": names, "source": "line.zip", "name": names, "frame": None, "group": groups}
    return pd.DataFrame({**columns, "divided": False})


def detected(truth: pd.DataFrame, found: float, seed: int) -> pd.DataFrame:
    """Each object is found with a chance; never a false alarm."""
    rng = np.random.default_rng(seed)
    predictions = truth.drop(columns="attributes").assign(score=rng.uniform(0.5, 1.0, len(truth)))
    return predictions[rng.random(len(truth)) < found]


@functools.cache
def target(name: str, found: float = 1.0, images: int = 200, seed: int = 0, of_version: str | None = None) -> Target:
    """A target as evaluate measures it, that finds this share of the objects; shared, so nobody may change it."""
    val, test = labelled(40, "val"), labelled(images, "test")
    # On val every score is the lowest that there is, so that no detection on test falls below the threshold.
    predictions = pd.concat([detected(val.truth, 1.0, 1).assign(score=0.5), detected(test.truth, found, seed)])
    measured = evaluate(val, test, predictions, LABELS, use_case=USE_CASE, params=PARAMS, seed=7)
    latency = Latency(p50_ms=8, p95_ms=12, p99_ms=15, images=100, machine="bench", threads=2, device="cpu")
    costs = {"target": name, "latency": latency, "peak_memory_mb": 80.0, "size_bytes": 3_000_000}
    evaluation = measured.evaluation.model_copy(update={**costs, "registry_version": of_version})
    return Target(evaluation, measured.resamples, predictions)


NO_CHAMPION = Target(Evaluation(target="champion", absent="the registry is empty"), pd.DataFrame())


def judged(rules: list[str], *targets: Target, champion: Target | None = NO_CHAMPION) -> Verdict:
    """champion: None if it is no target of the run."""
    params = GateParams(confidence=95, rules=rules)
    return gate(USE_CASE, params, {one.evaluation.target: one for one in targets}, champion)


def only_result(verdict: Verdict) -> RuleResult:
    (result,) = verdict.targets["onnx"].rules
    return result
