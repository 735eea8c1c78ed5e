"""What a target runs, made of a checkpoint: by its family alone, or by way of the family's ONNX."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tasks.contracts.bundle import Bundle
from tasks.dataset.decoding import read_listed_image
from tasks.detectors.protocol import Detector
from tasks.detectors.recipe import Recipe
from tasks.runtimes.openvino_build import onnx_to_openvino, onnx_to_openvino_int8
from tasks.runtimes.processing import preprocess
from tasks.runtimes.tensorrt_build import onnx_to_tensorrt


def write_artefact(
    detector: Detector[Recipe], bundle: Bundle, weights: Path, calibration: Sequence[Path], *, opset: int, to: Path
) -> None:
    """Write what `bundle.target` runs. Equal checkpoints, images and versions give equal bytes (TensorRT apart).

    All are float32 in and out, batch 1, fixed input size, and without NMS. calibration: images for INT8 ranges.
    Raises PipelineError if a library or device that it takes is not there.
    """
    if bundle.target == "pytorch":
        shutil.copyfile(weights, to)
    elif bundle.target == "torchscript":
        detector.write_torchscript(bundle, weights, to)
    elif bundle.target == "onnx":
        detector.write_onnx(bundle, weights, opset, to)
    else:
        with tempfile.TemporaryDirectory(prefix="sightline-export-") as scratch:
            onnx_file = Path(scratch) / "detector.onnx"
            detector.write_onnx(bundle, weights, opset, onnx_file)
            _convert_onnx(detector, onnx_file, bundle, calibration, to)


def _convert_onnx(
    detector: Detector[Recipe], onnx_file: Path, bundle: Bundle, calibration: Sequence[Path], to: Path
) -> None:
    if bundle.target == "tensorrt-fp16":
        onnx_to_tensorrt(onnx_file, to)
    elif bundle.target == "openvino-int8":
        onnx_to_openvino_int8(
            onnx_file,
            to,
            images=calibration,
            network_input=lambda path: preprocess(read_listed_image(path), bundle.preprocessing)[0],
            in_float=detector.in_float,
            is_transformer=bundle.output.layout == "detr",
        )
    else:
        onnx_to_openvino(onnx_file, to, half=bundle.precision == "fp16")
