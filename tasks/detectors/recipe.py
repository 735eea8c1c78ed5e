"""How a detector is trained, in what params every family has; the params of one family are in its own class."""

from typing import ClassVar, Self

from pydantic import Field

from tasks.contracts.params import Params
from tasks.runtimes.machine import Device, processors

Value = int | float | str | bool
DEFAULT_FAMILY = "ultralytics"


class Recipe(Params):
    """What is trained and how: section `train`, of which each family has a class of its own (families.recipe_class)."""

    # Where and how long a training runs says nothing about how good it is.
    NOT_SEARCHED: ClassVar[frozenset[str]] = frozenset({"family", "device", "threads", "epochs"})
    # Params that must be sound before the doctor asks the family for faults.
    LOOKED_FOR: ClassVar[frozenset[str]] = frozenset({"family", "model", "device", "batch"})

    family: str = Field(default=DEFAULT_FAMILY, description="whose models and training loop")
    model: str = Field(default="", description="what to train, in the family's own names")
    device: Device = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|\d+(,\d+)*)$",
        description="a device: auto, cpu, mps, a GPU (0) or several (0,1)",
    )
    threads: int = Field(default=0, ge=0, description="CPU threads of the network; 0: as many as there are cores")

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
    lr0: float = Field(
        default=0.001,
        gt=0,
        le=1,
        description="learning rate after the warm-up; what a search finds goes before this value",
    )

    @property
    def cpu_threads(self) -> int:
        """Threads of the network on a CPU."""
        return self.threads or processors()

    @classmethod
    def searchable(cls) -> list[str]:
        """Names of the params that a search may vary."""
        return sorted(cls.model_fields.keys() - cls.NOT_SEARCHED)

    def with_changes(self, changes: dict[str, Value]) -> Self:
        """The same recipe with some values replaced, held to the bounds again."""
        return self.model_validate(self.model_dump() | changes)

    def shortened(self, epochs: int) -> Self:
        """The same recipe over so many epochs, for a trial of a search."""
        return self.with_changes({"epochs": epochs})
