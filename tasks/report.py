"""Draw one page for people.

Verdict first, then targets side by side, classes and thresholds, errors with the worst images, findings, data, split,
training, search and lineage. The page is one file that loads nothing and runs no script; it says so where an input has
nothing to show.

In:
  --raw            data/raw, the exports as ingest keeps them
  --annotations    data/annotations: images.parquet, objects.parquet, ledger.json
  --checks         data/checks: report.json and findings.parquet
  --split          data/split.parquet
  --leakage        what the split leaks
  --tuned          models/tuned: best.json and trials.parquet
  --trained        models/trained: card.json and history.csv
  --exported       a folder for each target, with bundle.json
  --evaluations    a folder for each target, as evaluate writes it
  --verdict        what gate decided

Out:
  --report         the page, HTML; the same inputs give the same bytes

Params: use_case, report, parse.rename

Example:
  python -m tasks.report --raw data/raw --annotations data/annotations --checks data/checks \\
    --split data/split.parquet --leakage reports/leakage.json --tuned models/tuned --trained models/trained \\
    --exported models/exported --evaluations reports/evaluation --verdict reports/verdict.json \\
    --report reports/report.html
"""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from pydantic import Field

from tasks.contracts.bundle import CHAMPION, Bundle
from tasks.contracts.card import Card
from tasks.contracts.check_report import FINDINGS, CheckReport
from tasks.contracts.errors import PipelineError
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.leakage import Leakage
from tasks.contracts.ledger import Ledger
from tasks.contracts.params import Params, read_params, read_rename
from tasks.contracts.record import read_record
from tasks.contracts.tables import IMAGES, OBJECTS, PREDICTIONS, SPLIT, read_table
from tasks.contracts.tuned import Tuned
from tasks.contracts.use_case import UseCase
from tasks.contracts.verdict import Verdict
from tasks.contracts.whole_output import whole_output
from tasks.dataset.decoding import Image, image_path, read_image
from tasks.dataset.read_split import is_readable
from tasks.execution.stage_command import run
from tasks.gating.compared_classes import compare_classes, over
from tasks.gating.judgement import Evaluated, interval_between
from tasks.gating.same_predictions import read_confident
from tasks.metrics.box_outcomes import marked_boxes
from tasks.report_page.curves import curve_charts
from tasks.report_page.error_analysis import KINDS, confusion, worst_images
from tasks.report_page.inputs import Data, LoadImage, MeasuredTarget, ReportInputs, Training
from tasks.report_page.label_section import balance, balance_drawn, rules
from tasks.report_page.page import render
from tasks.report_page.slice_scenes import with_scenes
from tasks.report_page.targets import against_champion, drops, figure, gauge, latency_chart, targets_chart
from tasks.report_page.training import history_charts, search_charts, searched

logger = logging.getLogger(__name__)


class ReportParams(Params):
    """How much the page shows."""

    worst_images: int = Field(default=12, ge=0, le=200, description="test images with the most errors, drawn")
    image_pixels: int = Field(default=560, ge=120, le=2000, description="longest side of a drawn image")
    image_quality: int = Field(default=72, ge=10, le=100, description="WebP quality of drawn images")
    confusion_classes: int = Field(default=20, ge=2, le=100, description="classes in the confusion matrix; rest summed")
    findings: int = Field(default=20, ge=0, le=1000, description="findings listed per rule; the parquet has all")
    thumbnails: int = Field(default=24, ge=0, le=200, description="findings with a picture, shared among the rules")


