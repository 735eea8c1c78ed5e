"""Train the detector and keep the best checkpoint.

Killed and started again it goes on after the last finished epoch: the state of a training lies in --work until the
training is done. On a CPU the result is the same to the bit as without the stop. What the last training gave is kept
there too, so that the same command finds it again when its output is gone; after `rm -r .work/train` it trains again,
also behind `dvc repro --force`. How long it took, and at which commit, stands in its MLflow run.

In:
  --raw             data/raw, the exports as ingest keeps them
  --annotations     data/annotations, the tables that parse writes
  --split           data/split.parquet; only train and val are shown to the training
  --tuned           models/tuned; the values that tune found take the place of train's own

Out:
  --trained         models/trained
    weights.pt      the best epoch by use_case.metric on val
    history.csv     per epoch: losses, metrics on val (metric is the use case's), learning rate
    card.json       what was trained, from what, and how it went

Params: seed, use_case, tracking, train

Example:
  python -m tasks.train --raw data/raw --annotations data/annotations --split data/split.parquet \\
    --tuned models/tuned --trained models/trained
"""

import logging
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tqdm import tqdm

from tasks.clients.tracking import WEIGHTS_TAG, RunLog, open_run, until_end
from tasks.contracts.card import Card, Lineage
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Scalar, Tracking, flat, read_params, read_seed
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tuned import Tuned
from tasks.contracts.use_case import UseCase
from tasks.contracts.whole_output import whole_output
from tasks.dataset.read_split import read_split
from tasks.detectors.families import code_beside_ours, load_family, read_recipe
from tasks.detectors.protocol import USE_CASE_METRIC, Detector, Epoch, Trained, TrainingData
from tasks.detectors.recipe import Recipe
from tasks.detectors.training_data import check_use_case, measure_of, training_data
from tasks.execution.code_version import commit, modules_sha256
from tasks.execution.stage_command import run
from tasks.execution.work_folder import finished_in, keep_finished, only_one, work_folder

log = logging.getLogger(__name__)

# What trains a model, below tasks/: what dvc.yaml declares.
CODE = [
    "train.py",
    "detectors",
    "dataset",
    "contracts/card.py",
    "contracts/digests.py",
    "contracts/quoting.py",
    "contracts/tables.py",
    "contracts/tuned.py",
    "contracts/use_case.py",
    "metrics/average_precision.py",
    "metrics/matching.py",
    "metrics/operating_points.py",
    "metrics/use_case.py",
    "runtimes/machine.py",
]

WEIGHTS = "weights.pt"
HISTORY = "history.csv"
CARD = "card.json"


