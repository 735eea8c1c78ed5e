"""Writes CVAT 1.1 XML for tests: shapes and faults that no genuine export at hand has."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

BOX = '<box label="car" source="manual" occluded="0" xtl="10" ytl="20" xbr="30" ybr="50" z_order="0"/>'


def box(
    label: str = "car", *, xtl: float = 10, ytl: float = 20, xbr: float = 30, ybr: float = 50, more: str = ""
) -> str:
    return (
        f'<box label={quoteattr(label)} source="manual" occluded="0" '
        f'xtl="{xtl}" ytl="{ytl}" xbr="{xbr}" ybr="{ybr}" z_order="0" {more}/>'
    )


def image(name: str, *shapes: str, width: int = 100, height: int = 80, more: str = "") -> str:
    return (
        f'<image id="0" name={quoteattr(name)} width="{width}" height="{height}" {more}>\n'
        + "\n".join(shapes)
        + "\n</image>"
    )


def track(number: int, label: str, *shapes: str, more: str = "") -> str:
    return f'<track id="{number}" label={quoteattr(label)} source="manual" {more}>\n' + "\n".join(shapes) + "\n</track>"


def track_box(
    frame: int, xtl: float, ytl: float, xbr: float, ybr: float, *, keyframe: bool = True, outside: bool = False
) -> str:
    return (
        f'<box frame="{frame}" keyframe="{keyframe:d}" outside="{outside:d}" occluded="0" '
        f'xtl="{xtl}" ytl="{ytl}" xbr="{xbr}" ybr="{ybr}" z_order="0"/>'
    )


def task_meta(
    number: int = 5,
    name: str = "a task",
    *,
    labels: Sequence[str] = ("car",),
    dumped: str = "2026-03-05 16:40:51.004321+00:00",
    mode: str = "annotation",
    more: str = "",
) -> str:
    declared = "".join(f"<label><name>{label}</name><attributes/></label>" for label in labels)
    return (
        f"<meta><task><id>{number}</id><name>{name}</name><mode>{mode}</mode>"
        f"<created>2026-03-02 09:14:07+00:00</created><subset>default</subset>{more}"
        f"<labels>{declared}</labels></task><dumped>{dumped}</dumped></meta>"
    )


def video_meta(
    stop: int, *, start: int = 0, frame_filter: str = "", source: str = "clip.mp4", size: str = "100x80"
) -> str:
    width, height = size.split("x")
    return task_meta(
        mode="interpolation",
        more=f"<start_frame>{start}</start_frame><stop_frame>{stop}</stop_frame><frame_filter>{frame_filter}</frame_filter>"
        f"<original_size><width>{width}</width><height>{height}</height></original_size><source>{source}</source>",
    )


def document(*parts: str, meta: str | None = None, version: str = "1.1") -> str:
    head = task_meta() if meta is None else meta
    body = "\n".join(parts)
    declaration = '<?xml version="1.0" encoding="utf-8"?>'
    return f"{declaration}\n<annotations><version>{version}</version>{head}\n{body}\n</annotations>\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
