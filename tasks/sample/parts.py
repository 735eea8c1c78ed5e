"""The things on the belt, drawn from signed distances: washers, nuts and bolts of metal, and the cracks in them.

A signed distance is negative inside a shape and positive outside, in pixels; half a pixel either side of zero makes a
smooth edge, and the distance below the edge makes the bevel that catches the light.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Field = NDArray[np.float64]
Kind = Literal["washer", "nut", "bolt"]

LIGHT = np.array([-0.45, -0.55, 0.70])  # from the upper left, towards the viewer
METALS = {"steel": (178, 182, 186), "brass": (196, 164, 92), "zinc": (132, 136, 146)}  # RGB


@dataclass(frozen=True)
class Part:
    """One part where it lies on the belt, in pixels of the belt; the angle in radians, clockwise as y points down."""

    kind: Kind
    x: float
    y: float
    angle: float
    size: float  # outer radius of washers and nuts, half the length of bolts
    bore: float  # of size: radius of the hole, or half the width of a bolt's head
    metal: str
    shiny: bool
    crack: Field | None  # (points, 2) on the belt, from edge to edge; None: sound

    @property
    def reach(self) -> float:
        """Radius of the circle around all of it."""
        return self.size * (1.08 if self.kind == "bolt" else 1.0)


RUST = (164, 62, 20)  # RGB
CRACK_WIDTH = 2.2  # pixels, half of it at the mouth; a crack gets thinner inwards


def draw_part(belt: Field, part: Part) -> None:
    """Draw a part with its shadow on the belt, (height, width, 3) RGB in 0 to 255, in place."""
    margin = int(part.reach) + 8
    top, left = int(part.y) - margin, int(part.x) - margin
    patch = belt[max(top, 0) : top + 2 * margin, max(left, 0) : left + 2 * margin]
    rows, columns = np.mgrid[max(top, 0) : max(top, 0) + patch.shape[0], max(left, 0) : max(left, 0) + patch.shape[1]]
    shadow = np.clip(0.5 - _distance(part, columns - 3.0, rows - 3.5) / 5, 0, 1)
    patch *= 1 - 0.5 * shadow[..., None]
    distance = _distance(part, columns + 0.0, rows + 0.0)
    colour = _shaded(part, distance, columns - part.x, rows - part.y)
    if part.crack is not None:
        colour = _cracked(colour, part.crack, columns, rows)
    cover = np.clip(0.5 - distance, 0, 1)[..., None]
    patch += cover * (colour - patch)


def _distance(part: Part, x: Field, y: Field) -> Field:
    """Signed distance of belt positions to the part's outline."""
    u, v = _turned(x - part.x, y - part.y, part.angle)
    if part.kind == "washer":
        return np.maximum(np.hypot(u, v) - part.size, part.size * part.bore - np.hypot(u, v))
    if part.kind == "nut":
        return np.maximum(_hexagon(u, v, part.size), part.size * part.bore - np.hypot(u, v))
    head = _box(u + part.size * 0.74, v, part.size * 0.26, part.size * part.bore)
    shaft = _box(u - part.size * 0.2, v, part.size * 0.8, part.size * part.bore * 0.5)
    distance: Field = np.minimum(head, shaft)
    return distance


def _turned(x: Field, y: Field, angle: float) -> tuple[Field, Field]:
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _hexagon(u: Field, v: Field, radius: float) -> Field:
    """Distance to a hexagon with a corner on the u axis, `radius` from its centre to a corner."""
    u, v = np.abs(u), np.abs(v)
    distance: Field = np.maximum(v, u * np.sqrt(3) / 2 + v / 2) - radius * np.sqrt(3) / 2
    return distance


def _box(u: Field, v: Field, half_u: float, half_v: float) -> Field:
    du, dv = np.abs(u) - half_u, np.abs(v) - half_v
    return np.hypot(np.maximum(du, 0), np.maximum(dv, 0)) + np.minimum(np.maximum(du, dv), 0)


