"""`reports/leakage.json`: how the split was made and what it leaks."""

from typing import Any, Literal, get_args

from pydantic import model_validator

from tasks.contracts.record import Record

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
EXCLUDED = "excluded"  # stands in the split table for images in no split


class Leak(Record):
    """Share (0 to 1) of the val and test images that have a relative of some kind in train.

    Null where there is nothing to measure: no val and test images, or no tracks among them.
    """

    near_duplicate: float | None  # an image that check calls the same picture
    same_group: float | None  # an image of the same scene (images.group)
    neighbouring_frame: float | None  # the frame just before or after it in its scene
    same_track: float | None  # another view of an object of the same track; over images with tracks


class SplitCount(Record):
    """Images, objects and scenes of one split."""

    images: int
    share: float  # of the images in all splits
    groups: int
    empty_images: int  # without objects
    objects: int
    objects_per_class: dict[str, int]


class ExcludedImage(Record):
    """An image in no split, and why."""

    image_id: str
    reason: str  # see `Leakage.excluded`
    near_duplicate: str | None = None  # image_id of the near-duplicate in another split


class Leakage(Record):
    """Leakage before (a random split of single images, same fractions and seed) and after (this split)."""

    method: Literal["subsets", "groups", "time"]  # time: a scene had to be divided into blocks of time
    before: Leak
    after: Leak
    splits: dict[SplitName, SplitCount]
    excluded: dict[str, int]  # images by reason: absent, unreadable, gap, near_duplicate
    divided_tracks: int  # tracks seen in more than one split
    joined_by_near_duplicates: int  # images whose scene near-duplicates keep in one split with another
    placed_before: int  # images that kept the split of the previous split
    placed_now: int
    notes: list[str]  # sentences for people
    excluded_images: list[ExcludedImage]

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, given: Any) -> Any:
        # Before 0.2 splits were called sides and near-duplicates twins.
        if not isinstance(given, dict) or "sides" not in given:
            return given
        reasons = {"twin": "near_duplicate"}
        images = [
            {
                reasons.get(name, name): reasons.get(value, value) if name == "reason" else value
                for name, value in image.items()
            }
            for image in given["excluded_images"]
        ]
        return {
            **{name: value for name, value in given.items() if name not in {"sides", "moved_by_twins"}},
            "splits": given["sides"],
            "joined_by_near_duplicates": given["moved_by_twins"],
            "excluded": {reasons.get(reason, reason): images for reason, images in given["excluded"].items()},
            "excluded_images": images,
        }
