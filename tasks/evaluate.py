"""Measure an exported artefact on the metrics of the use case.

The bundle runs through its Runtime on val and test, so what is measured is what will run. Operating thresholds are
chosen on val for this very artefact, everything else is measured on test. Intervals come from resampling the split's
groups, of test and, with thresholds chosen again, of val; the same seed gives the same resamples for every target, so
that the gate can compare targets in pairs. docs/statistics says how often these intervals are wrong.

The figures of val are compared with those that training measured on the same images: beyond
evaluate.training_tolerance, or where the network's output is not finite on any image, nothing is written. Latency is
taken in rounds, with what other processes took of the processors meanwhile.

In:
  --raw                    data/raw, the exports as ingest keeps them
  --annotations            data/annotations, the tables that parse writes
  --split                  data/split.parquet: which image is val or test, and its group
  --bundle                 bundle.json and the artefact; or absent.json, where the registry has no champion yet

Out:
  --evaluation             a folder
    predictions.parquet    boxes of val and test
    evaluation.json        every figure, with its interval, and digests of what was measured on what; see
                           tasks/contracts/evaluation.py
    resamples.parquet      the headline figures and slices in every bootstrap resample
    curves.parquet         precision, recall and F1 over the score

Params: seed, use_case, evaluate

Example:
  python -m tasks.evaluate --raw data/raw --annotations data/annotations --split data/split.parquet \\
    --bundle models/exported/onnx --evaluation reports/evaluation/onnx
"""

import hashlib
import logging
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from pydantic import Field, field_validator

from tasks.contracts.bundle import CHAMPION, NoChampion, bundle_sha256
from tasks.contracts.digests import canonical_sha256, content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.evaluation import Evaluation, figures_sha256
from tasks.contracts.params import measuring_sha256, read_params, read_seed
from tasks.contracts.record import read_record, write_record
from tasks.contracts.tables import BOX, PREDICTIONS, counted, write_table
from tasks.contracts.use_case import UseCase
from tasks.contracts.whole_output import whole_output
from tasks.dataset.read_split import Dataset, read_split
from tasks.evaluating.run_bundle import Running, run_bundle
from tasks.evaluating.training_tolerance import TrainingTolerance, hold_to_training
from tasks.execution.stage_command import run
from tasks.metrics.bootstrap import count, draw, resampled_figures
from tasks.metrics.curves import CURVE_COLUMNS, calibration_error, curves, score_bins
from tasks.metrics.error_kinds import confusion, error_kinds
from tasks.metrics.few_scenes import lower_means
from tasks.metrics.figures import OVERALL, class_figures, overall_figures
from tasks.metrics.hints import suppression_hint
from tasks.metrics.matching import match, scene
from tasks.metrics.operating_points import choose_thresholds, operating_points
from tasks.metrics.resampled_thresholds import resampled_thresholds
from tasks.metrics.resampling_units import Units, units
from tasks.metrics.slices import measure_slices, parts
from tasks.metrics.use_case import figures
from tasks.runtimes.protocol import read_bundle

log = logging.getLogger(__name__)


class EvaluateParams(Running):
    """Section `evaluate`: how bundles are run, and what is measured."""

    training_tolerance: TrainingTolerance = Field(
        default=TrainingTolerance(), description="by precision, how far val may be from what training measured on it"
    )

    resamples: int = Field(ge=100, le=100_000, description="bootstrap resamples behind every interval")
    fewest_groups: int = Field(
        ge=6, description="with its objects in fewer groups of test, a rule is undecided, whatever was measured"
    )
    part_images: int = Field(
        ge=1, description="consecutive images of a scene that the split divided in time, drawn together"
    )
    slice_attributes: list[str] = Field(description="attributes of objects whose values are measured apart")
    size_edges_px: tuple[int, int] = Field(
        description="small is up to the first square in area, large from the second on"
    )
    score_bins: int = Field(ge=2, le=100, description="bands of scores whose calibration is measured")
    score_bins_from: float = Field(ge=0, lt=1, description="lower scores do not count in the calibration error")

    @field_validator("slice_attributes")
    @classmethod
    def _every_slice_has_a_name_of_its_own(cls, attributes: list[str]) -> list[str]:
        for name, times in Counter([*attributes, "size", "source"]).items():
            if times > 1:
                raise ValueError(f"{name!r} is there twice; size and source are measured anyway: take it out")
        return attributes

    @field_validator("size_edges_px")
    @classmethod
    def _edges_ascend(cls, edges: tuple[int, int]) -> tuple[int, int]:
        if not 0 < edges[0] < edges[1]:
            raise ValueError(f"{list(edges)} do not ascend from above 0; write the lower one first, as in [32, 96]")
        return edges