def _shaded(part: Part, distance: Field, x: Field, y: Field) -> Field:
    """Metal under the light: its bevel, its finish, and a highlight where it is shiny."""
    height = _height(part, distance, x, y)
    slope_y, slope_x = np.gradient(height)
    normal = np.stack([-slope_x, -slope_y, np.ones_like(height)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    toward = normal @ (LIGHT / np.linalg.norm(LIGHT))
    light = 0.42 + 0.72 * np.clip(toward, 0, 1)
    if part.kind == "washer":
        # Turned faces are brushed in circles, so their highlight is a pair of wedges.
        light += (0.16 if part.shiny else 0.05) * np.cos(2 * (np.arctan2(y, x) - 0.9))
    gloss = (150 if part.shiny else 35) * np.clip(toward, 0, 1) ** 18
    metal = np.array(METALS[part.metal]) * light[..., None] + gloss[..., None] - 12
    return np.asarray(np.clip(metal, 0, 255), dtype=np.float64)


def _height(part: Part, distance: Field, x: Field, y: Field) -> Field:
    bevel = {"washer": 2.0, "nut": 4.0, "bolt": 2.5}[part.kind]
    edge = np.clip(-distance / bevel, 0, 1)
    height = bevel * np.sin(edge * np.pi / 2) * 0.9
    if part.kind == "bolt":
        u, v = _turned(x, y, part.angle)
        on_shaft = u > -part.size * 0.48
        half = part.size * part.bore * 0.5
        round_shaft = np.sqrt(np.clip(half**2 - v**2, 0, None))
        thread = 0.55 * np.sin(u * 2.0) * (u > -part.size * 0.25)
        height = np.where(on_shaft, round_shaft + thread, height + half * 0.6)
    return height


def crack_across(part: Part, generator: Generator) -> Field:
    """A jagged line from edge to edge of the part, (points, 2) on the belt."""
    if part.kind == "bolt":
        along, across = generator.uniform(-0.1, 0.5) * part.size, 0.55 * part.size * part.bore
        slant = generator.choice([-1, 1]) * generator.uniform(13, 18)
        ends = ((along, -across), (along + slant, across))
    else:
        # A chord that passes beside the hole.
        bearing, turn = generator.uniform(0, 2 * np.pi), generator.uniform(1.7, 1.95)
        radius = part.size * (1.0 if part.kind == "washer" else 0.93)
        ends = (_at(radius, bearing), _at(radius, bearing + turn))
    start, end = np.array(ends[0]), np.array(ends[1])
    steps = np.linspace(0, 1, 6)[:, None]
    aside = np.array([start[1] - end[1], end[0] - start[0]]) / np.linalg.norm(end - start)
    zigzag = np.array([0, 2.8, -2.4, 2.8, -2.4, 0])[:, None] * generator.uniform(0.8, 1.2, (6, 1))
    local = start + (end - start) * steps + aside * zigzag
    cosine, sine = np.cos(part.angle), np.sin(part.angle)
    crack: Field = np.array([part.x, part.y]) + local @ np.array([[cosine, sine], [-sine, cosine]])
    return crack


def _at(radius: float, bearing: float) -> tuple[float, float]:
    return radius * np.cos(bearing), radius * np.sin(bearing)


def _cracked(colour: Field, crack: Field, x: Field, y: Field) -> Field:
    """The metal with the crack in it: a dark gap that rust bleeds from, and one edge of it that catches the light."""
    distance = _gap(crack, x, y)
    rust = 0.9 * np.exp(-np.clip(distance, 0, None) / 6)[..., None]
    colour = colour + rust * (np.array(RUST) - colour)
    gap = np.clip(0.5 - distance, 0, 1)[..., None]
    lip = np.clip(0.5 - _gap(crack, x - 1.2, y - 1.2), 0, 1)[..., None]
    colour = colour + (255 - colour) * 0.4 * lip
    return colour + gap * (np.array([22, 14, 12]) - colour)


def _gap(crack: Field, x: Field, y: Field) -> Field:
    """Signed distance to a polyline that gets thinner towards its end."""
    nearest: Field = np.full(np.shape(x), np.inf)
    for index, (start, end) in enumerate(pairwise(crack)):
        run = end - start
        along = np.clip(((x - start[0]) * run[0] + (y - start[1]) * run[1]) / (run @ run), 0, 1)
        width = CRACK_WIDTH * (1 - 0.1 * (index + along))
        nearest = np.minimum(nearest, np.hypot(x - start[0] - along * run[0], y - start[1] - along * run[1]) - width)
    return nearest
