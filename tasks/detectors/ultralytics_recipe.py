"""What params say of a training by the family `ultralytics`, beside what every family has."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints

from tasks.detectors.recipe import Recipe


def _as_list(trusted: object) -> object:
    return [] if trusted is None else [trusted] if isinstance(trusted, str) else trusted


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Trusted = Annotated[list[Sha256], BeforeValidator(_as_list, json_schema_input_type=list[Sha256] | Sha256 | None)]


class UltralyticsRecipe(Recipe):
    """The defaults suit fine-tuning of pretrained weights on a GPU."""

    NOT_SEARCHED: ClassVar = Recipe.NOT_SEARCHED | {
        "weights",
        "allow_download",
        "trust",
        "weights_licence",
        "workers",
        "cache",
    }
    LOOKED_FOR: ClassVar = Recipe.LOOKED_FOR | {"weights", "allow_download", "trust"}

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
    workers: int = Field(default=4, ge=0, le=64, description="processes that load images, on a GPU only")
    cache: Literal["none", "ram"] = Field(default="none", description="keep resized images in memory")
    amp: bool = Field(default=True, description="mixed precision, on a GPU only")

    effective_batch: int = Field(
        default=64, ge=1, le=65_536, description="images per optimizer step: gradients of batches add up to it"
    )
    optimizer: Literal["AdamW", "Adam", "SGD", "MuSGD", "NAdam", "RAdam", "RMSprop"] = Field(
        default="AdamW", description="how gradients become steps"
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

    def shortened(self, epochs: int) -> Self:
        """Warm-up and the last epochs without mosaic keep their share of a shorter training."""
        share = min(epochs / self.epochs, 1)
        warmup, close_mosaic = self.warmup_epochs * share, round(self.close_mosaic * share)
        return self.with_changes({"epochs": epochs, "warmup_epochs": warmup, "close_mosaic": close_mosaic})