def train(
    data: TrainingData,
    recipe: Recipe,
    use_case: UseCase,
    *,
    seed: int,
    detector: Detector[Recipe],
    work: Path,
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """Train on `data`, or go on with what `work` holds; the best epoch is that of `use_case.metric` on val.

    Raises PipelineError for a metric that val cannot show, and what `Detector.train` raises.
    """
    check_use_case(use_case, data)
    return detector.train(
        data=data, recipe=recipe, seed=seed, measure=measure_of(use_case, data), work=work, on_epoch=on_epoch
    )


def main(
    *,
    raw: Annotated[Path, typer.Option(help="exports as ingest keeps them")],
    annotations: Annotated[Path, typer.Option(help="tables that parse writes")],
    split: Annotated[Path, typer.Option(help="table that split writes")],
    tuned: Annotated[Path, typer.Option(help="what tune found")],
    trained: Annotated[Path, typer.Option(help="folder for weights, history and card")],
    params: Annotated[Path, typer.Option(help="params.yaml")] = Path("params.yaml"),
    work: Annotated[Path, typer.Option(help="where progress is kept")] = Path(".work"),
) -> None:
    """Train on the tables named on the command line and write the checkpoint."""
    use_case, tracking = read_params(params, "use_case", UseCase), read_params(params, "tracking", Tracking)
    seed = read_seed(params)
    found = read_record(tuned / "best.json", Tuned)
    recipe = read_recipe(params).with_changes(found.params)
    tables = [annotations / "images.parquet", annotations / "objects.parquet", split]
    data = training_data(read_split(raw, annotations, split))
    log.info("train: %s, %d epochs, %d images, %d in val", recipe.model, recipe.epochs, len(data.train), len(data.val))
    detector = load_family(recipe.family)
    start_sha256 = detector.start_sha256(recipe)
    progress = work_folder(work, "train", tables, recipe, use_case, seed, start_sha256)
    params_used = {"seed": seed, **flat("use_case", use_case), **flat("train", recipe)}
    lineage = _lineage(tables, start_sha256, params_used, recipe.family)
    with only_one(progress):
        if _found_again(finished_in(progress), lineage):
            _copy(finished_in(progress), trained)
            log.info("was trained before: taken from %s; remove that folder to train it again", progress)
            return
        with _run(tracking, progress, lineage) as run_log, _bar(recipe.epochs, use_case.metric) as show:

            def on_epoch(epoch: Epoch) -> None:
                run_log.log_metrics(epoch.measured(), step=epoch.number)
                show(epoch)

            outcome = train(data, recipe, use_case, seed=seed, detector=detector, work=progress, on_epoch=on_epoch)
            card = _card(outcome, data, recipe, use_case=use_case, detector=detector, lineage=lineage)
            _write(outcome, card, trained)
            run_log.log_artifact(trained / HISTORY)
            run_log.set_tags({WEIGHTS_TAG: card.weights_sha256, "resumed": str(outcome.resumed)})
        # DVC may be killed before it notes the output, and removes it then: the same command finds it here.
        keep_finished(progress, lambda folder: _copy(trained, folder))
    value = "nothing" if card.best_value is None else f"{card.best_value:.4f}"
    log.info(
        "trained %d epochs, %s %s at epoch %d, in %.1f s",
        card.epochs,
        card.metric,
        value,
        card.best_epoch,
        outcome.seconds,
    )


def _copy(folder: Path, to: Path) -> None:
    with whole_output(to) as partial:
        shutil.copytree(folder, partial)


def _lineage(tables: list[Path], start_sha256: str, params: dict[str, Scalar], family: str) -> Lineage:
    libraries = (*load_family(family).libraries, "numpy", "opencv-python-headless")
    return Lineage(
        code_sha256=modules_sha256([*CODE, *code_beside_ours(family)]),
        data_sha256={table.name: content_sha256(table) for table in tables},
        start_sha256=start_sha256,
        params=params,
        versions={name: version(name) for name in libraries},
    )


def _found_again(finished: Path, lineage: Lineage) -> bool:
    """Whether the work folder keeps the outcome of just this training, by just this code."""
    if not finished.is_dir():
        return False
    try:
        card = read_record(finished / CARD, Card)
    except PipelineError:
        # Of another version of this code.
        return False
    return card.lineage == lineage and content_sha256(finished / card.weights) == card.weights_sha256


@contextmanager
def _run(tracking: Tracking, progress: Path, lineage: Lineage) -> Iterator[RunLog]:
    """The MLflow run of this training, the same one after a stop."""
    key = progress / "run-key"
    if not key.exists():
        with whole_output(key) as partial:
            partial.write_text(uuid.uuid4().hex)
    run_log = open_run(tracking, "train", key.read_text())
    with until_end(run_log):
        run_log.log_params(lineage.params)
        at, dirty = commit()
        run_log.set_tags({"commit": str(at), "dirty": str(dirty)})
        yield run_log


@contextmanager
def _bar(epochs: int, metric: str) -> Iterator[Callable[[Epoch], None]]:
    """A progress bar over epochs with the metric; where there is no terminal, a line for each."""
    with tqdm(total=epochs, desc="train", unit="epoch", disable=None) as bar:

        def show(epoch: Epoch) -> None:
            value = f"{epoch.figures[USE_CASE_METRIC] or 0:.4f}"
            if bar.disable:
                # Whoever follows a training of days by its log alone sees that it goes on.
                log.info("epoch %d of %d: %s %s", epoch.number, epochs, metric, value)
            bar.update(epoch.number - bar.n)
            bar.set_postfix({metric: value})

        yield show


def _card(
    outcome: Trained,
    data: TrainingData,
    recipe: Recipe,
    *,
    use_case: UseCase,
    detector: Detector[Recipe],
    lineage: Lineage,
) -> Card:
    return Card(
        family=recipe.family,
        architecture=outcome.architecture,
        code_licence=detector.code_licence,
        weights_licence=outcome.weights_licence,
        classes=data.classes,
        image_size=recipe.image_size,
        weights=WEIGHTS,
        weights_sha256=content_sha256(outcome.weights),
        metric=use_case.metric,
        best_epoch=outcome.best_epoch,
        best_value=outcome.epochs[outcome.best_epoch - 1].figures[USE_CASE_METRIC],
        epochs=len(outcome.epochs),
        parameters=outcome.parameters,
        batch=outcome.batch,
        device=outcome.device,
        lineage=lineage,
    )


def _write(outcome: Trained, card: Card, trained: Path) -> None:
    with whole_output(trained) as folder:
        folder.mkdir()
        shutil.copyfile(outcome.weights, folder / WEIGHTS)
        history = pd.DataFrame([epoch.row() for epoch in outcome.epochs])
        # How long epochs took is in MLflow: equal trainings have equal histories.
        history.drop(columns="seconds").to_csv(folder / HISTORY, index=False)
        write_record(card, folder / CARD)


if __name__ == "__main__":
    run(main)
