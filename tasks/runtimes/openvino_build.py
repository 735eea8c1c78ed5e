"""From ONNX to OpenVINO's own format, in float32, float16 or INT8."""

import contextlib
import io
import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tasks.contracts.errors import PipelineError
from tasks.runtimes.openvino_runtime import import_openvino
from tasks.runtimes.processing import Floats

if TYPE_CHECKING:
    from openvino import Model

_MADE_UP = re.compile(r"[A-Za-z]+_\d+")  # Reshape_254312


def onnx_to_openvino(onnx: Path, to: Path, half: bool) -> None:
    """Write a .xml, and its .bin beside it; `half` stores the weights in float16."""
    openvino = import_openvino()
    _save(openvino, openvino.convert_model(onnx), to, half)


def onnx_to_openvino_int8(
    onnx: Path,
    to: Path,
    *,
    images: Sequence[Path],
    network_input: Callable[[Path], Floats],
    in_float: Callable[[Sequence[str]], list[str]],
    is_transformer: bool,
) -> None:
    """Write a .xml and .bin with weights and activations in INT8, their ranges measured on `images`.

    network_input: an image as the network gets it when it runs. in_float: of all operations, by name, those that
    would not survive 8 bits.
    """
    openvino, nncf = import_openvino(), _import_nncf()
    model = openvino.convert_model(onnx)
    names = [operation.get_friendly_name() for operation in model.get_ordered_ops()]
    with _progress_for_people():
        quantized = nncf.quantize(
            model,
            nncf.Dataset(list(images), network_input),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            model_type=nncf.ModelType.TRANSFORMER if is_transformer else None,
            ignored_scope=nncf.IgnoredScope(names=in_float(names), validate=False),
        )
    _save(openvino, quantized, to, half=False)


def _import_nncf() -> ModuleType:
    try:
        import nncf  # noqa: PLC0415
    except ImportError as error:
        raise PipelineError(
            "NNCF is not installed", "target openvino-int8", "Install the extra: pip install 'sightline[export]'"
        ) from error
    # Its own set_log_level also silences handlers that others have hung on its logger.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    module: ModuleType = nncf
    return module


@contextlib.contextmanager
def _progress_for_people() -> Iterator[None]:
    """NNCF draws its progress on standard output, whoever reads it."""
    with contextlib.redirect_stdout(sys.stderr if sys.stderr.isatty() else io.StringIO()):
        yield


def _save(openvino: ModuleType, model: "Model", to: Path, half: bool) -> None:
    # Made-up names count on over the life of a process: numbered from one again, equal models are equal files.
    for number, operation in enumerate(model.get_ordered_ops()):
        if _MADE_UP.fullmatch(operation.get_friendly_name()):
            operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
    openvino.save_model(model, to, compress_to_fp16=half)
