"""Our training is the library's own to the bit: same images, same augmentation, same steps, same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.detectors.training_data import measure_of
from tasks.detectors.ultralytics_job import Job
from tasks.detectors.ultralytics_library import DetectionTrainer, unwrap_model
from tasks.detectors.ultralytics_models import find_start
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe
from tasks.detectors.ultralytics_trainer import seed_epoch
from tests.fixtures.training import USE_CASE, draw_data, read_data, tiny_recipe, train_tiny, write_for_library

pytestmark = pytest.mark.slow

SEED = 7


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("drawn") / "data", images=30)


def plain_training(
    drawn: Path, folder: Path, recipe: UltralyticsRecipe
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Losses per epoch and the last averaged weights of the library's own trainer, with the draws of ours."""
    start, data = find_start(recipe), read_data(drawn)
    job = Job(
        data=data,
        recipe=recipe,
        seed=SEED,
        measure=measure_of(USE_CASE, data),
        work=folder,
        architecture=start.architecture,
        weights=None,
        device="cpu",
        batch=recipe.batch,
        effective_batch=recipe.effective_batch,
        resumed=0,
    )
    settings = {"data": str(write_for_library(data, folder / "data")), "model": recipe.model, "pretrained": False}
    trainer = DetectionTrainer(overrides=job.overrides() | settings)
    losses: list[dict[str, float]] = []

    def begin(own: Any) -> None:
        torch.set_num_threads(recipe.cpu_threads)
        seed_epoch(own.train_loader, SEED, own.epoch, 0, 0)

    def end(own: Any) -> None:
        losses.append({name.removesuffix("_loss"): float(value) for name, value in own.tloss.items()})

    trainer.add_callback("on_train_epoch_start", begin)
    trainer.add_callback("on_train_epoch_end", end)
    trainer.train()
    return losses, unwrap_model(trainer.ema.ema).state_dict()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"cache": "ram"}, id="images in memory"),
        pytest.param({"cache": "none"}, id="images through the buffer of mosaics"),
        pytest.param({"effective_batch": 12, "warmup_epochs": 2}, id="steps that reach over the end of an epoch"),
        pytest.param({"optimizer": "SGD", "lr0": 0.01, "cosine": True}, id="another optimizer and schedule"),
        pytest.param({"mixup": 0.5, "degrees": 10, "flip_vertical": 0.5, "class_balance": 0.5}, id="all augmentation"),
    ],
)
def test_training_is_the_librarys_own_to_the_bit(changes: dict[str, object], drawn: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(drawn, patience=0, **changes)
    losses, weights = plain_training(drawn, tmp_path / "plain", recipe)
    ours = train_tiny(drawn, tmp_path / "ours", recipe)
    assert [dict(epoch.losses) for epoch in ours.epochs] == losses
    average = torch.load(tmp_path / "ours" / "state.pt", weights_only=True)["average"]
    assert all(torch.equal(average[name], weights[name]) for name in weights)
