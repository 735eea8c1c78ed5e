"""A checkpoint of the training library as networks that run without it, and as the reference of those."""

import pickle
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch

from tasks.contracts.bundle import Bundle, Output, Preprocessing
from tasks.contracts.errors import PipelineError
from tasks.detectors.ultralytics_library import YOLO, load_checkpoint, ultralytics
from tasks.runtimes.torchscript_runtime import TorchNetwork, limit_threads, torch_device

# Entries of a TorchScript archive that say where on this machine each operation's source line stands.
_SOURCE_POSITIONS = ".debug_pkl"
# Classes are numbered through as a process makes them; the number is not part of the network.
_CLASS_NUMBER = re.compile(rb"___torch_mangle_(\d+)")
_CODE = (".py", "data.pkl")


def input_and_output(weights: Path, image_size: int, nms_free: bool) -> tuple[Preprocessing, Output]:
    """`Detector.input_and_output`; nms_free: the one-to-one head, where the architecture has one."""
    model = _read(weights)
    stride = int(max(model.stride))
    side = -(-image_size // stride) * stride  # as training rounds it
    if isinstance(model.model[-1], ultralytics.nn.modules.RTDETRDecoder):
        return Preprocessing(input_wh=(side, side), resize="stretch"), Output(layout="detr")
    has_one_to_one = getattr(model.model[-1], "one2one_cv2", None) is not None
    return Preprocessing(input_wh=(side, side)), Output(layout="end2end" if nms_free and has_one_to_one else "yolo")


def open_network(bundle: Bundle, weights: Path, threads: int | None, device: str) -> TorchNetwork:
    """`Detector.open_network` of a checkpoint whose layers are known ones."""
    place = torch_device(device)
    limit_threads(threads)
    model = _read(weights).to(place)
    if bundle.output.layout != "detr":
        model.end2end = bundle.output.layout == "end2end"
    model = model.fuse(verbose=False).eval()
    if place.type == "cpu":
        model = model.to(memory_format=torch.channels_last)  # a quarter less time on x86
    head = model.model[-1]
    head.export = True  # one tensor, without the raw maps that the loss needs
    head.max_det = bundle.output.max_detections
    return TorchNetwork(model, place)


def _read(weights: Path) -> Any:
    try:
        return load_checkpoint(str(weights))[0]
    except (RuntimeError, TypeError, ValueError, AttributeError, ImportError, OSError, pickle.UnpicklingError) as error:
        raise PipelineError(
            "checkpoint cannot be read", f"{weights}: {error}", "Take one that train has written: run train again"
        ) from error


def decoding(operations: Sequence[str]) -> list[str]:
    """Operations of the last layer itself, not of its convolutions: they turn maps into boxes and scores.

    Boxes in pixels beside scores up to 1 would share one 8-bit scale, and the scores would all become 0. The training
    library spares the same operations.
    """
    layers = [int(layer[1]) for name in operations if (layer := re.match(r"/model\.(\d+)/", name))]
    head = re.compile(rf"/model\.{max(layers)}/(dfl/.*|[^/]*)")
    return [name for name in operations if head.fullmatch(name)]


def write_onnx(weights: Path, bundle: Bundle, opset: int, to: Path) -> None:
    """`Detector.write_onnx`: simplified, and without what tells of time and place."""
    with _exported(weights, bundle, format="onnx", opset=opset, simplify=True) as exported:
        model = onnx.load(exported)
    # Date and paths. What a server needs stands in bundle.json.
    del model.metadata_props[:]
    to.write_bytes(model.SerializeToString(deterministic=True))


def write_torchscript(weights: Path, bundle: Bundle, to: Path) -> None:
    """`Detector.write_torchscript`: frozen, and without what tells of time and place."""
    with _exported(weights, bundle, format="torchscript") as exported:
        frozen = exported.with_suffix(".frozen")
        traced = torch.jit.load(str(exported)).eval()  # type: ignore[no-untyped-call]
        traced = traced.to(memory_format=torch.channels_last)  # a quarter less time on x86
        torch.jit.save(torch.jit.freeze(traced), str(frozen))
        _copy_archive(frozen, to)


@contextmanager
def _exported(weights: Path, bundle: Bundle, **arguments: str | int | bool) -> Iterator[Path]:
    """The library's own export, in a folder that goes away: it writes beside the weights."""
    with tempfile.TemporaryDirectory(prefix="sightline-export-") as scratch:
        copy = Path(shutil.copyfile(weights, Path(scratch) / "detector.pt"))
        threads = torch.get_num_threads()
        with warnings.catch_warnings():
            # What tracing might get wrong shows in parity.
            warnings.simplefilter("ignore")
            exported = YOLO(copy).export(
                imgsz=bundle.preprocessing.input_wh[::-1],
                max_det=bundle.output.max_detections,
                nms=False if bundle.output.layout == "end2end" else None,
                device="cpu",
                **arguments,
            )
        torch.set_num_threads(threads)
        yield Path(exported)


def _copy_archive(archive: Path, to: Path) -> None:
    """Copy a TorchScript archive without what differs from one machine or process to the next."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(to, "w") as target:
        # The first folder is named after the file.
        entries = {entry.filename.partition("/")[2]: source.read(entry) for entry in source.infolist()}
        for name in list(entries):
            if name.endswith(_SOURCE_POSITIONS) or name == ".data/serialization_id":
                del entries[name]
        code = b"".join(content for name, content in entries.items() if name.endswith(_CODE))
        numbers = sorted({int(number) for number in _CLASS_NUMBER.findall(code)})

        def renumbered(text: bytes) -> bytes:
            return _CLASS_NUMBER.sub(lambda number: b"___torch_mangle_%d" % numbers.index(int(number[1])), text)

        for name, content in entries.items():
            # ZipInfo's date is 1980 for all; tensors must be stored, not compressed.
            entry = zipfile.ZipInfo(f"detector/{renumbered(name.encode()).decode()}")
            target.writestr(entry, renumbered(content) if name.endswith(_CODE) else content)
