"""Whether `iscrowd` in COCO files means a crowd.

In COCO's own files it marks a region with many objects, which evaluation ignores. CVAT writes every mask with it, for
a mask is one object there.
"""

from dataclasses import dataclass
from typing import Any

from tasks.formats.labelled_image import CrowdAndDifficult


@dataclass(slots=True)
class CrowdMarks:
    """What the annotations of an export are like; counts."""

    annotations: int = 0
    crowds: int = 0  # marked so
    crowd_masks: int = 0  # of these, masks
    cvat_masks: int = 0  # of these, with the attribute that CVAT gives to every annotation
    other_masks: int = 0  # not marked

    def note(self, iscrowd: object, segmentation: object, attributes: dict[str, Any] | None) -> None:
        """Add one annotation of a COCO file to the counts."""
        is_mask = isinstance(segmentation, dict)
        self.annotations += 1
        self.crowds += bool(iscrowd)
        self.crowd_masks += bool(iscrowd) and is_mask
        self.cvat_masks += bool(iscrowd) and is_mask and "occluded" in (attributes or {})
        self.other_masks += not iscrowd and is_mask

    def add(self, other: "CrowdMarks") -> None:
        """Count those of another file too."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def are_ignored(self, wanted: CrowdAndDifficult) -> bool:
        """Whether marked annotations are ignored.

        auto: unless the mark says no more than "a mask", as CVAT writes it. That is where every mask is marked and
        nothing else, and either all of them bear CVAT's attribute or there is nothing beside them: with COCO's own
        crowds there are polygons.
        """
        if wanted != "auto":
            return wanted == "ignore"
        marks_only_masks = self.crowds == self.crowd_masks and not self.other_masks
        is_convention = self.crowd_masks in (self.cvat_masks, self.annotations)
        return not (marks_only_masks and is_convention)

    def sentence(self, wanted: CrowdAndDifficult) -> str | None:
        """For the ledger, why they are ignored or not; None where nothing is marked."""
        if not self.crowds:
            return None
        many = f"{self.crowds:,} of {self.annotations:,} annotations are marked iscrowd"
        if wanted != "auto":
            return f"{many}: parse.crowd_and_difficult is {wanted}"
        if self.are_ignored(wanted):
            return f"{many}: they are crowds, neither learnt nor counted (parse.crowd_and_difficult: count takes them)"
        return f"{many}, every mask and nothing else, as CVAT writes masks: they are objects like others"
