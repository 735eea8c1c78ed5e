"""From ONNX to a TensorRT engine in float16, for the GPU of this machine and no other."""

from pathlib import Path

from tasks.contracts.errors import PipelineError
from tasks.runtimes.tensorrt_runtime import import_tensorrt


def onnx_to_tensorrt(onnx_file: Path, to: Path) -> None:
    """Build an engine whose weights and arithmetic are float16, its input and output float32.

    Raises PipelineError where there is no NVIDIA GPU or TensorRT, or TensorRT cannot build the network.
    """
    tensorrt = import_tensorrt()
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    config = builder.create_builder_config()
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)
    if hasattr(tensorrt.BuilderFlag, "FP16"):
        config.set_flag(tensorrt.BuilderFlag.FP16)
        content = onnx_file.read_bytes()
    else:
        # From TensorRT 11 on, the network itself says what is computed in which precision.
        content = _half(onnx_file)
    if not parser.parse(content):
        faults = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise PipelineError("TensorRT cannot read the network", faults, "Try another export.opset in params.yaml")
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise PipelineError("TensorRT cannot build the network", str(to), "Its log above says which layer failed")
    to.write_bytes(bytes(engine))


def _half(onnx_file: Path) -> bytes:
    import onnx  # noqa: PLC0415
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415

    converted: bytes = convert_float_to_float16(onnx.load(onnx_file), keep_io_types=True).SerializeToString()
    return converted
