"""What a labeller draws around the parts of a frame: the shape that fits, or a box where the border cuts it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.sample.parts import Part
from tasks.sample.scene import FRAME_WH, Frame

Points = NDArray[np.float64]  # (points, 2)

ENOUGH_SEEN = 0.4  # of a part's area; less of it at the border is not labelled
MAJOR_CRACK = 27  # pixels from end to end


@dataclass(frozen=True)
class Shape:
    """One CVAT shape: its tag, its label, the tag's own attributes as CVAT writes them, the label's attributes."""

    tag: str  # box, ellipse or polygon
    label: str
    geometry: dict[str, str]
    attributes: dict[str, str]


@dataclass(frozen=True)
class Seen:
    """A part as far as the frame shows it."""

    track: int  # the same for the same part in all frames of a sequence
    box: tuple[float, float, float, float]  # x_min, y_min, x_max, y_max, inside the frame
    shape: Shape  # as drawn: the shape that fits if all of the part is inside, else a box


def seen_in(frame: Frame, tracked: bool = False) -> list[Seen]:
    """The parts that a frame shows, by where they lie on the belt.

    A cracked part is labelled crack, whatever part it is: it has to be sorted out. In a still picture the labeller must
    see the crack to know; in a video (`tracked`) a track has one label, so seeing it in some frame is enough.
    """
    found = []
    for track, part in enumerate(frame.parts):
        outline = _outline(part)
        area, inside = _inside(outline)
        share = area / cv2.contourArea(outline.astype(np.float32))
        if share < ENOUGH_SEEN:
            continue
        label, attributes = _label(part, tracked)
        box = _bounds(inside)
        shape = _fitting(part, label, attributes) if share > 0.999 else _box(label, box, attributes)
        found.append(Seen(track, box, shape))
    return found


def _label(part: Part, tracked: bool) -> tuple[str, dict[str, str]]:
    if part.crack is not None and (tracked or _is_in_view(part.crack)):
        length = np.linalg.norm(part.crack[-1] - part.crack[0])
        return "crack", {"severity": "major" if length > MAJOR_CRACK else "minor"}
    return part.kind, {"surface": "shiny" if part.shiny else "matt"}


def _is_in_view(crack: Points) -> bool:
    return bool(np.mean(((crack >= 0) & (crack < FRAME_WH)).all(axis=1)) > 0.5)


def _inside(outline: Points) -> tuple[float, Points]:
    """Area and outline of what the frame shows of a convex outline."""
    width, height = FRAME_WH
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    area, inside = cv2.intersectConvexConvex(outline.astype(np.float32), frame)
    return area, np.empty((0, 2)) if inside is None else inside.reshape(-1, 2).astype(np.float64)


def _outline(part: Part) -> Points:
    """A convex outline, (points, 2)."""
    if part.kind == "bolt":
        half = part.size * part.bore
        corners = np.array([[-part.size, -half], [part.size, -half], [part.size, half], [-part.size, half]])
    else:
        count = 6 if part.kind == "nut" else 48
        bearings = np.arange(count) * 2 * np.pi / count
        corners = part.size * np.stack([np.cos(bearings), np.sin(bearings)], axis=1)
    cosine, sine = np.cos(part.angle), np.sin(part.angle)
    outline: Points = np.array([part.x, part.y]) + corners @ np.array([[cosine, sine], [-sine, cosine]])
    return outline


def _fitting(part: Part, label: str, attributes: dict[str, str]) -> Shape:
    """An ellipse around a washer, a polygon around a nut, a rotated box around a bolt."""
    if part.kind == "washer":
        geometry = {"cx": part.x, "cy": part.y, "rx": part.size, "ry": part.size}
        return Shape("ellipse", label, {name: f"{value:.2f}" for name, value in geometry.items()}, attributes)
    if part.kind == "nut":
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in _outline(part))
        return Shape("polygon", label, {"points": points}, attributes)
    half = part.size * part.bore
    box = _box(label, (part.x - part.size, part.y - half, part.x + part.size, part.y + half), attributes)
    return Shape("box", label, {**box.geometry, "rotation": f"{np.degrees(part.angle) % 360:.2f}"}, attributes)


def _box(label: str, box: tuple[float, float, float, float], attributes: dict[str, str]) -> Shape:
    geometry = dict(zip(("xtl", "ytl", "xbr", "ybr"), (f"{value:.2f}" for value in box), strict=True))
    return Shape("box", label, geometry, attributes)


def _bounds(points: Points) -> tuple[float, float, float, float]:
    (x_min, y_min), (x_max, y_max) = points.min(axis=0), points.max(axis=0)
    return float(x_min), float(y_min), float(x_max), float(y_max)
