"""Bundles of which only some fields matter to a test."""

from pathlib import Path
from typing import Any

from tasks.contracts.bundle import Bundle, Output, Preprocessing
from tasks.contracts.record import read_record, write_record
from tasks.contracts.work import content_sha256


def make_bundle(**fields: Any) -> Bundle:
    """The description of a bundle, with plain values for what is not given."""
    plain: dict[str, Any] = {
        "target": "onnx",
        "artefact": "detector.onnx",
        "family": "ultralytics",
        "architecture": "tiny",
        "code_licence": "AGPL-3.0",
        "weights_licence": "none",
        "classes": ["bolt"],
        "precision": "fp32",
        "preprocessing": Preprocessing(input_wh=(96, 96)),
        "output": Output(layout="yolo"),
        "versions": {},
        "files_sha256": {},
        "size_bytes": 0,
        "trained_sha256": "0" * 64,
    }
    return Bundle(**plain | fields)


def describe_files(folder: Path, **fields: Any) -> Bundle:
    """Write bundle.json for the files that are in the folder, and give it as it is read."""
    files = sorted(path for path in folder.iterdir() if path.name != "bundle.json")
    held = {
        "files_sha256": {path.name: content_sha256(path) for path in files},
        "size_bytes": sum(path.stat().st_size for path in files),
    }
    write_record(make_bundle(**held | fields), folder / "bundle.json")
    return read_record(folder / "bundle.json", Bundle)
