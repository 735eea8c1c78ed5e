"""What our training learns against the library's own call: same images, architecture and settings, several seeds.

Both checkpoints, each chosen on val by its own side, are measured by the library itself on the test images. The short
form trains on the sample of `make demo`; on other tables of parse and split:

python -m tests.bench.training --raw DIR --annotations DIR --split FILE --image-size 320 --epochs 25 --seeds 5
"""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
import yaml
from scipy import stats

from tasks.contracts.use_case import UseCase
from tasks.dataset.read_split import read_split
from tasks.detectors.families import load_family
from tasks.detectors.protocol import TrainingData
from tasks.detectors.training_data import measure_of, training_data
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe
from tests.bench.ratios import ENVIRONMENT, Ratio
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.training import write_for_library

USE_CASE = UseCase(target="pytorch", metric="map50_95")  # the library, too, keeps the epoch that is best in it
SEEDS = 3
LEAST = 0.97  # of the library's mAP50-95; less is refused if the interval says so too


class Learnt(NamedTuple):
    """What one training came to."""

    map50: float
    map50_95: float
    loss: float  # of boxes on train, in the last epoch


def measure() -> list[Ratio]:
    """mAP50-95 on test of both, each the mean over seeds, on the sample."""
    with tempfile.TemporaryDirectory() as folder:
        data, test = _sample(Path(folder))
        params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
        ours, plain = compare(data, test, UltralyticsRecipe.model_validate(params["train"]), SEEDS)
    return [_ratio(ours, plain)]


def _sample(folder: Path) -> tuple[TrainingData, TrainingData]:
    """The sample, as `_read` has it."""
    raw, annotations, checks, split = (folder / name for name in ("raw", "annotations", "checks", "split.parquet"))
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["ingest"]["source"] = str(folder / "samples")
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for words in (
        ["sample", "--to", "samples"],
        ["ingest", "--raw", raw],
        ["parse", "--raw", raw, "--annotations", annotations],
        ["check", "--raw", raw, "--annotations", annotations, "--checks", checks],
        ["split", "--annotations", annotations, "--checks", checks, "--split", split, "--leakage", "leakage.json"],
    ):
        command = [sys.executable, "-m", f"tasks.{words[0]}", *map(str, words[1:])]
        subprocess.run(command, check=True, cwd=folder, env=ENVIRONMENT | {"PYTHONPATH": str(REPOSITORY)})
    return _read(raw, annotations, split)


def _read(raw: Path, annotations: Path, split_file: Path) -> tuple[TrainingData, TrainingData]:
    """What train gets, and the same with the test images in the place of val."""
    dataset = read_split(raw, annotations, split_file)
    names = dataset.images["split"].map({"train": "train", "test": "val"}).fillna("excluded")
    held_out = replace(dataset, images=dataset.images.assign(split=names))
    return training_data(dataset), training_data(held_out)


def compare(
    data: TrainingData, test: TrainingData, recipe: UltralyticsRecipe, seeds: int
) -> tuple[list[Learnt], list[Learnt]]:
    """Ours and the library's own, by seed, in turn."""
    # With torchvision's kernel for both: the library's own is so slow that it leaves boxes out on a busy machine.
    from tasks.detectors import ultralytics_nms  # noqa: F401, PLC0415

    ours, plain = [], []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            dataset = write_for_library(data, folder / "data")
            held_out = write_for_library(test, folder / "test")
            own, loss = _ours(data, recipe, seed, folder / "ours")
            ours.append(_learnt(own, held_out, recipe, loss))
            theirs, loss = _plain(data, dataset, recipe, seed, folder / "plain")
            plain.append(_learnt(theirs, held_out, recipe, loss))
        typer.echo(f"seed {seed}: ours {ours[-1]}, library {plain[-1]}", err=True)
    return ours, plain


def _ours(data: TrainingData, recipe: UltralyticsRecipe, seed: int, work: Path) -> tuple[Path, float]:
    """Weights, and the loss of boxes in the last epoch."""
    work.mkdir()
    trained = load_family(recipe.family).train(
        data=data, recipe=recipe, seed=seed, measure=measure_of(USE_CASE, data), work=work, on_epoch=lambda _epoch: None
    )
    return trained.weights, trained.epochs[-1].losses["box"]


