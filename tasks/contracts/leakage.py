"""`reports/leakage.json`: how the split was made and what it leaks; its numbers are `dvc metrics`."""

from typing import Literal, get_args

from tasks.contracts.record import Record

Side = Literal["train", "val", "test"]
SIDES: tuple[Side, ...] = get_args(Side)
EXCLUDED = "excluded"  # stands in the split table for images on no side


class Leak(Record):
    """Share (0 to 1) of the val and test images that have a relative of some kind in train.

    Null where there is nothing to measure: no val and test images, or no tracks among them.
    """

    near_duplicate: float | None  # an image that check calls the same picture
    same_group: float | None  # an image of the same scene (images.group)
    neighbouring_frame: float | None  # the frame just before or after it in its scene
    same_track: float | None  # another view of an object of the same track; over images with tracks


class SideCount(Record):
    """What stands on one side."""

    images: int
    share: float  # of the images on all sides
    groups: int
    empty_images: int  # without objects
    objects: int
    objects_per_class: dict[str, int]


class ExcludedImage(Record):
    """An image on no side, and why."""

    image_id: str
    reason: str  # see `Leakage.excluded`
    twin: str | None = None  # image_id of the near-duplicate on another side


class Leakage(Record):
    """Leakage before (a random split of single images, same fractions and seed) and after (this split)."""

    method: Literal["subsets", "groups", "time"]  # time: a scene had to be divided into blocks of time
    before: Leak
    after: Leak
    sides: dict[Side, SideCount]
    excluded: dict[str, int]  # images by reason: absent, unreadable, gap, twin
    divided_tracks: int  # tracks seen on more than one side
    moved_by_twins: int  # images whose scene near-duplicates keep on one side with another
    placed_before: int  # images that kept the side of the previous split
    placed_now: int
    notes: list[str]  # sentences for people
    excluded_images: list[ExcludedImage]
