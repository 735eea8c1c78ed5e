"""Draws the data behind a report through the contracts: images of a belt, labels, findings, ledger and split."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.check_report import CheckReport, ExpectationCount, RuleCount
from tasks.contracts.images import Image
from tasks.contracts.leakage import ExcludedImage, Leak, Leakage, SideCount
from tasks.contracts.ledger import Counts, ExportLedger, ImageCounts, Ledger
from tasks.contracts.record import write_record
from tasks.contracts.tables import BOX, FINDINGS, IMAGES, OBJECTS, SPLIT, write_table
from tasks.contracts.verdict import Outcome

LANDSCAPE, PORTRAIT, PANORAMA = (320, 240), (240, 360), (640, 160)


@dataclass(frozen=True)
class Scene:
    """What the inputs say; the defaults are a rich and rejected release."""

    labels: tuple[str, ...] = ("bolt", "washer", "crack")
    images: int = 30
    targets: tuple[str, ...] = ("pytorch", "torchscript", "onnx", "openvino-fp16", "openvino-int8", "champion")
    outcome: Outcome = "rejected"
    champion: bool = True
    champion_knows: tuple[str, ...] | None = None  # None: the same classes
    trials: int = 12
    findings: bool = True
    objects: bool = True  # any in the test split
    intervals: bool = True
    sizes_wh: tuple[tuple[int, int], ...] = (LANDSCAPE,)  # of the images, in turn
    objects_per_image: int = 0  # all over it, half of them missed; 0: a few in a row, most of them found
    hints: tuple[str, ...] = ()
    operating_note: str = ""  # of the last class


def drawn_images(scene: Scene) -> pd.DataFrame:
    rows = [
        {
            "image_id": f"image-{number:03d}",
            "name": f"line {number % 3}/frame_{number:06d}.png",
            "file": f"raw/belt/images/line {number % 3}/frame_{number:06d}.png",
            "sha256": f"{number:064x}",
            "width": scene.sizes_wh[number // 6 % len(scene.sizes_wh)][0],
            "height": scene.sizes_wh[number // 6 % len(scene.sizes_wh)][1],
            "source": f"camera-{number % 3}",
            "subset": None,
            "task_id": "17",
            "frame": number,
            "group": f"sequence-{number % 6}",
            "readable": True,
        }
        for number in range(scene.images)
    ]
    return pd.DataFrame(rows)


def drawn_objects(scene: Scene, images: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for image_id, width, height in images[["image_id", "width", "height"]].itertuples(index=False):
        for place in range(scene.objects_per_image or int(rng.integers(2, 7))):
            # Labels get rarer towards the end of the list.
            label = scene.labels[int(len(scene.labels) * rng.random() ** 2)]
            size = rng.uniform(16, 46, 2)
            corner = [18 + 48 * place % (width - 50) + rng.uniform(0, 6), rng.uniform(40, height - 90)]
            if scene.objects_per_image:
                size = rng.uniform(12, 26, 2)
                corner = [rng.uniform(0, width - 26), rng.uniform(0, height - 26)]
            rows.append(
                {
                    "object_id": f"{image_id}-{place}",
                    "image_id": image_id,
                    "label": label,
                    "shape": ("box", "polygon", "ellipse")[place % 3],
                    "x_min": corner[0],
                    "y_min": corner[1],
                    "x_max": corner[0] + size[0],
                    "y_max": corner[1] + size[1],
                    "rotation": 0.0,
                    "occluded": False,
                    "truncated": False,
                    "ignored": None,
                    "z_order": 0,
                    "track_id": None,
                    "source": "manual",
                    "attributes": "{}",
                    "points": None,
                }
            )
    return pd.DataFrame(rows)


def divided(images: pd.DataFrame) -> pd.DataFrame:
    sides = ["train", "train", "train", "train", "val", "test"]
    return pd.DataFrame(
        {
            "image_id": images["image_id"],
            "split": [sides[number % 6] for number in range(len(images))],
            "group": images["group"],
        }
    )


def _drawn(objects: pd.DataFrame, size_wh: tuple[int, int], seed: int) -> Image:
    rng = np.random.default_rng(seed)
    width, height = size_wh
    picture = np.full((height, width, 3), 92, dtype=np.uint8)
    picture[height // 4 : height * 5 // 6] = (58, 60, 64)
    shade: NDArray[np.float64] = rng.normal(0, 5, picture.shape)
    picture = np.clip(picture + shade, 0, 255).astype(np.uint8)
    for label, (x_min, y_min, x_max, y_max) in zip(
        objects["label"], objects[BOX].to_numpy(float).tolist(), strict=True
    ):
        centre = (int((x_min + x_max) / 2), int((y_min + y_max) / 2))
        axes = (int((x_max - x_min) / 2), int((y_max - y_min) / 2))
        tone = sum(map(ord, label)) * 37 % 120 + 100
        cv2.ellipse(picture, centre, axes, 0, 0, 360, (tone, 150, 255 - tone), -1, cv2.LINE_AA)
        cv2.ellipse(picture, centre, axes, 0, 0, 360, (30, 30, 30), 1, cv2.LINE_AA)
    return picture


def write_data(
    paths: dict[str, Path], scene: Scene, images: pd.DataFrame, objects: pd.DataFrame, split: pd.DataFrame
) -> None:
    columns = ["image_id", "file", "width", "height"]
    for number, (image_id, file, width, height) in enumerate(images[columns].itertuples(index=False)):
        path = paths["raw"] / str(file).removeprefix("raw/")
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = _drawn(objects[objects["image_id"] == image_id], (width, height), number)
        path.write_bytes(cv2.imencode(".png", drawn)[1].tobytes())
    write_table(images, paths["annotations"] / "images.parquet", IMAGES)
    write_table(objects, paths["annotations"] / "objects.parquet", OBJECTS)
    write_table(split, paths["split"], SPLIT)
    write_table(_findings(scene, images), paths["checks"] / "findings.parquet", FINDINGS)
    write_record(_check_report(scene, objects), paths["checks"] / "report.json")
    write_record(_leakage(objects, split), paths["leakage"])
    write_record(_ledger(scene, objects), paths["annotations"] / "ledger.json")


def _ledger(scene: Scene, objects: pd.DataFrame) -> Ledger:
    def counts(chosen: "pd.Series[bool]", dropped: int = 0) -> Counts:
        kept = int((chosen & (objects["shape"] == "box")).sum())
        converted = int((chosen & (objects["shape"] != "box")).sum())
        return Counts(total=kept + converted + dropped, kept=kept, converted=converted, dropped=dropped)

    everything = counts(objects["label"] == objects["label"], dropped=3)
    images = ImageCounts(
        declared=scene.images + 1, held=scene.images, missing=1, ambiguous=0, superseded=0, skipped=0, unreadable=1,
        size_mismatches=0, empty=2,
    )  # fmt: skip
    return Ledger(
        objects=everything,
        images=images,
        shapes={shape: counts(objects["shape"] == shape) for shape in ("box", "polygon", "ellipse")}
        | {"points": Counts(total=3, kept=0, converted=0, dropped=3)},
        labels={
            label: counts(objects["label"] == label, dropped=3 if label == scene.labels[0] else 0)
            for label in scene.labels
        },
        undeclared_labels=[scene.labels[-1]],
        dropped={"points have no extent": 3},
        exports={
            "belt": ExportLedger(
                formats=["cvat_images"],
                objects=everything,
                images=images,
                superseded_by=[],
                notes=["One tag was read."],
            )
        },
        clipped=4,
        outside=11,
        files_without_labels=1,
        missing=["belt: line 1/frame_000099.png"],
        ambiguous=[],
        unreadable=["belt: line 1/frame_000098.png"],
        size_mismatches=[],
        dropped_examples={"points have no extent": ["belt: line 0/frame_000003.png, points, " + scene.labels[0]]},
    )


def _findings(scene: Scene, images: pd.DataFrame) -> pd.DataFrame:
    columns = FINDINGS.names
    if not scene.findings:
        return pd.DataFrame(columns=columns)
    rows = [
        ("duplicate_image", "error", "the same bytes as another image", 1, None, None, "image-004", 0.0),
        (
            "box_over_border",
            "warning",
            "goes 7.5 px over the right border",
            2,
            "image-002-1",
            scene.labels[0],
            None,
            7.5,
        ),
        ("image_dark", "warning", "mean brightness is 21 of 255", 3, None, None, None, 21.0),
        *[("box_tiny", "note", "9 px² is tiny", n, f"image-{n:03d}-0", scene.labels[-1], None, 9.0) for n in range(9)],
    ]
    return pd.DataFrame(
        [
            {
                "rule": rule,
                "severity": severity,
                "message": message,
                "image_id": images["image_id"][number],
                "object_id": object_id,
                "label": label,
                "other_image_id": other,
                "value": value,
                "where": f"belt, task 17, frame {number}, {images['name'][number]}",
            }
            for rule, severity, message, number, object_id, label, other, value in rows
        ],
        columns=columns,
    )


def _check_report(scene: Scene, objects: pd.DataFrame) -> CheckReport:
    rules = [
        RuleCount(rule="duplicate_image", severity="error", findings=1, images=1, meaning="Two images are the same.",
                  mend="Delete one of them in CVAT."),
        RuleCount(rule="box_over_border", severity="warning", findings=1, images=1, meaning="A box leaves its image.",
                  mend="Pull the box back; it was clipped."),
        RuleCount(rule="image_dark", severity="warning", findings=1, images=1, meaning="An image is very dark.",
                  mend="Look whether its objects can be seen."),
        RuleCount(rule="box_tiny", severity="note", findings=9, images=9, meaning="A box is too small to be learned.",
                  mend="Delete it if it is a slip of the mouse."),
    ]  # fmt: skip
    return CheckReport(
        passed=True,
        stop_on=["error"],
        stops=[],
        images=scene.images,
        held=scene.images,
        decoded=scene.images,
        objects=len(objects),
        objects_per_class={label: int((objects["label"] == label).sum()) for label in scene.labels},
        findings=12 if scene.findings else 0,
        severities={"error": 1, "warning": 2, "note": 9} if scene.findings else {},
        rules=rules if scene.findings else [],
        expectations={
            "images": ExpectationCount(evaluated=11, failed=0),
            "objects": ExpectationCount(evaluated=14, failed=1),
        },
    )


def _leakage(objects: pd.DataFrame, split: pd.DataFrame) -> Leakage:
    def side(name: str) -> SideCount:
        members = split[split["split"] == name]
        inside = objects[objects["image_id"].isin(members["image_id"])]
        counts = {str(label): int(count) for label, count in inside["label"].value_counts().sort_index().items()}
        return SideCount(
            images=len(members),
            share=len(members) / len(split),
            groups=members["group"].nunique(),
            empty_images=0,
            objects=len(inside),
            objects_per_class=counts,
        )

    return Leakage(
        method="groups",
        before=Leak(near_duplicate=0.41, same_group=1.0, neighbouring_frame=0.87, same_track=None),
        after=Leak(near_duplicate=0.0, same_group=0.0, neighbouring_frame=0.0, same_track=None),
        sides={"train": side("train"), "val": side("val"), "test": side("test")},
        excluded={"unreadable": 1},
        divided_tracks=0,
        moved_by_twins=2,
        placed_before=0,
        placed_now=len(split),
        notes=["One class has objects in two groups only."],
        excluded_images=[ExcludedImage(image_id="image-999", reason="unreadable")],
    )
