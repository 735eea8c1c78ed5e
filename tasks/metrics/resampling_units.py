"""What is resampled: groups of the split; of scenes that the split divided in time, parts.

Frames of one scene are alike, so scenes are drawn whole. Where there are too few the split divides them in time, and
holds frames beyond its gap for different enough to be in different splits; then consecutive parts of about that length
are what is drawn (blocks of a time series, Carlstein, Annals of Statistics 14, 1986). What comes out is how sure the
figure is on these scenes at other times; of other scenes it says nothing.
"""

import re
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Units:
    """What is resampled, image by image."""

    of_image: list[str]
    divided: int  # scenes that are drawn in parts

    @property
    def count(self) -> int:
        """How many units there are."""
        return len(set(self.of_image))

    @property
    def reason(self) -> str:
        """Why parts are drawn, for people; empty where none are."""
        if not self.divided:
            return ""
        scenes = "a scene" if self.divided == 1 else f"{self.divided} scenes"
        return (
            f"test shares {scenes} with other splits, divided in time: {self.count} parts are resampled, "
            "and intervals hold for these scenes at other times, not for other scenes"
        )


def units(images: pd.DataFrame, part_images: int) -> Units:
    """The unit of each image, in the order of the rows.

    images: columns image_id, name, frame, group, and divided: whether the split has put images of its scene elsewhere.
    part_images: consecutive images of a divided scene that are drawn together; the last part takes what is left over.
    """
    keys = pd.DataFrame(
        {
            "group": images["group"],
            "frame": images["frame"].fillna(-1),
            "name": images["name"].map(_natural),
            "image_id": images["image_id"],
        }
    )
    ordered = images.loc[keys.sort_values(list(keys.columns), kind="stable").index]
    place, size = ordered.groupby("group").cumcount(), ordered.groupby("group")["group"].transform("size")
    part = (place // part_images).clip(upper=(size // part_images - 1).clip(lower=0))
    names = ordered["group"].where(~ordered["divided"], ordered["group"] + " · part " + (part + 1).astype(str))
    divided = ordered.loc[ordered["divided"], "group"].nunique()
    return Units(names.reindex(images.index).to_list(), int(divided))


def _natural(name: str) -> str:
    """A key that sorts frame_9 before frame_10."""
    return re.sub(r"\d+", lambda digits: digits.group().zfill(12), name)
