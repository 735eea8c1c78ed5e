"""From the tables that stages share to what a detector learns from: train and val, never test."""

import functools
import logging

import pandas as pd

from tasks.contracts.errors import PipelineError
from tasks.contracts.quoting import written
from tasks.contracts.tables import BOX, counted
from tasks.contracts.use_case import UseCase
from tasks.dataset.read_split import Dataset
from tasks.detectors.protocol import USE_CASE_METRIC, Figures, TrainingData
from tasks.metrics.use_case import headline

log = logging.getLogger(__name__)

OVERALL = ("map50", "map50_95", "precision", "recall", "f1")


def training_data(dataset: Dataset) -> TrainingData:
    """Images of the train and val splits with their objects.

    Images that are not there or cannot be read are left out with a warning; classes are those of the whole split.

    Ignored objects (crowds, difficult ones) are not learnt. The library knows no regions that teach nothing: to it such
    a region is background, as in most trainings on COCO, where beside labelled objects it does little harm. An image of
    train with nothing but ignored objects would teach that they are background: it is left out.

    Raises PipelineError if a split is empty or train has no objects.
    """
    placed = dataset.of("train", "val")
    usable = placed.readable().images
    if left_out := len(placed.images) - len(usable):
        log.warning("%d of %d images are not there or cannot be read and are left out", left_out, len(placed.images))
    usable = usable.assign(path=usable["path"].map(str))
    columns = ["image_id", "path", "width", "height"]
    objects, ignored = counted(dataset.objects), placed.objects[placed.objects["ignored"].notna()]
    usable = usable[~_teaches_wrong(usable, objects, ignored)]
    train, val = (usable.loc[usable["split"] == name, columns].reset_index(drop=True) for name in ("train", "val"))
    for name, count in (("images in train", len(train)), ("images in val", len(val))):
        if not count:
            raise PipelineError(
                f"there are no {name}", "the split", "Label more images, or change split in params.yaml"
            )
    classes = sorted(objects["label"].unique())
    _check_classes(classes, objects[objects["image_id"].isin(train["image_id"])])
    shown = objects.loc[objects["image_id"].isin(usable["image_id"]), ["image_id", "label", *BOX]]
    passed_over = ignored.loc[ignored["image_id"].isin(val["image_id"]), ["image_id", "label", "ignored", *BOX]]
    return TrainingData(classes, train, val, shown.reset_index(drop=True), passed_over.reset_index(drop=True))


def _teaches_wrong(images: pd.DataFrame, objects: pd.DataFrame, ignored: pd.DataFrame) -> "pd.Series[bool]":
    """Which images of train hold ignored objects and no others."""
    only_ignored = images["image_id"].isin(ignored["image_id"]) & ~images["image_id"].isin(objects["image_id"])
    wrong = only_ignored & (images["split"] == "train")
    if wrong.any():
        log.warning("%d images of train show nothing but ignored objects and are left out", wrong.sum())
    return wrong


def _check_classes(classes: list[str], learnt: pd.DataFrame) -> None:
    if learnt.empty:
        raise PipelineError(
            "there are no objects in train", "the split", "Label objects, or change split in params.yaml"
        )
    unseen = sorted(set(classes) - set(learnt["label"]))
    if unseen:
        log.warning("no object in train, so it cannot be learnt: %s", ", ".join(unseen))


def check_use_case(use_case: UseCase, data: TrainingData) -> None:
    """Raises PipelineError if the use case's metric cannot be measured on val, so that no epoch could be the best."""
    label = use_case.label
    if label is not None and label not in data.classes:
        raise PipelineError(
            f"no class is named {label!r}",
            "params.yaml: use_case.metric",
            f"Classes are {', '.join(map(written, data.classes))}",
        )
    on_val = data.objects[data.objects["image_id"].isin(data.val["image_id"])]
    if label is not None:
        on_val = on_val[on_val["label"] == label]
    if on_val.empty:
        what = "there are no objects" if label is None else f"there is no object {label!r}"
        raise PipelineError(
            f"{what} in val to measure {use_case.metric} by", "the split", "Label more of them, or set use_case.metric"
        )


def measure_val(predictions: pd.DataFrame, use_case: UseCase, truth: pd.DataFrame) -> Figures:
    """Figures of an epoch by our own metrics; USE_CASE_METRIC is the use case's.

    predictions, truth: on val, as `metrics.use_case.headline` wants them.
    """
    figures = headline(use_case, truth, predictions).figures
    return {USE_CASE_METRIC: figures.get(use_case.metric), **{overall: figures.get(overall) for overall in OVERALL}}


def measure_of(use_case: UseCase, data: TrainingData) -> functools.partial[Figures]:
    """`protocol.Measure` on the val split of these data."""
    truth = pd.concat([data.objects[data.objects["image_id"].isin(data.val["image_id"])], data.ignored])
    return functools.partial(measure_val, use_case=use_case, truth=truth)
