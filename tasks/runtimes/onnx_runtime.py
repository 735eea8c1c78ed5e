"""ONNX artefacts on ONNX Runtime."""

from pathlib import Path

from tasks.contracts.bundle import Bundle
from tasks.contracts.errors import PipelineError
from tasks.runtimes.processing import Floats

try:
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf
except ImportError as error:
    raise PipelineError(
        "ONNX Runtime is not installed", "target onnx", "Install the extra: pip install 'sightline[export]'"
    ) from error

_WARNINGS_OFF = 3  # errors only


class OnnxNetwork:
    """One ONNX Runtime session."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        provider = session.get_providers()[0]
        number = session.get_provider_options()[provider].get("device_id")
        self.device = "cpu" if number is None else f"cuda:{number}"

    def __call__(self, pixels: Floats) -> Floats:
        """Run (1, 3, height, width) float32."""
        output: Floats = self._session.run(None, {self._input: pixels})[0]
        return output


def open_network(_bundle: Bundle, artefact: Path, threads: int | None, device: str) -> OnnxNetwork:
    """Load a .onnx file; device is auto, cpu or the number of a CUDA device."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = _WARNINGS_OFF
    try:
        session = onnxruntime.InferenceSession(artefact, options, providers=_providers(device))
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
        raise PipelineError("ONNX Runtime cannot load it", f"{artefact}: {error}", "Export it again") from error
    return OnnxNetwork(session)


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    cpu = "CPUExecutionProvider"
    cuda = "CUDAExecutionProvider"
    if device == "cpu" or (device == "auto" and cuda not in onnxruntime.get_available_providers()):
        return [cpu]
    if device != "auto" and not device.isdigit():
        raise PipelineError(
            "ONNX Runtime has no such device here", f"device {device}", "Choose auto, cpu or a GPU's number"
        )
    if cuda not in onnxruntime.get_available_providers():
        raise PipelineError(
            "ONNX Runtime has no CUDA here",
            f"device {device}",
            "Choose device auto or cpu, or install onnxruntime-gpu in place of onnxruntime",
        )
    return [(cuda, {"device_id": "0" if device == "auto" else device}), cpu]
