"""TensorRT engines: they run on the kind of GPU, and with the version of TensorRT, that they were built on."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tasks.contracts.bundle import Bundle
from tasks.contracts.errors import PipelineError
from tasks.runtimes.processing import Floats

if TYPE_CHECKING:
    from tensorrt import ICudaEngine

_ELSEWHERE = "Export and run tensorrt-fp16 on a machine with one, or leave it out of export.targets in params.yaml"


def import_tensorrt() -> ModuleType:
    """Import TensorRT where it can run.

    Raises PipelineError where there is no NVIDIA GPU, or TensorRT or torch (which holds GPU memory) is not installed.
    """
    try:
        import torch  # noqa: PLC0415
    except ImportError as error:
        raise PipelineError(
            "torch is not installed", "target tensorrt-fp16", "Install the extra: pip install 'sightline[train]'"
        ) from error
    if not torch.cuda.is_available():
        raise PipelineError("no NVIDIA GPU is here", "target tensorrt-fp16", _ELSEWHERE)
    try:
        import tensorrt  # noqa: PLC0415
    except ImportError as error:
        raise PipelineError("TensorRT is not installed", "target tensorrt-fp16", "pip install tensorrt") from error
    module: ModuleType = tensorrt
    return module


class TensorrtNetwork:
    """One engine, its execution context, and its buffers on the GPU."""

    def __init__(self, engine: "ICudaEngine", device: str) -> None:
        import torch  # noqa: PLC0415

        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self.device = device
        self._torch = torch
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._engine = engine  # the context does not keep it alive
        self._context = engine.create_execution_context()
        self._buffers = {
            name: torch.empty(tuple(engine.get_tensor_shape(name)), dtype=torch.float32, device=device)
            for name in names
        }
        for name, buffer in self._buffers.items():
            self._context.set_tensor_address(name, buffer.data_ptr())
        self._input, self._output = names

    def __call__(self, pixels: Floats) -> Floats:
        """Run (1, 3, height, width) float32."""
        with self._torch.cuda.device(self.device), self._torch.cuda.stream(self._stream):
            self._buffers[self._input].copy_(self._torch.from_numpy(pixels))
            self._context.execute_async_v3(self._stream.cuda_stream)
            # Copying to the host waits for the stream.
            output: Floats = self._buffers[self._output].cpu().numpy()
        return output


def open_network(_bundle: Bundle, artefact: Path, _threads: int | None, device: str) -> TensorrtNetwork:
    """Load an engine; device is auto or the number of a CUDA device."""
    tensorrt = import_tensorrt()
    import torch  # noqa: PLC0415

    from tasks.runtimes.torchscript_runtime import torch_device  # noqa: PLC0415

    place = torch_device(device)
    if place.type == "cpu":
        raise PipelineError("TensorRT does not run on a CPU", str(artefact), "Choose device auto or a GPU's number")
    # An engine, its context and its buffers belong to one GPU: TensorRT takes the current one.
    with torch.cuda.device(place):
        logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        engine = tensorrt.Runtime(logger).deserialize_cuda_engine(artefact.read_bytes())
        if engine is not None:
            return TensorrtNetwork(engine, str(place))
    raise PipelineError(
        f"TensorRT {tensorrt.__version__} cannot load it",
        str(artefact),
        "Engines fit one version and one kind of GPU: export it again here",
    )
