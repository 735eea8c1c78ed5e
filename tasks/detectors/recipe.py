"""How a detector is trained: every knob with its meaning and bounds, shared by the stages that train."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from tasks.contracts.params import Params
from tasks.runtimes.machine import Device, processors

Value = int | float | str | bool


def _as_list(trusted: object) -> object:
    return [] if trusted is None else [trusted] if isinstance(trusted, str) else trusted


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Trusted = Annotated[list[Sha256], BeforeValidator(_as_list, json_schema_input_type=list[Sha256] | Sha256 | None)]


class Recipe(Params):
    """What is trained and how. The defaults suit fine-tuning of pretrained weights on a GPU."""

    family: Literal["ultralytics"] = Field(default="ultralytics", description="whose models and training loop")
    model: str = Field(
        default="yolo26n.pt",
        pattern=r"\.(pt|yaml)$",
        examples=["yolo26n.pt", "yolo26s.pt", "yolo11s.pt", "rtdetr-l.pt", "yolo-micro.yaml"],
        description="pretrained weights to start from (.pt: a file or a name; what is given by name is fetched only if "
        "train.allow_download is on), or an architecture to train from scratch (.yaml: a file, one of ours or the "
        "library's)",
    )
    weights: str = Field(default=".cache/weights", description="folder in which weights given by name are looked for")
    allow_download: bool = Field(
        default=False,
        description="fetch pretrained weights that are given by name and are not here yet, from the family's release "
        "page",
    )
    trust: Trusted = Field(
        default_factory=list,
        description="sha256 of .pt files to start from whose origin you know, one or a list; fetched ones need none",
    )
    weights_licence: str = Field(
        default="AGPL-3.0", description="SPDX licence of the weights to start from; from scratch there are none"
    )
    device: Device = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|\d+(,\d+)*)$",
        description="a device: auto, cpu, mps, a GPU (0) or several (0,1)",
    )
    threads: int = Field(default=0, ge=0, description="CPU threads of the network; 0: as many as there are cores")
    workers: int = Field(default=4, ge=0, le=64, description="processes that load images, on a GPU only")
    cache: Literal["none", "ram"] = Field(default="none", description="keep resized images in memory")
    amp: bool = Field(default=True, description="mixed precision, on a GPU only")

    epochs: int = Field(default=100, ge=1, le=10_000, description="passes over the training images, at most")
    patience: int = Field(default=30, ge=0, description="stop after so many epochs without a better metric; 0: never")
    image_size: int = Field(
        default=640,
        ge=32,
        le=4096,
        multiple_of=32,
        description="pixels of the square that images are fitted into: a multiple of 32",
    )
    batch: int = Field(
        default=16, ge=1, le=4096, description="images at once, over all GPUs; halved if memory runs out"
    )
    effective_batch: int = Field(
        default=64, ge=1, le=65_536, description="images per optimizer step: gradients of batches add up to it"
    )
    optimizer: Literal["AdamW", "Adam", "SGD", "MuSGD", "NAdam", "RAdam", "RMSprop"] = Field(
        default="AdamW", description="how gradients become steps"
    )
    lr0: float = Field(
        default=0.001,
        gt=0,
        le=1,
        description="learning rate after the warm-up; what a search finds goes before this value",
    )
    lrf: float = Field(default=0.01, gt=0, le=1, description="last learning rate as a fraction of lr0")
    cosine: bool = Field(default=False, description="learning rate falls along a cosine instead of a line")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum, or beta1 of the Adam kind")
    weight_decay: float = Field(default=0.0005, ge=0, le=1, description="decay of weights per step")
    warmup_epochs: float = Field(default=3, ge=0, le=100, description="epochs over which the learning rate rises")
    freeze: int = Field(default=0, ge=0, le=100, description="first layers that keep their pretrained weights")

    mosaic: float = Field(default=1, ge=0, le=1, description="chance that four images are joined into one")
    close_mosaic: int = Field(default=10, ge=0, description="last epochs without mosaic")
    mixup: float = Field(default=0, ge=0, le=1, description="chance that two images are blended")
    hsv_h: float = Field(default=0.015, ge=0, le=1, description="largest change of hue, as a fraction")
    hsv_s: float = Field(default=0.7, ge=0, le=1, description="largest change of saturation, as a fraction")
    hsv_v: float = Field(default=0.4, ge=0, le=1, description="largest change of brightness, as a fraction")
    degrees: float = Field(default=0, ge=0, le=180, description="largest rotation")
    translate: float = Field(default=0.1, ge=0, le=0.9, description="largest shift, as a fraction of the image")
    scale: float = Field(default=0.5, ge=0, lt=1, description="largest change of size, as a fraction")
    flip_horizontal: float = Field(default=0.5, ge=0, le=1, description="chance of a mirror image")
    flip_vertical: float = Field(default=0, ge=0, le=1, description="chance of an upside-down image")
    box_gain: float = Field(default=7.5, ge=0, le=100, description="weight of the box loss")
    cls_gain: float = Field(default=0.5, ge=0, le=100, description="weight of the class loss")
    class_balance: float = Field(
        default=0, ge=0, le=1, description="weight of rare classes in the loss: 0 equal, 1 by inverse frequency"
    )

    @property
    def cpu_threads(self) -> int:
        """Threads of the network on a CPU."""
        return self.threads or processors()

    def with_changes(self, changes: dict[str, Value]) -> "Recipe":
        """The same recipe with some values replaced, held to the bounds again."""
        return Recipe.model_validate(self.model_dump(include=set(Recipe.model_fields)) | changes)
