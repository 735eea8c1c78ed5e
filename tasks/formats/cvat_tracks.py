"""A CVAT track: its shapes by frame, and those between keyframes that a file leaves out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tasks.formats.cvat_shapes import Attributes, read_points

_COORDINATES = frozenset({"xtl", "ytl", "xbr", "ybr", "cx", "cy", "rx", "ry"}) | {
    f"{axis}{corner}{side}" for axis in "xy" for corner in ("tl", "bl", "tr", "br") for side in "12"
}


@dataclass(slots=True)
class TrackShape:
    """A track on one frame, as XML attributes."""

    tag: str
    frame: int
    given: Attributes
    attributes: dict[str, object] | None = None
    elements: list[Attributes] | None = None  # points of a skeleton

    @property
    def is_outside(self) -> bool:
        """Whether it only says that the object is not visible from here on."""
        # A skeleton has no mark of its own in newer files; it is outside when all its points are.
        if self.elements:
            return all(element.get("outside") == "1" for element in self.elements)
        return self.given.get("outside") == "1"


@dataclass(slots=True)
class Track:
    """The shapes of one object over the frames of a task."""

    given: Attributes
    shapes: list[TrackShape] = field(default_factory=list)
    points: list["Track"] = field(default_factory=list)  # older files have a track per skeleton point inside

    def complete(self, frames: range | None) -> Iterator[TrackShape]:
        """Its shapes in the order of frames, `outside` ones included, with those that CVAT would have written.

        CVAT writes every frame, marked `keyframe="0"` where it interpolated. A track without such marks is taken to
        hold keyframes only: between two of them shapes are interpolated. After the last one nothing is made up, for
        CVAT omits the end mark of a shape close to the end of the task. frames: those of the task, if known.
        """
        gaps = iter([] if self.has_all else self.gaps(frames))
        gap = next(gaps, None)
        shapes = self._in_order()
        for shape, following in zip(shapes, [*shapes[1:], None], strict=True):
            yield shape
            if gap is not None and following is not None and shape.frame < gap.start < following.frame:
                yield from (between(shape, following, frame) for frame in gap)
                gap = next(gaps, None)

    @property
    def has_all(self) -> bool:
        """Whether CVAT interpolated it: then it has a shape on every frame on which it is visible."""
        return any(shape.given.get("keyframe") == "0" for shape in self.shapes)

    def gaps(self, frames: range | None) -> list[range]:
        """Frames without a shape between two with one, while the object is visible. frames: as in `complete`."""
        shapes = self._in_order()
        step = frames.step if frames is not None else math.gcd(*_distances(shapes)) or 1
        between_shapes = (
            range(shape.frame + step, following.frame, step)
            for shape, following in pairwise(shapes)
            if not shape.is_outside
        )
        return [gap for gap in between_shapes if gap]

    def _in_order(self) -> list[TrackShape]:
        return sorted((self._with_points(shape) for shape in self.shapes), key=lambda shape: shape.frame)

    def _with_points(self, shape: TrackShape) -> TrackShape:
        if shape.elements is None and self.points:
            shape.elements = [
                point.given for track in self.points for point in track.shapes if point.frame == shape.frame
            ]
        return shape


def _distances(shapes: list[TrackShape]) -> list[int]:
    return [later.frame - earlier.frame for earlier, later in pairwise(shapes)]


def between(earlier: TrackShape, later: TrackShape, frame: int) -> TrackShape:
    """The shape on a frame between two keyframes: linear, rounded to 0.01 px, as CVAT's is.

    What has no counterpart in the later keyframe (masks, polygons with another number of points) stays as it was.
    """
    share = (frame - earlier.frame) / (later.frame - earlier.frame)
    given = _mixed(earlier.given, later.given, share)
    counterparts = {element.get("label"): element for element in later.elements or ()}
    elements = [
        _mixed(element, counterparts.get(element.get("label"), element), share) for element in earlier.elements or ()
    ]
    return TrackShape(earlier.tag, frame, given, earlier.attributes, elements or None)


def _mixed(earlier: Attributes, later: Attributes, share: float) -> Attributes:
    mixed: dict[str, str] = dict(earlier)
    try:
        for name in _COORDINATES & earlier.keys() & later.keys():
            mixed[name] = _text(_mix(float(earlier[name]), float(later[name]), share))
        if earlier.get("rotation") or later.get("rotation"):
            start = float(earlier.get("rotation") or 0)
            # The shorter way round.
            turn = (float(later.get("rotation") or 0) - start + 180) % 360 - 180
            mixed["rotation"] = _text(start + turn * share)
        if earlier.get("points") and later.get("points"):
            mixed["points"] = _mixed_points(earlier["points"], later["points"], share)
    except ValueError:
        # Coordinates that are no numbers: the shape is refused by its own reader, on each frame.
        return earlier
    return mixed


def _mixed_points(earlier: str, later: str, share: float) -> str:
    starts, ends = read_points(earlier), read_points(later)
    if len(starts) != len(ends):
        return earlier
    return ";".join(
        f"{_text(_mix(x, to_x, share))},{_text(_mix(y, to_y, share))}"
        for (x, y), (to_x, to_y) in zip(starts, ends, strict=True)
    )


def _mix(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


def _text(value: float) -> str:
    return f"{value:.2f}"
