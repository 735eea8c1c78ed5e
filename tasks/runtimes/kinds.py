"""What each target comes to: its file, how exact it is, which libraries make and run it, and by which module."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a target's artefact is made of and runs on."""

    artefact: str
    precision: Precision
    module: str  # has `open_network(bundle, artefact, threads, device) -> Network`
    libraries: tuple[str, ...]  # distributions whose versions matter, beside those of the family
    of_onnx: bool = True  # made of the family's ONNX


_NOT_INSTALLED = "not installed"
_OPENVINO = "tasks.runtimes.openvino_runtime"

KINDS = {
    # Its network is opened by its family, which nothing here may depend on.
    "pytorch": Kind("detector.pt", "fp32", "tasks.detectors.checkpoint_runtime", (), of_onnx=False),
    "torchscript": Kind(
        "detector.torchscript", "fp32", "tasks.runtimes.torchscript_runtime", ("torch",), of_onnx=False
    ),
    "onnx": Kind("detector.onnx", "fp32", "tasks.runtimes.onnx_runtime", ("onnx", "onnxruntime")),
    "openvino-fp32": Kind("detector.xml", "fp32", _OPENVINO, ("onnx", "openvino")),
    "openvino-fp16": Kind("detector.xml", "fp16", _OPENVINO, ("onnx", "openvino")),
    "openvino-int8": Kind("detector.xml", "int8", _OPENVINO, ("onnx", "openvino", "nncf")),
    "tensorrt-fp16": Kind("detector.engine", "fp16", "tasks.runtimes.tensorrt_runtime", ("onnx", "tensorrt")),
}


def libraries_of(target: str, onnx_libraries: Iterable[str]) -> list[str]:
    """Distributions whose versions matter to a target; onnx_libraries: what its family's ONNX takes."""
    kind = KINDS.get(target)
    return [] if kind is None else [*(onnx_libraries if kind.of_onnx else ()), *kind.libraries]


def library_version(distribution: str) -> str:
    """The version that is installed of one of a kind's libraries."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        # TensorRT's distribution is named after the CUDA it is for, tensorrt-cu13, and its module is not.
        try:
            return str(importlib.import_module(distribution).__version__)
        except ImportError:
            return _NOT_INSTALLED


def not_installed(libraries: Iterable[str]) -> list[str]:
    """Which of the distributions are not installed."""
    return [library for library in libraries if library_version(library) == _NOT_INSTALLED]
