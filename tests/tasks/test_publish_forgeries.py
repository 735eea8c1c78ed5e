"""Nothing goes live that is not, digest by digest and rule by rule, what was trained, exported, measured and judged."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tasks.contracts.bundle import bundle_sha256
from tasks.contracts.card import Card
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.params import Tracking, measuring_sha256
from tasks.contracts.record import read_record, write_record
from tasks.contracts.verdict import Verdict
from tests.fixtures.release import INPUTS, RULES, Workspace, live, versions, write_evaluation
from tests.fixtures.repository import REPOSITORY

pytest_plugins = ["tests.fixtures.mlflow_store"]

LIVE = "openvino-int8"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_bundle(work: Workspace, of: str = LIVE, **fields: Any) -> None:
    edit(work.root / "exported" / of / "bundle.json", **fields)


def edit_output(work: Workspace) -> None:
    edit_bundle(work, output=work.bundle(LIVE).output.model_dump() | {"nms_iou": 0.5})


def edit_preprocessing(work: Workspace) -> None:
    edit_bundle(work, preprocessing=work.bundle(LIVE).preprocessing.model_dump(mode="json") | {"fill": 0})


def zero_weights(work: Workspace) -> None:
    artefact = work.root / "exported" / LIVE / "model.bin"
    artefact.write_bytes(bytes(artefact.stat().st_size))
    edit_bundle(work, files_sha256={"model.bin": content_sha256(artefact)})


def zero_weights_and_renew_the_evaluation(work: Workspace) -> None:
    zero_weights(work)
    evaluation = work.root / "evaluation" / LIVE / "evaluation.json"
    edit(evaluation, bundle_sha256=bundle_sha256(work.bundle(LIVE)))


def renew_the_verdicts_digests(work: Workspace) -> None:
    verdict = read_record(work.root / "verdict.json", Verdict)
    renewed = {name: content_sha256(work.root / "evaluation" / name) for name in verdict.evaluations_sha256}
    edit(work.root / "verdict.json", evaluations_sha256=renewed)


def zero_weights_and_renew_all_but_the_figures_digest(work: Workspace) -> None:
    zero_weights_and_renew_the_evaluation(work)
    renew_the_verdicts_digests(work)


def raise_a_figure(work: Workspace) -> None:
    figures = json.loads((work.root / "evaluation" / LIVE / "evaluation.json").read_text())["overall"]
    edit(
        work.root / "evaluation" / LIVE / "evaluation.json",
        overall=figures | {"map50": {"value": 0.99, "low": 0.98, "high": 1}},
    )
    renew_the_verdicts_digests(work)


def narrow_the_resamples(work: Workspace) -> None:
    pd.DataFrame({"map50": [0.9] * 100}).to_parquet(work.root / "evaluation" / LIVE / "resamples.parquet")
    renew_the_verdicts_digests(work)


def measure_another_bundle(work: Workspace) -> None:
    """The evaluation of onnx, whole and sealed, in the place of the one of the live target."""
    onnx = read_record(work.root / "evaluation" / "onnx" / "evaluation.json", Evaluation)
    write_evaluation(onnx.model_copy(update={"target": LIVE}), work.root / "evaluation" / LIVE / "evaluation.json")
    work.judge()


def measure_other_inputs(work: Workspace) -> None:
    work.measure("onnx", inputs_sha256={**INPUTS, "params": measuring_sha256(work.params_file), "pixels": "2" * 64})
    work.judge()


def train_on_other_labels(work: Workspace) -> None:
    card = read_record(work.root / "trained" / "card.json", Card)
    lineage = card.lineage.model_copy(update={"data_sha256": {"split.parquet": "2" * 64}})
    write_record(card.model_copy(update={"lineage": lineage}), work.root / "trained" / "card.json")


def ask_for_other_figures(work: Workspace) -> None:
    use_case = yaml.safe_load(work.params_file.read_text())["use_case"]
    work.set_params(use_case=use_case | {"operating_point": "recall >= 0.9"})


def exchange_the_checkpoint(work: Workspace) -> None:
    other = Workspace(work.root.parent / "other").write("second")
    for name in ("best.pt", "card.json"):
        (other.root / "trained" / name).replace(work.root / "trained" / name)


def hide_the_champion(work: Workspace) -> None:
    """A champion that is here is said to be none, and the verdict is taken without it."""
    write_evaluation(
        Evaluation(target="champion", absent="no champion yet", files_sha256=_files(work)),
        work.root / "evaluation" / "champion" / "evaluation.json",
    )
    work.judge()


def _files(work: Workspace) -> dict[str, str]:
    return {"resamples.parquet": content_sha256(work.root / "evaluation" / "champion" / "resamples.parquet")}


def edit_verdict(work: Workspace, **fields: Any) -> None:
    edit(work.root / "verdict.json", **fields)


def claim_acceptance(work: Workspace) -> None:
    """Every target is rejected, and the first line says otherwise."""
    work.write("first", outcome="rejected")
    edit_verdict(work, accepted=True, outcome="accepted", released=["onnx", LIVE])


def claim_every_word_of_an_acceptance(work: Workspace) -> None:
    accepted = json.loads((work.root / "verdict.json").read_text())
    work.write("first", outcome="rejected")
    rejected = json.loads((work.root / "verdict.json").read_text())
    kept = {name: rejected[name] for name in ("rules", "evaluations_sha256")}
    edit_verdict(work, **(accepted | kept))


def judge_by_softer_rules(work: Workspace) -> None:
    work.write("first", outcome="rejected")
    asked = yaml.safe_load(work.params_file.read_text())["gate"]
    work.set_params(gate={"confidence": 95, "rules": [RULES["accepted"]]})
    work.judge().set_params(gate=asked)


def leave_out_the_champion_that_rules_name(work: Workspace) -> None:
    """Where there is none yet, its rules pass: a champion that nobody looked for is not that."""
    work.write("first").set_params(gate={"confidence": 95, "rules": ["map50 not worse than champion"]})
    work.judge()
    work.set_params(export={"targets": ["onnx", LIVE]})
    verdict = read_record(work.root / "verdict.json", Verdict)
    edit_verdict(work, evaluations_sha256={name: verdict.evaluations_sha256[name] for name in ("onnx", LIVE)})


FORGERIES: dict[str, tuple[Callable[[Workspace], object], str]] = {
    "zeroed weights with a renewed sha256": (zero_weights, f"{LIVE}: its bundle is not the one that was measured"),
    "zeroed weights and their evaluation renewed": (
        zero_weights_and_renew_the_evaluation,
        f"{LIVE}: its evaluation is not the one that was judged",
    ),
    "zeroed weights, evaluation and verdict renewed": (
        zero_weights_and_renew_all_but_the_figures_digest,
        f"{LIVE}: evaluation.json is not what evaluate wrote",
    ),
    "a figure raised": (raise_a_figure, f"{LIVE}: evaluation.json is not what evaluate wrote"),
    "resamples narrowed": (narrow_the_resamples, f"{LIVE}: resamples.parquet is not what evaluate wrote"),
    "an evaluation of another bundle": (
        measure_another_bundle,
        f"{LIVE}: its bundle is not the one that was measured",
    ),
    "an evaluation on other inputs": (measure_other_inputs, "were measured on different pixels"),
    "an evaluation on other tables than those of the training": (
        train_on_other_labels,
        "onnx was measured on other split.parquet than the checkpoint was trained on",
    ),
    "an evaluation under other params": (
        ask_for_other_figures,
        "onnx was measured under another seed, use_case or evaluate than params have now",
    ),
    "another checkpoint": (exchange_the_checkpoint, f"{LIVE}: its bundle was not made of the trained checkpoint"),
    "a champion said not to be there": (hide_the_champion, "champion: it is here, and was not measured"),
    "another champion measured": (
        lambda work: edit_bundle(work, "champion", registry_version="7"),
        "champion: it is version 7, and 1 was measured",
    ),
    "all rejected, and accepted: true": (claim_acceptance, "outcome is 'accepted', and the evaluations say 'rejected'"),
    "all rejected, and every result edited": (
        claim_every_word_of_an_acceptance,
        "accepted is True, and the evaluations say False",
    ),
    "nothing released": (
        lambda work: edit_verdict(work, released=[]),
        f"released are none, and the evaluations allow onnx, {LIVE}",
    ),
    "an older verdict without digests": (
        lambda work: edit_verdict(work, evaluations_sha256={}),
        "the verdict names no evaluations",
    ),
    "softer rules": (judge_by_softer_rules, "the verdict is by other rules"),
    "another target": (
        lambda work: edit_verdict(work, target="onnx"),
        f"the verdict decides on onnx, and use_case.target is {LIVE}",
    ),
    "no champion where rules name one": (
        leave_out_the_champion_that_rules_name,
        "the champion is not evaluated; add champion to export.targets",
    ),
    "nms_iou edited": (edit_output, f"{LIVE}: its bundle is not the one that was measured"),
    "pre-processing edited": (edit_preprocessing, f"{LIVE}: its bundle is not the one that was measured"),
    "classes edited": (
        lambda work: edit_bundle(work, classes=["dent"]),
        f"{LIVE}: its bundle is not the one that was measured",
    ),
    "hints edited": (
        lambda work: edit_bundle(work, hints={"NUM_STREAMS": "4"}),
        f"{LIVE}: its bundle is not the one that was measured",
    ),
    "said to be a pickle": (
        lambda work: edit_bundle(work, target="pytorch"),
        f"{LIVE}: its bundle is of 'pytorch'",
    ),
    "a file more": (
        lambda work: (work.root / "exported" / LIVE / "more.bin").write_text("more"),
        f"{LIVE}: more.bin does not belong to it",
    ),
}


@pytest.mark.parametrize(("forge", "said"), FORGERIES.values(), ids=FORGERIES)
def test_forgery_is_refused(
    forge: Callable[[Workspace], object], said: str, workspace: Workspace, tracking: Tracking
) -> None:
    workspace.write("first", champion="1")
    forge(workspace)
    with pytest.raises(PipelineError) as refused:
        workspace.publish(tracking)
    assert said in str(refused.value)
    assert (versions(tracking), live(tracking)) == ([], None)
    assert not workspace.release.exists()


def test_what_the_forgeries_are_made_from_is_published(workspace: Workspace, tracking: Tracking) -> None:
    workspace.write("first").publish(tracking)
    assert live(tracking) == "1"


@pytest.mark.slow
def test_forgery_is_refused_where_only_publish_runs(workspace: Workspace, tracking: Tracking, tmp_path: Path) -> None:
    """As Airflow runs a stage: DVC does not look at what comes before it."""
    declared = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]["publish"]["cmd"].split()
    claim_acceptance(workspace.write("first"))
    workspace.params(tracking)
    places = {"--evaluations": "evaluation", "--trained": "trained", "--exported": "exported"}
    places |= {"--verdict": "verdict.json", "--report": "report.html", "--release": "release.json"}
    options = [f"{option} {places[option]}" for option in declared[3::2]]
    stage = {"cmd": " ".join([sys.executable, *declared[1:3], *options]), "deps": ["verdict.json"]}
    (workspace.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"publish": stage}}))
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "-q"], cwd=workspace.root, check=True)
    done = subprocess.run(
        [*dvc, "repro", "--single-item", "publish"],
        cwd=workspace.root,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "outcome is 'accepted', and the evaluations say 'rejected'" in done.stderr
    assert versions(tracking) == []
