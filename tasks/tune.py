"""Search hyperparameters for the use case's metric.

The first trial is train's own values, so that the best is never worse than those. Stopped by a kill or an error and
started again the search goes on where it was: the study and the trials under way lie in --work; more tune.trials go on
with the same study. The same command in several processes works on one study together, on several machines with
tune.storage set to a database. A trial whose process was killed is taken up when it was silent for a minute; one that
was told to stop or met an error at once. With `trials: 0` there is no search and train keeps its own values.

In:
  --raw                 data/raw, the exports as ingest keeps them
  --annotations         data/annotations, the tables that parse writes
  --split               data/split.parquet; a trial learns from train and is judged on val

Out:
  --tuned               models/tuned
    best.json           the best trial's values, which train takes in place of its own; how much each param mattered
    trials.parquet      every trial: number, state, value, epochs, and what it tried
    study.journal       the study, as Optuna reads it, without times

Params: seed, use_case, tracking, train (what a trial starts from), tune

Example:
  python -m tasks.tune --raw data/raw --annotations data/annotations --split data/split.parquet --tuned models/tuned
"""

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import typer
from pydantic import Field
from tqdm import tqdm

from tasks.clients.tracking import RunLog, open_run, until_end
from tasks.contracts.params import Params, Tracking, flat, read_params, read_seed
from tasks.contracts.record import write_record
from tasks.contracts.tuned import Tuned
from tasks.contracts.use_case import UseCase
from tasks.contracts.whole_output import whole_output
from tasks.dataset.read_split import read_split
from tasks.detectors.families import load_family, read_recipe
from tasks.detectors.protocol import USE_CASE_METRIC, Detector, Epoch, TrainingData
from tasks.detectors.recipe import Recipe
from tasks.detectors.search_space import Range, Space, check_space, own_values, suggest
from tasks.detectors.training_data import check_use_case, measure_of, training_data
from tasks.execution.stage_command import run
from tasks.execution.work_folder import only_one, work_folder
from tasks.search.storage import GRACE_SECONDS, JOURNAL, alone, open_study, reported, study_url
from tasks.search.study import NUMBER, TRIAL_COLUMNS, Attempt, Pruned, Search, Train

log = logging.getLogger(__name__)

WAIT_SECONDS = 1
WAITING = "waits for the last trials, which others are at; those of a killed process are taken up after %d s"


class TuneParams(Params):
    """How long to search, and where."""

    trials: int = Field(
        default=20,
        ge=0,
        le=10_000,
        description="sets of hyperparameters that are tried; 0: no search, train's own values go on",
    )
    epochs: int = Field(
        default=20, ge=1, le=10_000, description="epochs of one trial; fewer than train's make a quick search"
    )
    storage: str | None = Field(
        default=None, description="PostgreSQL URL that several machines share; null: one file in --work"
    )
    pruner: Literal["median", "hyperband", "none"] = Field(
        default="median", description="ends a trial that lags behind others at the same epoch"
    )
    startup_trials: int = Field(default=5, ge=0, description="trials drawn at random and not pruned, before it learns")
    space: Space = Field(
        default={"lr0": Range(low=0.0002, high=0.01, log=True), "scale": Range(low=0.1, high=0.9)},
        description="params of train to search: a range (low, high, log or step) or a list of choices",
    )


def tune(
    search: Search, train: Train, trials: int, metric: str, on_end: Callable[[int], None] = lambda _done: None
) -> Tuned:
    """Run attempts, here and in other processes, until `trials` of them are done, and give the best.

    on_end: hears behind each attempt run here how many are done.
    """
    waits = False
    while len(search.done()) < trials:
        if search.run_next(train, trials):
            on_end(len(search.done()))
        elif not waits:
            # Others are at the last ones; should they die, the next turn takes those up.
            log.info(WAITING, GRACE_SECONDS)
            waits = True
        else:
            time.sleep(WAIT_SECONDS)
    best, done = search.best(), len(search.done())
    if best is None:
        return Tuned(metric=metric, trials=done, trial=None, value=None, params={})
    return Tuned(
        metric=metric,
        trials=done,
        trial=best.user_attrs[NUMBER],
        value=best.value,
        params=best.params,
        importances=search.importances(),
    )