@dataclass(frozen=True)
class Measured:
    """What was measured of predictions; latency, memory and the bundle's own figures are not in it yet."""

    evaluation: Evaluation
    resamples: pd.DataFrame
    curves: pd.DataFrame


def evaluate(
    val: Dataset,
    test: Dataset,
    predictions: pd.DataFrame,
    labels: list[str],
    *,
    use_case: UseCase,
    params: EvaluateParams,
    seed: int,
) -> Measured:
    """Choose operating thresholds on val and measure everything on test."""
    val_matches = match(scene(val.objects, predictions, val.images["image_id"].to_list(), labels))
    boxes = scene(test.objects, predictions, test.images["image_id"].to_list(), labels)
    matches = match(boxes)
    points = operating_points(use_case, labels)
    chosen = choose_thresholds(val_matches, points)
    thresholds = [threshold.score for threshold in chosen]
    unit_of, val_units = (_units(each, params) for each in (test, val))
    drawn = draw(unit_of.of_image, params.resamples, seed)
    # Seeded apart, or a group of val would be drawn whenever one of test is.
    val_drawn = draw(val_units.of_image, params.resamples, [seed, 1])
    redrawn = resampled_thresholds(val_matches, points, val_drawn)
    resamples = resampled_figures(matches, redrawn, drawn)
    values, val_values = (figures(of, thresholds) for of in (matches, val_matches))
    counts = count(matches, thresholds, drawn)
    parted, left_out = parts(
        boxes, test.images, test.objects, edges_px=params.size_edges_px, attributes=params.slice_attributes
    )
    slices, columns = measure_slices(boxes, parted, thresholds, drawn, redrawn)
    bins = score_bins(matches, params.score_bins, params.score_bins_from)
    evaluation = Evaluation(
        target="",
        images=len(boxes.images),
        objects=int(matches.objects.sum()),
        groups=drawn.groups,
        test_sha256=_test_sha256(val, test, params, seed),
        resampled="parts" if unit_of.divided else "groups",
        resampling_reason=unit_of.reason,
        fewest_groups=params.fewest_groups,
        resamples=params.resamples,
        overall=overall_figures(values, resamples, counts),
        val={name: val_values[name] for name in OVERALL},
        classes=class_figures(matches, chosen, values=values, resamples=resamples, counts=counts),
        errors=error_kinds(boxes, matches, thresholds),
        confusion=confusion(boxes, matches, thresholds),
        slices=slices,
        left_out=left_out,
        calibration_error=calibration_error(bins),
        score_bins=bins,
    )
    return Measured(lower_means(evaluation), pd.concat([resamples, columns], axis=1), curves(matches))


def _units(dataset: Dataset, params: EvaluateParams) -> Units:
    """In the order of a Scene: by image_id."""
    return units(dataset.images.sort_values("image_id", ignore_index=True), params.part_images)


def _test_sha256(val: Dataset, test: Dataset, params: EvaluateParams, seed: int) -> str:
    """Equal for two targets if their resamples may be subtracted row by row."""
    digest = hashlib.sha256(f"{seed} {params.resamples} {params.fewest_groups}".encode())
    for each in (val, test):
        image = ["image_id", "unit"]
        placed = each.images.sort_values("image_id").assign(unit=_units(each, params).of_image)
        for table, columns in ((placed, image), (each.objects, ["image_id", "label", "ignored", *BOX])):
            digest.update(table.reindex(columns=columns).sort_values(columns).to_csv(index=False).encode())
    return digest.hexdigest()