def report(inputs: ReportInputs, load: LoadImage, params: ReportParams) -> str:
    """Draw the page. `load` gives an image by its id; the same inputs gives the same bytes."""
    live, data, training = inputs.live, inputs.data, inputs.training
    counts = balance(data.leakage, list(data.ledger.labels))
    worst = []
    if live is not None:
        marked = marked_boxes(data.objects, inputs.predictions, _tested(data), _thresholds(live))
        worst = worst_images(
            marked,
            data.images,
            load,
            most=params.worst_images,
            longest=params.image_pixels,
            quality=params.image_quality,
        )
    compared, left_out = over_compared_classes(inputs)
    return render(
        inputs=inputs,
        live=live,
        figure=figure,
        gauge=gauge,
        drops=drops(inputs),
        compared=compared,
        left_out=left_out,
        against_champion=against_champion(compared),
        targets_chart=targets_chart(inputs),
        latency_chart=latency_chart(inputs),
        curves=curve_charts(live) if live else [],
        confusion=confusion(live.evaluation, params.confusion_classes) if live else None,
        kinds=KINDS,
        worst=worst,
        balance=counts,
        balance_chart=balance_drawn(counts),
        rules=rules(data, load, params.findings, params.thumbnails),
        history=history_charts(training.history, training.card.metric, training.card.best_epoch),
        search=search_charts(training),
        searched=searched(training.trials),
    )


def over_compared_classes(inputs: ReportInputs) -> tuple[ReportInputs, str]:
    """The live target and the champion over the classes that the gate compares them over; and what it leaves out.

    Without intervals, where any class is left out.
    """
    live, champion = inputs.live, inputs.measured.get(CHAMPION)
    if live is None or champion is None:
        return inputs, ""
    classes = compare_classes(live.evaluation, champion.evaluation, inputs.rename)
    if not classes.differs:
        return inputs, ""
    pair = {}
    for name, of in ((inputs.verdict.target, live), (CHAMPION, champion)):
        evaluation, resamples = over(classes.labels, of.evaluation, of.resamples)
        pair[name] = replace(of, evaluation=evaluation, resamples=resamples)
    note = classes.note.removeprefix("; ")
    return replace(inputs, targets=inputs.targets | pair), note[0].upper() + note[1:]


def between(metric: str, one: MeasuredTarget, other: MeasuredTarget) -> tuple[float, float]:
    """The two-sided 95 % interval of how far one target is above another, by the bounds of the gate's rules."""
    return interval_between(metric, *(Evaluated(of.evaluation, of.resamples, of.confident) for of in (one, other)))


def _tested(data: Data) -> list[str]:
    """Images of the test split that evaluate could look at."""
    seen = data.images.loc[is_readable(data.images), "image_id"]
    return data.split.loc[(data.split["split"] == "test") & data.split["image_id"].isin(seen), "image_id"].tolist()


def _thresholds(target: MeasuredTarget) -> dict[str, float]:
    return {label: of_class.threshold for label, of_class in target.evaluation.classes.items()}


def read_data(annotations: Path, checks: Path, split: Path, leakage: Path) -> Data:
    """Read what ingest to split wrote."""
    return Data(
        images=read_table(annotations / "images.parquet", IMAGES),
        objects=read_table(annotations / "objects.parquet", OBJECTS),
        split=read_table(split, SPLIT),
        findings=read_table(checks / "findings.parquet", FINDINGS),
        ledger=read_record(annotations / "ledger.json", Ledger),
        checks=read_record(checks / "report.json", CheckReport),
        leakage=read_record(leakage, Leakage),
    )


def read_training(tuned: Path, trained: Path) -> Training:
    """Read what tune and train wrote."""
    return Training(
        tuned=read_record(tuned / "best.json", Tuned),
        trials=_read_parquet(tuned / "trials.parquet"),
        card=read_record(trained / "card.json", Card),
        history=_read_history(trained / "history.csv"),
    )


def read_targets(exported: Path, evaluations: Path, verdict: Verdict) -> dict[str, MeasuredTarget]:
    """Read every evaluated target: the live one first, then in the order of the verdict, the champion last."""
    folders = {path.parent.name: path.parent for path in sorted(evaluations.glob("[!.]*/evaluation.json"))}
    if not folders:
        raise PipelineError("no target was evaluated", str(evaluations), "Run evaluate for each of export.targets")
    known = dict.fromkeys([verdict.target, *verdict.targets, *folders])
    return {
        name: _read_target(exported / name / "bundle.json", folders[name], verdict) for name in known if name in folders
    }