def _plain(data: TrainingData, dataset: Path, recipe: UltralyticsRecipe, seed: int, folder: Path) -> tuple[Path, float]:
    from tasks.detectors.ultralytics_job import Job  # noqa: PLC0415
    from tasks.detectors.ultralytics_library import YOLO  # noqa: PLC0415
    from tasks.detectors.ultralytics_models import find_start  # noqa: PLC0415
    from tasks.detectors.ultralytics_presence import ARCHITECTURES  # noqa: PLC0415

    start = find_start(recipe)
    job = Job(
        data=data,
        recipe=recipe,
        seed=seed,
        measure=measure_of(USE_CASE, data),
        work=folder,
        architecture=start.architecture,
        weights=None,
        device="cpu",
        batch=recipe.batch,
        effective_batch=recipe.effective_batch,
        resumed=0,
    )
    settings = job.overrides() | {"data": str(dataset), "pretrained": False}
    held = ARCHITECTURES / recipe.model
    model = YOLO(str(held if held.exists() else recipe.model))
    # As many threads as ours, and no stop before the last epoch, which the library takes a patience of nought for, too.
    model.add_callback("on_train_start", lambda _trainer: torch.set_num_threads(recipe.cpu_threads))
    model.train(**{name: value for name, value in settings.items() if name not in {"task", "mode", "model"}})
    return Path(model.trainer.best), float(model.trainer.tloss["box_loss"])


def _learnt(weights: Path, dataset: Path, recipe: UltralyticsRecipe, loss: float) -> Learnt:
    from tasks.detectors.ultralytics_library import YOLO  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        box = YOLO(str(weights)).val(
            data=str(dataset), imgsz=recipe.image_size, device="cpu", plots=False, verbose=False, project=folder
        )
    return Learnt(float(box.box.map50), float(box.box.map), loss)


def paired(ours: list[Learnt], plain: list[Learnt], figure: str) -> tuple[float, float, float]:
    """Mean difference by seed and its 95 % interval (Student's t)."""
    differences = np.array(
        [getattr(one, figure) - getattr(other, figure) for one, other in zip(ours, plain, strict=True)]
    )
    half = float(stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences))
    return float(differences.mean()), float(differences.mean()) - half, float(differences.mean()) + half


def _ratio(ours: list[Learnt], plain: list[Learnt]) -> Ratio:
    means = [float(np.mean([one.map50_95 for one in side])) for side in (ours, plain)]
    _, low, high = paired(ours, plain, "map50_95")
    ratio = means[0] / means[1]
    return Ratio(
        claim=f"mAP50-95 learnt over the library's own call ({len(ours)} seeds; difference {low:+.3f} to {high:+.3f})",
        ours=means[0],
        other=means[1],
        unit="mAP50-95",
        ratio=ratio,
        goal=f">= {LEAST:g}, or within the seeds' noise",
        met=ratio >= LEAST or high >= 0,
    )


def main(
    *,
    raw: Annotated[Path, typer.Option()],
    annotations: Annotated[Path, typer.Option()],
    split: Annotated[Path, typer.Option()],
    image_size: Annotated[int, typer.Option()] = 160,
    epochs: Annotated[int, typer.Option()] = 15,
    seeds: Annotated[int, typer.Option()] = 5,
) -> None:
    """Print figures by seed, the mean difference and its interval."""
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["train"]
    recipe = UltralyticsRecipe.model_validate(params | {"image_size": image_size, "epochs": epochs})
    ours, plain = compare(*_read(raw, annotations, split), recipe, seeds)
    for figure in Learnt._fields:
        typer.echo(f"{figure}: ours less the library's {', '.join(f'{it:+.4f}' for it in paired(ours, plain, figure))}")
        for name, side in (("ours", ours), ("library", plain)):
            typer.echo(f"  {name}: {', '.join(f'{getattr(one, figure):.4f}' for one in side)}")


if __name__ == "__main__":
    typer.run(main)
