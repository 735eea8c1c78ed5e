"""TorchScript artefacts on torch, without the training library; and what every torch network shares."""

from collections.abc import Callable
from pathlib import Path

from tasks.contracts.bundle import Bundle
from tasks.contracts.errors import PipelineError
from tasks.runtimes.processing import Floats

try:
    import torch
except ImportError as error:
    raise PipelineError(
        "torch is not installed",
        "targets torchscript and pytorch",
        "Install the extra: pip install 'sightline[train]'",
    ) from error


class TorchNetwork:
    """A torch module that maps (1, 3, height, width) to one tensor."""

    def __init__(self, module: Callable[[torch.Tensor], torch.Tensor], device: torch.device) -> None:
        self._module = module
        self._place = device
        self.device = str(device)

    def __call__(self, pixels: Floats) -> Floats:
        """Run (1, 3, height, width) float32."""
        with torch.inference_mode():
            output: Floats = self._module(torch.from_numpy(pixels).to(self._place)).cpu().numpy()
        return output


def open_network(_bundle: Bundle, artefact: Path, threads: int | None, device: str) -> TorchNetwork:
    """Load a TorchScript archive; device is auto, cpu or the number of a CUDA device."""
    place = torch_device(device)
    limit_threads(threads)
    try:
        module = torch.jit.load(str(artefact), map_location=place).eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise PipelineError("torch cannot load it", f"{artefact}: {error}", "Export it again") from error
    return TorchNetwork(module, place)


def torch_device(device: str) -> torch.device:
    """The torch device for `auto`, `cpu` or the number of a CUDA device."""
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    gpus = torch.cuda.device_count()
    number = "0" if device == "auto" else device
    if not number.isdigit() or int(number) >= gpus:
        raise PipelineError(
            "torch has no such device here",
            f"device {device}; CUDA GPUs: {gpus}",
            "Choose device auto or cpu, or the number of a GPU, the first being 0",
        )
    return torch.device("cuda", int(number))


def limit_threads(threads: int | None) -> None:
    """Set the CPU threads of this process's torch: it has no setting per network."""
    if threads is not None:
        torch.set_num_threads(threads)