@dataclass(frozen=True)
class Trainings:
    """What all attempts have in common."""

    data: TrainingData
    recipe: Recipe  # of train, but for the values searched
    epochs: int  # of a trial
    use_case: UseCase
    seed: int
    detector: Detector[Recipe]
    tracking: Tracking
    study_name: str
    parent_run: str

    def run(self, attempt: Attempt) -> float | None:
        """Train with the params of an attempt and tell of every epoch; the metric of the best one, None if pruned."""
        run_log = open_run(self.tracking, f"trial-{attempt.number}", self.study_name, parent=self.parent_run)
        with until_end(run_log):
            run_log.log_params({**attempt.params, "epochs": self.epochs})
            value = self._train(attempt, run_log)
            run_log.set_tags({"state": "pruned" if value is None else "complete"})
        return value

    def _train(self, attempt: Attempt, run_log: RunLog) -> float | None:
        def on_epoch(epoch: Epoch) -> None:
            run_log.log_metrics(epoch.measured(), step=epoch.number)
            attempt.report(epoch.figures[USE_CASE_METRIC] or 0.0, epoch.number)

        try:
            trained = self.detector.train(
                data=self.data,
                recipe=self.recipe.with_changes(attempt.params).shortened(self.epochs),
                seed=self.seed,
                measure=measure_of(self.use_case, self.data),
                work=attempt.folder,
                on_epoch=on_epoch,
            )
        except Pruned:
            return None
        return trained.epochs[trained.best_epoch - 1].figures[USE_CASE_METRIC] or 0.0


def main(
    *,
    raw: Annotated[Path, typer.Option(help="exports as ingest keeps them")],
    annotations: Annotated[Path, typer.Option(help="tables that parse writes")],
    split: Annotated[Path, typer.Option(help="table that split writes")],
    tuned: Annotated[Path, typer.Option(help="folder for the best values and the study")],
    params: Annotated[Path, typer.Option(help="params.yaml")] = Path("params.yaml"),
    work: Annotated[Path, typer.Option(help="where progress is kept")] = Path(".work"),
) -> None:
    """Search on the tables named on the command line and write the best values."""
    use_case, tracking = read_params(params, "use_case", UseCase), read_params(params, "tracking", Tracking)
    wanted, recipe = read_params(params, "tune", TuneParams), read_recipe(params)
    seed = read_seed(params)
    if not wanted.trials:
        log.info("tune: no trials, train keeps its own values")
        _write_nothing(use_case.metric, tuned)
        return
    check_space(wanted.space, recipe)
    began = time.monotonic()
    tables = [annotations / "images.parquet", annotations / "objects.parquet", split]
    data = training_data(read_split(raw, annotations, split))
    check_use_case(use_case, data)
    log.info("tune: %d trials of %d epochs, searching %s", wanted.trials, wanted.epochs, ", ".join(wanted.space))
    # More trials, and another place for the study's file, go on with the same study.
    asked = wanted.model_copy(update={"trials": 0, "storage": None})
    detector = load_family(recipe.family)
    folder = work_folder(work, "tune", tables, recipe, asked, use_case, seed, detector.start_sha256(recipe))
    url = study_url(folder, wanted.storage)
    search = _search(wanted, recipe, folder, url, seed)
    run_log = open_run(tracking, "tune", folder.name)
    with until_end(run_log), reported(url):
        run_log.log_params({"seed": seed, **flat("use_case", use_case), **flat("train", recipe), **flat("tune", asked)})
        trainings = Trainings(
            data, recipe, wanted.epochs, use_case, seed, detector, tracking, folder.name, parent_run=run_log.run_id
        )
        with tqdm(total=wanted.trials, desc="tune", unit="trial", disable=None) as bar:

            def on_end(done: int) -> None:
                if bar.disable:
                    # Whoever follows a search of days by its log alone sees that it goes on.
                    log.info("%d of %d trials are done", done, wanted.trials)
                bar.update(done - bar.n)

            best = tune(search, trainings.run, wanted.trials, use_case.metric, on_end)
        with only_one(folder, wait=True):
            _write(search, best, tuned)
        run_log.log_artifact(tuned)
    value = "nothing" if best.value is None else f"{best.value:.4f}"
    log.info("tuned in %d trials, best %s %s, in %.1f s", best.trials, best.metric, value, time.monotonic() - began)


def _search(wanted: TuneParams, recipe: Recipe, folder: Path, url: str, seed: int) -> Search:
    return Search(
        study=open_study(folder, url, folder.name, wanted.pruner),
        folder=folder,
        alone=functools.partial(alone, folder, url),
        suggest=functools.partial(suggest, wanted.space, recipe),
        first=own_values(wanted.space, recipe),
        seed=seed,
        startup_trials=wanted.startup_trials,
    )


def _write_nothing(metric: str, tuned: Path) -> None:
    with whole_output(tuned) as folder:
        folder.mkdir()
        pd.DataFrame(columns=TRIAL_COLUMNS).to_parquet(folder / "trials.parquet")
        write_record(Tuned(metric=metric, trials=0, trial=None, value=None, params={}), folder / "best.json")


def _write(search: Search, best: Tuned, tuned: Path) -> None:
    with whole_output(tuned) as folder:
        folder.mkdir()
        search.table().to_parquet(folder / "trials.parquet")
        search.copy_to(folder / JOURNAL)
        write_record(best, folder / "best.json")


if __name__ == "__main__":
    run(main)
