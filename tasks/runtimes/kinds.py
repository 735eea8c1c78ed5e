"""What each target comes to: its file, how exact it is, which libraries make it, and which module runs it."""

import importlib
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of artefact."""

    artefact: str
    precision: Precision
    module: str  # has `open_network(bundle, artefact, threads, device) -> Network`
    libraries: tuple[str, ...]  # distributions whose versions matter


_ONNX = ("ultralytics", "torch", "onnx", "onnxslim")
_NOT_INSTALLED = "not installed"
_OPENVINO = "tasks.runtimes.openvino_runtime"

KINDS = {
    # Its network opens in the detector module of its family, which nothing here may depend on.
    "pytorch": Kind("detector.pt", "fp32", "tasks.detectors.{family}_export", _ONNX[:2]),
    "torchscript": Kind("detector.torchscript", "fp32", "tasks.runtimes.torchscript_runtime", _ONNX[:2]),
    "onnx": Kind("detector.onnx", "fp32", "tasks.runtimes.onnx_runtime", (*_ONNX, "onnxruntime")),
    "openvino-fp32": Kind("detector.xml", "fp32", _OPENVINO, (*_ONNX, "openvino")),
    "openvino-fp16": Kind("detector.xml", "fp16", _OPENVINO, (*_ONNX, "openvino")),
    "openvino-int8": Kind("detector.xml", "int8", _OPENVINO, (*_ONNX, "openvino", "nncf")),
    "tensorrt-fp16": Kind("detector.engine", "fp16", "tasks.runtimes.tensorrt_runtime", (*_ONNX, "tensorrt")),
}


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


def lacking_libraries(target: str) -> list[str]:
    """Distributions that a target takes and that are not installed."""
    libraries = KINDS[target].libraries if target in KINDS else ()
    return [library for library in libraries if library_version(library) == _NOT_INSTALLED]
