"""The library's training behind the Detector protocol: exact, resumable, honest about memory and labels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.detectors.protocol import USE_CASE_METRIC, Epoch, Figures, Trained
from tasks.detectors.training_data import measure_of
from tasks.detectors.ultralytics_job import Job
from tasks.detectors.ultralytics_library import YOLO
from tasks.detectors.ultralytics_models import find_start
from tasks.detectors.ultralytics_processes import train_in_processes
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe
from tasks.detectors.ultralytics_state import read_progress, restore_state
from tasks.detectors.ultralytics_trainer import YoloTraining
from tests.fixtures.training import USE_CASE, draw_data, read_data, tiny_recipe, train_tiny

pytestmark = pytest.mark.slow

MODELS = ["tiny.yaml", pytest.param("yolo26n.yaml", marks=pytest.mark.slow), "tiny-detr.yaml"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("drawn") / "data")


def recipe_for(model: str, drawn: Path, **changes: object) -> UltralyticsRecipe:
    path = drawn / model
    return tiny_recipe(drawn, model=str(path) if path.exists() else model, **changes)


def curves(trained: Trained) -> pd.DataFrame:
    return pd.DataFrame([epoch.row() for epoch in trained.epochs]).drop(columns="seconds")


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("model", MODELS)
def test_training_stopped_within_an_epoch_ends_bit_equal_to_one_that_was_not(
    model: str, drawn: Path, tmp_path: Path
) -> None:
    # Batches add up to a step of 8 and images come through the mosaic's buffer: both outlive an epoch in the library.
    recipe = recipe_for(model, drawn, effective_batch=8, cache="none")
    whole = train_tiny(drawn, tmp_path / "whole", recipe)

    measure, calls = measure_of(USE_CASE, read_data(drawn)), iter(range(10))

    def stop_in_third_epoch(predictions: pd.DataFrame) -> Figures:
        if next(calls) == 2:
            raise StopHereError
        return measure(predictions)

    with pytest.raises(StopHereError):
        train_tiny(drawn, tmp_path / "stopped", recipe, measure=stop_in_third_epoch)
    resumed = train_tiny(drawn, tmp_path / "stopped", recipe)

    assert resumed.resumed == 1
    assert curves(resumed).equals(curves(whole))
    assert content_sha256(resumed.weights) == content_sha256(whole.weights)


def test_batches_of_a_short_epoch_are_gathered_over_its_end_as_in_the_library(drawn: Path, tmp_path: Path) -> None:
    # Nine images are three batches of four; a step wants four, or all that there will be.
    recipe = tiny_recipe(drawn, epochs=3, effective_batch=16, warmup_epochs=0)
    train_tiny(drawn, tmp_path / "work", recipe)
    state = torch.load(tmp_path / "work" / "state.pt", weights_only=True)
    assert state["average_updates"] == 2
    assert state["gradients"], "the ninth batch waits for others"


def test_training_without_cache_learns_and_its_weights_load_in_the_library(drawn: Path, tmp_path: Path) -> None:
    heard: list[Epoch] = []
    trained = train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn), heard.append)
    assert [epoch.number for epoch in heard] == [1, 2, 3, 4]
    assert trained.epochs[-1].losses["cls"] < trained.epochs[0].losses["cls"]
    assert set(trained.epochs[0].losses) == {"box", "cls", "dfl"}
    model = YOLO(str(trained.weights))
    assert model.names == {0: "disc", 1: "square"}
    assert next(model.model.parameters()).dtype == torch.float32
    assert str(drawn) not in trained.weights.read_bytes().decode("latin-1")


def test_best_epoch_is_that_of_the_use_cases_metric_then_of_map(drawn: Path, tmp_path: Path) -> None:
    figures = iter([(0.2, 0.9), (0.5, 0.3), (0.5, 0.4), (0.4, 0.8)])

    def planned(_predictions: pd.DataFrame) -> Figures:
        value, map50_95 = next(figures)
        return {USE_CASE_METRIC: value, "map50_95": map50_95}

    trained = train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn), measure=planned)
    assert trained.best_epoch == 3
    assert [path.name for path in (tmp_path / "work").glob("best-*.pt")] == ["best-3.pt"]


def test_training_ends_early_when_the_metric_stays_behind_for_as_long_as_patience(drawn: Path, tmp_path: Path) -> None:
    figures = iter([0.3, 0.5, 0.4, 0.4, 0.4, 0.4])
    recipe = tiny_recipe(drawn, epochs=6, patience=2)
    trained = train_tiny(drawn, tmp_path / "work", recipe, measure=lambda _table: {USE_CASE_METRIC: next(figures)})
    assert [len(trained.epochs), trained.best_epoch] == [4, 2]


def test_a_finished_training_is_given_again_without_an_epoch(drawn: Path, tmp_path: Path) -> None:
    first = train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn, epochs=1))
    again = train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn, epochs=1))
    assert again == first


def no_memory_beyond(images: int) -> torch.utils.hooks.RemovableHandle:
    """Every network in training runs out of memory on a batch of more than so many images."""

    def refuse(module: torch.nn.Module, inputs: tuple[object, ...], _output: object) -> None:
        first = inputs[0] if inputs else None
        if module.training and isinstance(first, torch.Tensor) and first.ndim == 4 and len(first) > images:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return torch.nn.modules.module.register_module_forward_hook(refuse)


@pytest.mark.parametrize("epochs_before", [0, 2])
def test_out_of_memory_halves_the_batch_and_goes_on_from_the_last_epoch(
    epochs_before: int, drawn: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []
    handles = [] if epochs_before else [no_memory_beyond(2)]

    def shrink_behind(epoch: Epoch) -> None:
        heard.append(epoch.number)
        if epoch.number == epochs_before:
            handles.append(no_memory_beyond(2))

    recipe = tiny_recipe(drawn, batch=8, effective_batch=16)
    try:
        trained = train_tiny(drawn, tmp_path / "work", recipe, shrink_behind)
    finally:
        for handle in handles:
            handle.remove()
    assert heard == [1, 2, 3, 4]
    assert [trained.batch, trained.resumed] == [2, 0]
    assert "out of memory with batches of 8" in caplog.text
    assert "goes on from the last epoch with batches of 2, 8 of them per step" in caplog.text


def test_memory_too_small_for_one_image_says_what_to_lower(drawn: Path, tmp_path: Path) -> None:
    handle = no_memory_beyond(0)
    try:
        with pytest.raises(PipelineError, match=r"single image.*Lower train.image_size"):
            train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn))
    finally:
        handle.remove()


def test_a_loss_that_is_not_a_number_is_done_again_with_other_draws(
    drawn: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    poison: list[torch.utils.hooks.RemovableHandle] = []

    def to_nan(module: torch.nn.Module, _inputs: object, output: object) -> Any:
        if module.training and isinstance(output, torch.Tensor):
            poison.pop().remove()
            return output * float("nan")
        return output

    def poison_second_epoch(epoch: Epoch) -> None:
        if epoch.number == 1:
            poison.append(torch.nn.modules.module.register_module_forward_hook(to_nan))

    recipe = tiny_recipe(drawn, batch=16, effective_batch=16)
    trained = train_tiny(drawn, tmp_path / "work", recipe, poison_second_epoch)
    assert "the loss of epoch 2 is not a number: doing it again, attempt 2" in caplog.text
    assert len(trained.epochs) == 4
    assert all(torch.isfinite(torch.tensor(epoch.losses["box"])) for epoch in trained.epochs)


def job_of(drawn: Path, work: Path, recipe: UltralyticsRecipe) -> Job:
    start, data = find_start(recipe), read_data(drawn)
    work.mkdir(exist_ok=True)
    return Job(
        data=data,
        recipe=recipe,
        seed=7,
        measure=measure_of(USE_CASE, data),
        work=work,
        architecture=start.architecture,
        weights=start.weights,
        device=recipe.device,
        batch=recipe.batch,
        effective_batch=recipe.effective_batch,
        resumed=0,
    )


def test_a_training_begun_on_a_cpu_goes_on_with_mixed_precision(drawn: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(drawn, epochs=1)
    train_tiny(drawn, tmp_path / "work", recipe)
    trainer = YoloTraining(job_of(drawn, tmp_path / "work", recipe), lambda _epoch: None)
    trainer._setup_train()
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)  # as on a GPU, with amp
    assert restore_state(trainer, tmp_path / "work").finished == 1
    assert trainer.scaler.get_scale() == 2.0


def test_a_fault_met_by_one_of_several_processes_is_told_as_if_there_were_one(drawn: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(drawn, cache="ram")
    job = job_of(drawn, tmp_path / "work", recipe)
    lost = str(tmp_path / "lost.png")
    broken = replace(job, data=replace(job.data, train=job.data.train.assign(path=lost)))
    with pytest.raises(PipelineError, match=rf"is not there any more: {lost}\. Bring it back"):
        train_in_processes(broken, detr=False, on_epoch=lambda _epoch: None)


def test_weights_of_an_earlier_training_are_a_start_for_the_next(drawn: Path, tmp_path: Path) -> None:
    first = train_tiny(drawn, tmp_path / "first", tiny_recipe(drawn, epochs=2))
    known = {"model": str(first.weights), "trust": content_sha256(first.weights)}
    recipe = tiny_recipe(drawn, **known, epochs=1, weights_licence="Apache-2.0")
    second = train_tiny(drawn, tmp_path / "second", recipe)
    assert second.weights_licence == "Apache-2.0"
    assert first.weights_licence == "none"
    scratch = train_tiny(drawn, tmp_path / "scratch", tiny_recipe(drawn, epochs=1))
    assert second.epochs[0].losses["cls"] < scratch.epochs[0].losses["cls"]


def test_the_test_split_is_never_shown(drawn: Path) -> None:
    data = read_data(drawn)
    shown = set(data.train["image_id"]) | set(data.val["image_id"]) | set(data.objects["image_id"])
    split = pd.read_parquet(drawn / "split.parquet")
    assert not shown & set(split.loc[split["split"] == "test", "image_id"])


def test_progress_of_a_broken_off_training_names_its_finished_epochs(drawn: Path, tmp_path: Path) -> None:
    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise StopHereError

    with pytest.raises(StopHereError):
        train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn), stop)
    progress = read_progress(tmp_path / "work")
    assert progress is not None
    assert [progress.finished, progress.done] == [2, False]
    assert len(pd.read_csv(tmp_path / "work" / "history.csv")) == 2