def main(
    *,
    raw: Annotated[Path, typer.Option(help="exports as ingest left them")],
    annotations: Annotated[Path, typer.Option(help="tables of parse")],
    split: Annotated[Path, typer.Option(help="split.parquet")],
    bundle: Annotated[Path, typer.Option(help="what export made")],
    evaluation: Annotated[Path, typer.Option(help="folder to write")],
    target: Annotated[
        str | None, typer.Option(help="what the bundle has to be; only what is asked for as pytorch is opened as such")
    ] = None,
    params: Annotated[Path, typer.Option(help="params.yaml")] = Path("params.yaml"),
) -> None:
    """Read tables and bundle, run it, measure, write."""
    start = time.perf_counter()
    settings = read_params(params, "evaluate", EvaluateParams)
    use_case, seed = read_params(params, "use_case", UseCase), read_seed(params)
    if (bundle / "absent.json").is_file():
        reason = read_record(bundle / "absent.json", NoChampion).reason
        nothing = Measured(
            Evaluation(target=CHAMPION, absent=reason), pd.DataFrame(), pd.DataFrame(columns=CURVE_COLUMNS)
        )
        _write(nothing, pd.DataFrame(columns=PREDICTIONS.names), evaluation)
        log.info("nothing to evaluate in %s: %s", bundle, reason)
        return
    exported = read_bundle(bundle)
    tables = [annotations / "images.parquet", annotations / "objects.parquet", split]
    labelled = read_split(raw, annotations, split).of("val", "test")
    to_test = labelled.of("test")
    if to_test.images.empty:
        raise PipelineError("no image is in test", str(split), "Label more groups of images, or change params: split")
    readable = labelled.readable().images
    paths: dict[str, Path] = dict(zip(readable["image_id"], readable["path"], strict=True))
    timed = to_test.readable().images["image_id"].to_list()
    log.info("evaluating %s on %s images of val and test", bundle, f"{len(labelled.images):,}")

    outcome = run_bundle(bundle, paths, timed, settings, None if target == CHAMPION else target)
    seen = labelled.where(labelled.images["image_id"].isin(paths.keys() - set(outcome.unreadable)))
    labels = [*exported.classes, *sorted({*counted(seen.objects)["label"]} - {*exported.classes})]
    # Of a class that nobody is to find not even what is ignored matters.
    counting = replace(seen, objects=seen.objects[seen.objects["label"].isin(labels)])
    val, test = counting.of("val"), counting.of("test")
    inputs = {
        **{table.name: content_sha256(table) for table in tables},
        "pixels": canonical_sha256({image_id: content_sha256(paths[image_id]) for image_id in seen.images["image_id"]}),
        "params": measuring_sha256(params),
    }
    if exported.registry_version:
        use_case = _points_of(labels, use_case)
    measured = evaluate(val, test, outcome.predictions, labels, use_case=use_case, params=settings, seed=seed)
    hint = suppression_hint(measured.evaluation, test.objects, exported.output)
    of_bundle = {
        "hints": [hint] if hint else [],
        "target": CHAMPION if exported.registry_version else exported.target,
        "registry_version": exported.registry_version,
        "known": exported.classes,
        "unreadable": len(labelled.images) - len(seen.images),
        "latency": outcome.latency,
        "peak_memory_mb": outcome.peak_memory_mb,
        "size_bytes": exported.size_bytes,
        "bundle_sha256": bundle_sha256(exported),
        "inputs_sha256": inputs,
    }
    hold_to_training(exported, measured.evaluation.val, tables, settings.training_tolerance)
    whole = replace(measured, evaluation=measured.evaluation.model_copy(update=of_bundle))
    _write(whole, outcome.predictions, evaluation)
    log.info("%s in %.1f s", _summary(whole.evaluation), time.perf_counter() - start)


def _points_of(labels: list[str], use_case: UseCase) -> UseCase:
    """Without operating points of classes that a champion cannot know: it was trained before they came."""
    points = {label: point for label, point in use_case.operating_points.items() if label in labels}
    unknown = sorted(use_case.operating_points.keys() - points.keys())
    if unknown:
        log.warning(
            "use_case.operating_points: the champion does not know %s, and is measured without", ", ".join(unknown)
        )
    return use_case.model_copy(update={"operating_points": points})


def _write(measured: Measured, predictions: pd.DataFrame, folder: Path) -> None:
    with whole_output(folder) as partial:
        partial.mkdir()
        write_table(predictions, partial / "predictions.parquet", PREDICTIONS)
        measured.resamples.to_parquet(partial / "resamples.parquet", compression="zstd")
        measured.curves.to_parquet(partial / "curves.parquet", compression="zstd")
        files = {"files_sha256": {table.name: content_sha256(table) for table in sorted(partial.iterdir())}}
        whole = Evaluation.model_validate_json(measured.evaluation.model_copy(update=files).model_dump_json())
        seal = {"figures_sha256": figures_sha256(whole)}
        write_record(whole.model_copy(update=seal), partial / "evaluation.json")


def _summary(evaluation: Evaluation) -> str:
    map50, latency = evaluation.overall["map50"], evaluation.latency
    assert latency is not None
    accuracy = (
        "without objects"
        if map50.value is None
        else f"map50 {map50.value:.3f} (two-sided 95 %: {map50.low:.3f} to {map50.high:.3f})"
    )
    return (
        f"evaluated {evaluation.target} on {evaluation.images:,} test images with {evaluation.objects:,} objects: "
        f"{accuracy}, {latency.p95_ms:.1f} ms p95, {evaluation.size_bytes / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    run(main)
