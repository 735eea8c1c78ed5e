"""One sequence: a stretch of conveyor belt with parts on it, and the frames that a camera takes as it runs past.

The belt is drawn once as a long picture; a frame is the window of it before the camera, with the machine's rails, the
light of that moment and the sensor's noise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator

from tasks.dataset.decoding import Image
from tasks.sample.parts import METALS, Field, Kind, Part, crack_across, draw_part

FRAME_WH = (168, 128)  # pixels
RAIL = 9  # pixels at the top and the bottom of a frame
SPACING = 44  # pixels of belt per part
# Long bolts find a free place less often than they are thrown.
SHARES = (0.32, 0.32, 0.36)  # washers, nuts, bolts
CRACKED = 0.15  # of parts


@dataclass(frozen=True)
class Camera:
    """What tells one camera's pictures from another's."""

    belt: tuple[int, int, int]  # RGB
    tint: tuple[float, float, float]  # of its light
    zoom: float
    direction: int  # 1: the belt runs to the left
    noise: float  # standard deviation, of 255


CAMERAS = (
    Camera(belt=(62, 66, 70), tint=(1.00, 1.00, 1.00), zoom=1.00, direction=1, noise=2.5),
    Camera(belt=(46, 92, 76), tint=(1.05, 1.00, 0.90), zoom=0.92, direction=-1, noise=3.5),
    Camera(belt=(52, 78, 118), tint=(0.93, 0.99, 1.07), zoom=1.10, direction=1, noise=2.5),
    Camera(belt=(150, 140, 122), tint=(1.03, 1.00, 0.95), zoom=1.00, direction=-1, noise=4.0),
    Camera(belt=(84, 76, 72), tint=(1.06, 1.00, 0.92), zoom=1.05, direction=1, noise=3.0),
)


@dataclass(frozen=True)
class Frame:
    """One picture and what is in it; `parts` and their cracks in pixels of the picture."""

    image: Image
    parts: tuple[Part, ...]  # in the order of the belt, those out of sight included


def sequence(camera: Camera, frames: int, step: float, generator: Generator) -> Iterator[Frame]:
    """Frames of a belt that moves on by `step` pixels from one to the next."""
    width = int(FRAME_WH[0] + step * (frames - 1)) + 1
    belt = _empty_belt(camera, width, generator)
    parts = _strewn(camera, width, generator)
    for part in parts:
        draw_part(belt, part)
    light = _light(generator)
    dim = generator.uniform(0.74, 1.1)
    for frame in range(frames):
        offset = step * (frame if camera.direction > 0 else frames - 1 - frame)
        flicker = dim * (1 + 0.06 * np.sin(frame * 1.3) + generator.normal(0, 0.02))
        image = _exposed(belt, offset, light * flicker, camera, generator)
        yield Frame(image, tuple(_shifted(part, -offset) for part in parts))


def _shifted(part: Part, x: float) -> Part:
    return replace(part, x=part.x + x, crack=None if part.crack is None else part.crack + np.array([x, 0]))


def _strewn(camera: Camera, width: int, generator: Generator) -> list[Part]:
    """Parts that lie apart from each other, from left to right."""
    parts: list[Part] = []
    for _ in range(width * 12 // SPACING):
        part = _part(camera, generator.uniform(0, width), generator)
        apart = all(np.hypot(part.x - other.x, part.y - other.y) > part.reach + other.reach + 3 for other in parts)
        if apart and len(parts) < width // SPACING:
            parts.append(part)
    return sorted(parts, key=lambda part: part.x)


def _part(camera: Camera, x: float, generator: Generator) -> Part:
    kinds: list[Kind] = ["washer", "nut", "bolt"]
    kind = kinds[generator.choice(3, p=SHARES)]
    size, bore = {"washer": ((14, 21), (0.42, 0.54)), "nut": ((15, 20), (0.44, 0.52)), "bolt": ((18, 24), (0.42, 0.5))}[
        kind
    ]
    radius = camera.zoom * generator.uniform(*size)
    inside = RAIL + min(radius, 24) + 2
    part = Part(
        kind=kind,
        x=x,
        y=generator.uniform(inside, FRAME_WH[1] - inside),
        angle=generator.uniform(0, 2 * np.pi),
        size=radius,
        bore=generator.uniform(*bore),
        metal=str(generator.choice(list(METALS))),
        shiny=bool(generator.random() < 0.5),
        crack=None,
    )
    return replace(part, crack=crack_across(part, generator)) if generator.random() < CRACKED else part


def _empty_belt(camera: Camera, width: int, generator: Generator) -> Field:
    """Rubber with its weave, wear and seams, and what does not belong there."""
    height = FRAME_WH[1]
    coarse = cv2.resize(
        generator.normal(0, 1, (height // 12, width // 24 + 1)), (width, height), interpolation=cv2.INTER_CUBIC
    )
    wear = cv2.GaussianBlur(generator.normal(0, 1, (height, width)), (0, 0), sigmaX=14, sigmaY=0.7)
    fine = generator.normal(0, 1, (height, width))
    rows, columns = np.mgrid[0:height, 0:width]
    weave = np.sin((columns + rows) * 1.1) * np.sin((columns - rows) * 1.1)
    belt = np.array(camera.belt, dtype=np.float64) + (3.5 * coarse + 22 * wear + 2.2 * fine + 3.0 * weave)[..., None]
    for start in range(int(generator.integers(120)), width, 260):
        seam = np.abs(columns - start - rows * 0.18) - 1.2
        belt *= 1 - 0.45 * np.clip(0.5 - seam, 0, 1)[..., None]
    for _ in range(width // 90):
        _stain(belt, generator)
    return _littered(belt, generator)


def _stain(belt: Field, generator: Generator) -> None:
    """A spot of oil, dark and soft."""
    rows, columns = np.mgrid[0 : belt.shape[0], 0 : belt.shape[1]]
    x, y = generator.uniform(0, belt.shape[1]), generator.uniform(RAIL, belt.shape[0] - RAIL)
    spread = ((columns - x) / generator.uniform(5, 14)) ** 2 + ((rows - y) / generator.uniform(4, 9)) ** 2
    belt *= 1 - 0.4 * np.exp(-spread)[..., None]


def _littered(belt: Field, generator: Generator) -> Field:
    """Shavings, scratches, rubber rings and scraps of label: nothing that is to be found."""
    canvas = np.clip(belt, 0, 255).astype(np.uint8)
    height, width = canvas.shape[:2]
    for _ in range(width // 28):
        centre = (int(generator.uniform(0, width)), int(generator.uniform(RAIL, height - RAIL)))
        sort = generator.random()
        angle = float(generator.uniform(0, 360))
        if sort < 0.45:
            axes = (int(generator.integers(3, 8)), int(generator.integers(2, 5)))
            cv2.ellipse(
                canvas, centre, axes, angle, 0, float(generator.uniform(90, 230)), (205, 208, 212), 1, cv2.LINE_AA
            )
        elif sort < 0.75:
            reach = generator.uniform(6, 22) * np.array([np.cos(angle), np.sin(angle) * 0.3])
            end = (int(centre[0] + reach[0]), int(centre[1] + reach[1]))
            cv2.line(
                canvas, centre, end, tuple(int(value * 0.55) for value in canvas[centre[1], centre[0]]), 1, cv2.LINE_AA
            )
        elif sort < 0.88:
            cv2.circle(canvas, centre, int(generator.integers(5, 9)), (24, 22, 22), 2, cv2.LINE_AA)
        else:
            corners = cv2.boxPoints((centre, (float(generator.uniform(8, 15)), float(generator.uniform(5, 9))), angle))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], (222, 218, 204), cv2.LINE_AA)
    return canvas.astype(np.float64)


def _light(generator: Generator) -> Field:
    """How bright each place of a frame is: less to one side and the corners, with or without the shadow of a beam."""
    width, height = FRAME_WH
    rows, columns = np.mgrid[0:height, 0:width]
    x, y = columns / width - 0.5, rows / height - 0.5
    bearing = generator.uniform(0, 2 * np.pi)
    light: Field = 1 + 0.22 * (x * np.cos(bearing) + y * np.sin(bearing)) - 0.35 * (x**2 + y**2)
    if generator.random() < 0.35:
        beam = np.abs((x - generator.uniform(-0.3, 0.3)) + 0.5 * y) - generator.uniform(0.05, 0.1)
        light *= 1 - 0.33 * np.clip(0.5 - beam * 30, 0, 1)
    return light[..., None]


def _exposed(belt: Field, offset: float, light: Field, camera: Camera, generator: Generator) -> Image:
    """What the sensor sees of the belt `offset` pixels on."""
    width, height = FRAME_WH
    window = cv2.warpAffine(
        belt, np.array([[1, 0, -offset], [0, 1, 0]], dtype=np.float64), (width, height), flags=cv2.INTER_LINEAR
    )
    _rails(window)
    seen = window * light * np.array(camera.tint) + generator.normal(0, camera.noise, window.shape)
    return np.asarray(np.clip(seen, 0, 255), dtype=np.uint8)


def _rails(window: Field) -> None:
    """The machine's guides above and below the belt, which stand still."""
    profile = np.interp(np.arange(RAIL), [0, 2, 4, RAIL - 2, RAIL - 1], [96, 150, 124, 108, 44])
    window[:RAIL] = profile[:, None, None]
    window[-RAIL:] = profile[::-1][:, None, None]
    for x in range(24, window.shape[1], 48):
        for y in (RAIL // 2, window.shape[0] - 1 - RAIL // 2):
            cv2.circle(window, (x, y), 2, (70, 72, 76), -1, cv2.LINE_AA)
