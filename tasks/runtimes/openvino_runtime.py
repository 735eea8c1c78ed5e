"""OpenVINO artefacts, and the import of OpenVINO that reports nothing to anyone."""

import sys
from pathlib import Path
from types import ModuleType

from tasks.contracts.bundle import Bundle
from tasks.contracts.errors import PipelineError
from tasks.runtimes.processing import Floats

_CPU_DEVICES = ("auto", "cpu")
# What export writes. Other properties of OpenVINO name files that it reads or writes.
_HINTS = {"INFERENCE_PRECISION_HINT", "PERFORMANCE_HINT"}


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which otherwise reports the import itself and writes to the home folder.

    Raises PipelineError if it is not installed.
    """
    # A module that is None in sys.modules counts as not installed; OpenVINO and NNCF then do without it.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino  # noqa: PLC0415
    except ImportError as error:
        raise PipelineError(
            "OpenVINO is not installed", "targets openvino-*", "Install the extra: pip install 'sightline[export]'"
        ) from error
    module: ModuleType = openvino
    return module


class OpenvinoNetwork:
    """One compiled model and its one inference request."""

    def __init__(self, request: "openvino.InferRequest", device: str) -> None:  # type: ignore[name-defined]  # noqa: F821
        self._request = request
        self.device = device

    def __call__(self, pixels: Floats) -> Floats:
        """Run (1, 3, height, width) float32."""
        self._request.infer([pixels], share_inputs=True)
        output: Floats = self._request.get_output_tensor().data.copy()
        return output


def open_network(bundle: Bundle, artefact: Path, threads: int | None, device: str) -> OpenvinoNetwork:
    """Compile a .xml with its .bin under the bundle's hints, for the CPU unless `device` names another.

    A number is an Intel GPU's.
    """
    if unknown := sorted(bundle.hints.keys() - _HINTS):
        raise PipelineError(
            "bundle has hints that export does not write", f"{artefact}: {', '.join(unknown)}", "Export it again"
        )
    openvino = import_openvino()
    settings: dict[str, str | int] = dict(bundle.hints)
    name = "CPU" if device in _CPU_DEVICES else f"GPU.{device}" if device.isdigit() else device.upper()
    if threads is not None and name == "CPU":
        settings["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    if name.split(".")[0] not in {each.split(".")[0] for each in core.available_devices} | {"AUTO"}:
        devices = ", ".join(["auto", "cpu", *core.available_devices])
        raise PipelineError(
            "OpenVINO, which knows no GPUs but Intel's, has no such device here",
            f"device {device}",
            f"Choose one of {devices}; with auto every target runs on what its own library finds",
        )
    try:
        compiled = core.compile_model(core.read_model(artefact), name, settings)
    except RuntimeError as error:
        raise PipelineError("OpenVINO cannot load it", f"{artefact}: {error}", "Export it again") from error
    return OpenvinoNetwork(compiled.create_infer_request(), name.lower() if name == "CPU" else name)
