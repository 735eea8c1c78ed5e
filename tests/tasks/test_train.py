"""The stage train: its outputs and what it keeps of them, what it says, what it refuses."""

import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tasks.clients.tracking import training_run
from tasks.contracts.card import Card
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Tracking, read_params
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tables import SPLIT, write_table
from tasks.contracts.tuned import Tuned
from tasks.contracts.use_case import UseCase
from tasks.detectors.families import read_recipe
from tasks.detectors.training_data import check_use_case
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe
from tasks.detectors.ultralytics_state import read_progress
from tasks.execution.code_version import commit
from tasks.train import main
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.training import LABELS, command, prepare, read_data, tiny_recipe, write_params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("prepared") / "data")


@pytest.fixture
def drawn(prepared: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    shutil.copytree(prepared, folder)
    write_params(folder)
    return folder


def run_train(folder: Path, output: str = "trained") -> Path:
    trained = folder / output
    main(
        raw=folder / "raw",
        annotations=folder / "annotations",
        split=folder / "split.parquet",
        tuned=folder / "tuned",
        trained=trained,
        params=folder / "params.yaml",
        work=folder / "work",
    )
    return trained


def runs_of(folder: Path) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return list(client.search_runs([client.get_experiment_by_name("test").experiment_id]))


def metric_steps(folder: Path, run_id: str) -> set[int]:
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return {point.step for point in client.get_metric_history(run_id, "map50")}


def test_outputs_are_the_best_weights_the_history_and_a_card_with_lineage(
    drawn: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_record(
        Tuned(metric="map50", trials=1, trial=0, value=0.1, params={"epochs": 2, "lr0": 0.004}),
        drawn / "tuned/best.json",
    )
    trained = run_train(drawn)
    card = read_record(trained / "card.json", Card)
    history = pd.read_csv(trained / "history.csv")
    assert list(history.columns[:5]) == ["epoch", "box", "cls", "dfl", "metric"]
    assert {"map50", "map50_95", "precision", "recall", "lr"} <= set(history.columns)
    assert card.epochs == len(history) == 2
    assert card.lineage.params["train.lr0"] == 0.004
    assert card.classes == LABELS
    assert card.weights_sha256 == content_sha256(trained / card.weights)
    assert card.best_value == pytest.approx(history.loc[card.best_epoch - 1, "metric"])
    assert card.lineage.data_sha256["objects.parquet"] == content_sha256(drawn / "annotations" / "objects.parquet")
    (run,) = runs_of(drawn)
    tracking = read_params(drawn / "params.yaml", "tracking", Tracking)
    assert run.info.run_id == training_run(tracking, card.weights_sha256)
    assert run.data.tags["commit"] == str(commit()[0])
    assert set(run.data.metrics) >= {"seconds", "map50"}
    assert metric_steps(drawn, run.info.run_id) == {1, 2}
    assert sorted(path.name for path in drawn.glob("work/train/*/*")) == ["finished", "lock"]
    # What is seen of a training where there is no terminal.
    assert re.findall(r"epoch \d of 2: map50 \d", caplog.text) == ["epoch 1 of 2: map50 0", "epoch 2 of 2: map50 0"]


def test_an_architecture_changed_under_its_name_is_trained_from_the_start(drawn: Path) -> None:
    write_params(drawn, epochs=1)
    (drawn / "blocked").write_text("no folder")
    with pytest.raises(OSError, match="blocked"):
        run_train(drawn, "blocked/trained")  # leaves its progress
    (drawn / "tiny.yaml").write_text((drawn / "tiny.yaml").read_text().replace("[16, 3, 2]", "[24, 3, 2]"))
    changed = read_record(run_train(drawn) / "card.json", Card)
    (left,) = drawn.glob("work/train/*/state.pt")
    first = read_progress(left.parent)
    assert first is not None
    assert changed.parameters > first.parameters
    assert changed.lineage.start_sha256 is not None


def test_a_finished_training_is_found_again_until_another_one_has_ended(
    drawn: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_params(drawn, epochs=1)
    first = content_sha256(run_train(drawn))
    shutil.rmtree(drawn / "trained")  # as DVC does before it runs a stage
    assert content_sha256(run_train(drawn)) == first
    assert "was trained before: taken from" in caplog.text
    assert len(runs_of(drawn)) == 1
    write_params(drawn, epochs=2)
    run_train(drawn)
    assert len(list(drawn.glob("work/train/*/finished"))) == 1
    write_params(drawn, epochs=1)
    assert content_sha256(run_train(drawn)) == first
    assert len(runs_of(drawn)) == 3


@pytest.fixture(scope="module")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a training of one epoch, and the hash of what it gave."""
    folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("trained") / "data"))
    write_params(folder, epochs=1)
    return folder, content_sha256(run_train(folder))


@pytest.mark.parametrize("changed", ["weights", "card", "code"])
def test_what_is_kept_of_a_training_counts_only_while_it_is_whole_and_by_the_same_code(
    changed: str, trained: tuple[Path, str]
) -> None:
    folder, first = trained
    before = len(runs_of(folder))
    (kept,) = folder.glob("work/train/*/finished")
    if changed == "weights":
        (kept / "weights.pt").write_bytes(b"other")
    elif changed == "card":
        (kept / "card.json").write_text("{}")
    else:
        text = (kept / "card.json").read_text()
        code = read_record(kept / "card.json", Card).lineage.code_sha256
        (kept / "card.json").write_text(text.replace(code, "0" * 64))
    assert content_sha256(run_train(folder)) == first
    assert len(runs_of(folder)) == before + 1


def test_the_command_says_one_line_at_its_start_one_for_each_epoch_and_one_at_its_end(drawn: Path) -> None:
    write_params(drawn, epochs=1)
    words = [sys.executable, *command("train", drawn, "trained")]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    first, epoch, last = done.stderr.splitlines()
    assert epoch.startswith("epoch 1 of 1: map50 ")
    assert first.startswith("train: ")
    assert "1 epochs, 9 images, 3 in val" in first
    assert last.startswith("trained 1 epochs, map50 ")


@pytest.mark.parametrize("missing", ["train", "val"])
def test_a_split_without_images_to_learn_from_or_judge_by_is_refused(missing: str, drawn: Path) -> None:
    table = pd.read_parquet(drawn / "split.parquet")
    write_table(table.assign(split=table["split"].replace(missing, "test")), drawn / "split.parquet", SPLIT)
    with pytest.raises(PipelineError, match=f"there are no images in {missing}.*change split in params.yaml"):
        run_train(drawn)


@pytest.mark.parametrize(
    ("metric", "what"),
    [
        pytest.param('recall of "crack"', "no class is named 'crack'.*Classes are disc, square", id="unknown class"),
        pytest.param('ap50 of "rare"', "there is no object 'rare' in val.*Label more of them", id="class not in val"),
    ],
)
def test_a_metric_that_val_cannot_show_is_refused_before_an_epoch(metric: str, what: str, drawn: Path) -> None:
    data = read_data(drawn)
    if "rare" in metric:
        data.classes.append("rare")
    with pytest.raises(PipelineError, match=what):
        check_use_case(UseCase(target="onnx", metric=metric), data)


def test_every_wrong_param_is_named_at_once(drawn: Path) -> None:
    params = drawn / "params.yaml"
    wrong = json.dumps({"train": {"epochs": 0, "optimizer": "Lion", "learning_rate": 1, "model": "yolo26n"}})
    params.write_text(wrong)
    with pytest.raises(PipelineError) as caught:
        read_recipe(params)
    for fault in (
        "train.epochs",
        "train.optimizer",
        "train.learning_rate is unknown",
        "train.model is 'yolo26n'; it takes pretrained weights",
    ):
        assert fault in caught.value.where


def test_the_recipe_has_good_defaults_for_pretrained_weights() -> None:
    recipe = UltralyticsRecipe()
    assert recipe.model.endswith(".pt")
    assert recipe.with_changes({"lr0": 0.01}).lr0 == 0.01
    assert tiny_recipe(Path("x")).epochs == 4