def _read_target(bundle: Path, folder: Path, verdict: Verdict) -> MeasuredTarget:
    evaluation = read_record(folder / "evaluation.json", Evaluation)
    return MeasuredTarget(
        evaluation=with_scenes(evaluation),
        bundle=read_record(bundle, Bundle) if bundle.exists() else None,
        verdict=verdict.targets.get(folder.name),
        resamples=_read_parquet(folder / "resamples.parquet"),
        curves=_read_parquet(folder / "curves.parquet"),
        confident=read_confident(folder),
    )


def _read_predictions(path: Path) -> pd.DataFrame:
    return read_table(path, PREDICTIONS) if path.exists() else pd.DataFrame(columns=PREDICTIONS.names)


def _read_parquet(path: Path) -> pd.DataFrame:
    """A table without a schema of its own; empty where its stage had nothing to write."""
    return pd.read_parquet(path) if path.exists() else pd.DataFrame()


def _read_history(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise PipelineError("file does not exist", str(path), "Run train")
    history = pd.read_csv(path)
    return history.rename(columns=str.strip)


def image_loader(images: pd.DataFrame, raw: Path, annotations: Path) -> LoadImage:
    """Load images by id; None for one that is missing or cannot be decoded, which check has reported already."""
    files = dict(zip(images["image_id"], images["file"], strict=True))

    def load(image_id: str) -> Image | None:
        file = files.get(image_id)
        if not isinstance(file, str):
            return None
        try:
            return read_image(image_path(file, raw, annotations), max_megapixels=None)
        except (ValueError, FileNotFoundError):
            return None

    return load


def main(
    *,
    raw: Annotated[Path, typer.Option(help="folder of ingest")],
    annotations: Annotated[Path, typer.Option(help="folder of parse")],
    checks: Annotated[Path, typer.Option(help="folder of check")],
    split: Annotated[Path, typer.Option(help="table of split")],
    leakage: Annotated[Path, typer.Option(help="figures of split")],
    tuned: Annotated[Path, typer.Option(help="folder of tune")],
    trained: Annotated[Path, typer.Option(help="folder of train")],
    exported: Annotated[Path, typer.Option(help="folder of export, one bundle per target below it")],
    evaluations: Annotated[Path, typer.Option(help="folder of evaluate, one folder per target below it")],
    verdict: Annotated[Path, typer.Option(help="file of gate")],
    report_path: Annotated[Path, typer.Option("--report", help="page to write")],
    params: Annotated[Path, typer.Option(help="YAML file of all params")] = Path("params.yaml"),
) -> None:
    """Read what all stages wrote, draw the page, write it."""
    started = time.monotonic()
    options = read_params(params, "report", ReportParams)
    judged = read_record(verdict, Verdict)
    data = read_data(annotations, checks, split, leakage)
    inputs = ReportInputs(
        use_case=read_params(params, "use_case", UseCase),
        verdict=judged,
        targets=read_targets(exported, evaluations, judged),
        predictions=_read_predictions(evaluations / judged.target / "predictions.parquet"),
        data=data,
        training=read_training(tuned, trained),
        between=between,
        rename=read_rename(params),
    )
    logger.info("report on %d targets, verdict of %s: %s", len(inputs.targets), judged.target, judged.outcome)
    page = report(inputs, image_loader(data.images, raw, annotations), options)
    with whole_output(report_path) as partial:
        partial.write_text(page, encoding="utf-8")
    size_mb = report_path.stat().st_size / 1e6
    logger.info("drew %s, %.1f MB in %.1f s", report_path, size_mb, time.monotonic() - started)


if __name__ == "__main__":
    run(main)
