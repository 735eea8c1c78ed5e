"""A checkpoint that finds boxes without having been trained, and labelled images for it: ready in a second."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
import yaml

from tasks.contracts.card import Card, Lineage
from tasks.contracts.record import write_record
from tasks.contracts.tables import IMAGES, OBJECTS, SPLIT, write_table
from tasks.export import main as export

if TYPE_CHECKING:
    import torch

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
CLASSES = ["bolt", "nut", "crack"]
IMAGE_SIZE = 96
BACKBONE = """
nc: 3
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
"""
HEADS = {
    "yolo": "reg_max: 8\nhead: [[[2, 3], 1, Detect, [nc]]]",
    "end2end": "reg_max: 1\nend2end: true\nhead: [[[2, 3], 1, Detect, [nc]]]",
    "detr": "head: [[[2, 3], 1, RTDETRDecoder, [nc, 32, 30, 4, 4, 2, 64]]]",
}


@dataclass(frozen=True)
class Project:
    """What the stages before export leave behind, as the options of export name it."""

    raw: Path
    annotations: Path
    split: Path
    trained: Path


def make_project(folder: Path, head: str = "yolo") -> Project:
    """Write images, tables and a checkpoint with the given head (a key of HEADS) below `folder`."""
    project = Project(folder / "raw", folder / "annotations", folder / "split.parquet", folder / "trained")
    _write_images(project)
    write_checkpoint(project.trained, head)
    return project


def export_bundle(project: Project, target: str, folder: Path, **changes: Any) -> Path:
    """Run the stage export with four golden images; `changes`: of its section of params.yaml. Gives the bundle."""
    params = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    params["export"] |= {"golden_images": 4} | changes
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    export(
        target=target,
        raw=project.raw,
        annotations=project.annotations,
        split=project.split,
        trained=project.trained,
        bundle=folder / "bundle",
        params=folder / "params.yaml",
    )
    return folder / "bundle"


def write_checkpoint(trained: Path, head: str) -> None:
    """Write weights.pt and card.json; the same head gives the same network."""
    trained.mkdir(parents=True)
    weights = trained / "weights.pt"
    _save_network(weights, trained / "architecture.yaml", head)
    card = Card(
        family="ultralytics",
        architecture=f"tiny-{head}",
        code_licence="AGPL-3.0",
        weights_licence="none",
        classes=CLASSES,
        image_size=IMAGE_SIZE,
        weights=weights.name,
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        metric="map50",
        best_epoch=1,
        best_value=None,
        epochs=1,
        parameters=1,
        batch=1,
        device="cpu",
        lineage=Lineage(data_sha256={}, params={}, versions={}),
    )
    write_record(card, trained / "card.json")
    # Nothing was measured, as on a val without objects.
    (trained / "history.csv").write_text("epoch,box,map50,map50_95\n1,0.5,,\n")


def _save_network(weights: Path, architecture: Path, head: str) -> None:
    # Seconds of imports, which only the tests that call this pay for.
    import torch  # noqa: PLC0415

    from tasks.detectors.ultralytics_library import RTDETR, YOLO  # noqa: PLC0415

    torch.set_num_threads(1)  # for networks this small, threads only wait for each other
    architecture.write_text(BACKBONE + HEADS[head], encoding="utf-8")
    torch.manual_seed(3)
    model = (RTDETR if head == "detr" else YOLO)(architecture)
    architecture.unlink()
    _settle_normalisation(model.model)
    last = model.model.model[-1]
    # Outputs that depend on the image and lie well apart: scores over the whole range, boxes of many sizes.
    if head == "detr":
        for layer in [*last.dec_score_head, *(mlp.layers[-1] for mlp in last.dec_bbox_head)]:
            torch.nn.init.normal_(layer.weight, std=0.5)
            torch.nn.init.zeros_(layer.bias)
    else:
        branches = [(last.cv2, last.cv3)]
        if head == "end2end":
            branches.append((last.one2one_cv2, last.one2one_cv3))
        for boxes, scores in branches:
            for box, score in zip(boxes, scores, strict=True):
                torch.nn.init.normal_(score[-1].weight, std=0.7)
                torch.nn.init.constant_(score[-1].bias, -2.0)
                torch.nn.init.normal_(box[-1].weight, std=0.2)
                torch.nn.init.constant_(box[-1].bias, 2.0)
    model.save(weights)


def _settle_normalisation(network: "torch.nn.Module") -> None:
    """Let batch normalisation see some images; before that, an untrained network answers the same everywhere."""
    import torch  # noqa: PLC0415

    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average over all that was seen
    network.train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.nn.functional.interpolate(torch.rand(8, 3, 16, 16), IMAGE_SIZE))
    network.eval()


def _write_images(project: Project) -> None:
    rng = np.random.default_rng(5)
    images, objects, split = [], [], []
    for number in range(12):
        side = "train" if number < 8 else "val"
        width, height = ((96, 96), (120, 70), (60, 150))[number % 3]
        pixels = cv2.resize(rng.integers(0, 255, (height // 6, width // 6, 3), dtype=np.uint8), (width, height))
        file = project.raw / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), pixels)
        image_id = f"image-{number:02}"
        images.append(
            {
                "image_id": image_id,
                "name": file.name,
                "file": f"raw/{file.name}",
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                "width": width,
                "height": height,
                "source": "drawn",
                "group": side,
                "readable": True,
            }
        )
        split.append({"image_id": image_id, "split": side, "group": side})
        # A crack on two images only: one to calibrate on, one to compare on.
        labels = ["bolt", "nut"] if number not in (5, 9) else ["crack"]
        objects += [_object(image_id, label) for label in labels]
    columns = {"subset": None, "task_id": None, "frame": None}
    write_table(pd.DataFrame(images).assign(**columns), project.annotations / "images.parquet", IMAGES)
    write_table(pd.DataFrame(objects), project.annotations / "objects.parquet", OBJECTS)
    write_table(pd.DataFrame(split), project.split, SPLIT)


def _object(image_id: str, label: str) -> dict[str, object]:
    return {
        "object_id": f"{image_id}-{label}",
        "image_id": image_id,
        "label": label,
        "shape": "box",
        "x_min": 5.0,
        "y_min": 5.0,
        "x_max": 30.0,
        "y_max": 30.0,
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
