"""Writes pictures and their shapes as CVAT does: "CVAT for images 1.1" of a project, "CVAT for video 1.1" of a task."""

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from tasks.contracts.whole_output import whole_output
from tasks.sample.labelling import Seen, Shape
from tasks.sample.scene import FRAME_WH

WRITTEN = "2026-03-02 09:14:07.512345+00:00"
ZIP_TIME = (2026, 3, 2, 9, 14, 6)  # the same bytes from the same seed
KEYFRAMES = 5  # a labeller sets every fifth box of a track, the rest is interpolated
COLOURS = ("#33ddff", "#fa3253", "#34d1b7", "#ff007c", "#ff6037", "#ddff33")
PART_ATTRIBUTE = ("surface", ("shiny", "matt"))
LABELS: dict[str, tuple[str, tuple[str, ...]]] = {  # label -> its attribute and the attribute's values
    "washer": PART_ATTRIBUTE,
    "nut": PART_ATTRIBUTE,
    "bolt": PART_ATTRIBUTE,
    "crack": ("severity", ("minor", "major")),
}


@dataclass
class ImageFile:
    """An image file of an export, with what is drawn on it."""

    name: str  # as CVAT has it, sub-folders included
    task_id: int
    data: bytes  # of the encoded file
    shapes: list[Shape] = field(default_factory=list)


def write_project(pictures: Mapping[str, list[ImageFile]], labels: Iterable[str], path: Path) -> None:
    """Write a project whose tasks are `pictures`, by task name, as a zip with its images."""
    root, meta = _annotations()
    project = _filled(ET.SubElement(meta, "project"), {"id": 3, "name": "Belt inspection", **STAMPS})
    tasks = ET.SubElement(project, "tasks")
    for name, of_task in pictures.items():
        _describe_task(ET.SubElement(tasks, "task"), of_task[0].task_id, name, len(of_task), "annotation")
    _filled(project, {"subsets": "default", "owner": "", "assignee": ""})
    _describe_labels(project, labels)
    _filled(meta, {"dumped": WRITTEN})
    # As CVAT does, images are numbered in their task: an id alone is not unique in a project.
    numbered = [(number, picture) for of_task in pictures.values() for number, picture in enumerate(of_task)]
    for number, picture in numbered:
        image = ET.SubElement(
            root,
            "image",
            {
                "id": str(number),
                "name": picture.name,
                "subset": "default",
                "task_id": str(picture.task_id),
                "width": str(FRAME_WH[0]),
                "height": str(FRAME_WH[1]),
            },
        )
        for shape in picture.shapes:
            drawn = {"label": shape.label, "source": "manual", "occluded": "0", **shape.geometry, "z_order": "0"}
            _with_attributes(ET.SubElement(image, shape.tag, drawn), shape.attributes)
    _write_zip(path, root, [(picture.name, picture.data) for _, picture in numbered])


def write_video(frames: list[tuple[bytes, list[Seen]]], task_id: int, name: str, path: Path) -> None:
    """Write a task of one video: its frames as PNG, what is seen in them as tracks."""
    root, meta = _annotations()
    task = ET.SubElement(meta, "task")
    _describe_task(task, task_id, name, len(frames), "interpolation")
    _describe_labels(task, LABELS)
    _filled(ET.SubElement(task, "original_size"), {"width": FRAME_WH[0], "height": FRAME_WH[1]})
    _filled(meta, {"dumped": WRITTEN, "source": "camera_5.mp4"})
    tracks: dict[int, dict[int, Seen]] = {}
    for frame, (_, shown) in enumerate(frames):
        for seen in shown:
            tracks.setdefault(seen.track, {})[frame] = seen
    for number, boxes in enumerate(tracks[track] for track in sorted(tracks)):
        _write_track(root, number, boxes, len(frames))
    _write_zip(path, root, [(f"frame_{frame:06d}.PNG", data) for frame, (data, _) in enumerate(frames)])


def _write_track(root: ET.Element, number: int, boxes: dict[int, Seen], frames: int) -> None:
    first, last = min(boxes), max(boxes)
    track = ET.SubElement(root, "track", {"id": str(number), "label": boxes[first].shape.label, "source": "manual"})
    for frame, seen in boxes.items():
        at_border = min(seen.box[:2]) <= 0 or seen.box[2] >= FRAME_WH[0] or seen.box[3] >= FRAME_WH[1]
        keyframe = at_border or frame in (first, last) or frame % KEYFRAMES == 0
        _track_box(track, frame, seen, keyframe=keyframe, outside=False)
    if last + 1 < frames:
        _track_box(track, last + 1, boxes[last], keyframe=True, outside=True)


def _track_box(track: ET.Element, frame: int, seen: Seen, keyframe: bool, outside: bool) -> None:
    x_min, y_min, x_max, y_max = (f"{value:.2f}" for value in seen.box)
    box = ET.SubElement(
        track,
        "box",
        {
            "frame": str(frame),
            "keyframe": str(int(keyframe)),
            "outside": str(int(outside)),
            "occluded": "0",
            "xtl": x_min,
            "ytl": y_min,
            "xbr": x_max,
            "ybr": y_max,
            "z_order": "0",
        },
    )
    _with_attributes(box, seen.shape.attributes)


STAMPS = {"bugtracker": "", "created": WRITTEN, "updated": WRITTEN}


def _annotations() -> tuple[ET.Element, ET.Element]:
    root = ET.Element("annotations")
    _filled(root, {"version": "1.1"})
    return root, ET.SubElement(root, "meta")


def _describe_task(task: ET.Element, task_id: int, name: str, size: int, mode: str) -> None:
    _filled(
        task, {"id": task_id, "name": name, "size": size, "mode": mode, "overlap": 0, **STAMPS, "subset": "default"}
    )
    _filled(task, {"start_frame": 0, "stop_frame": size - 1, "frame_filter": ""})
    segment = ET.SubElement(ET.SubElement(task, "segments"), "segment")
    url = f"http://localhost:8080/api/jobs/{task_id}"
    _filled(segment, {"id": task_id, "start": 0, "stop": size - 1, "url": url})
    _filled(ET.SubElement(task, "owner"), {"username": "labeller", "email": "labeller@example.com"})
    _filled(task, {"assignee": ""})


def _describe_labels(parent: ET.Element, labels: Iterable[str]) -> None:
    described = ET.SubElement(parent, "labels")
    for name, colour in zip(labels, COLOURS, strict=False):
        label = _filled(ET.SubElement(described, "label"), {"name": name, "color": colour, "type": "any"})
        attributes = ET.SubElement(label, "attributes")
        attribute, values = LABELS.get(name, PART_ATTRIBUTE)
        _filled(
            ET.SubElement(attributes, "attribute"),
            {"name": attribute, "mutable": "False", "input_type": "select", "default_value": values[0]}
            | {"values": "\n".join(values)},
        )


def _filled(element: ET.Element, texts: Mapping[str, str | int]) -> ET.Element:
    for tag, text in texts.items():
        ET.SubElement(element, tag).text = str(text)
    return element


def _with_attributes(shape: ET.Element, attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        ET.SubElement(shape, "attribute", {"name": name}).text = value


def _write_zip(path: Path, root: ET.Element, images: Iterable[tuple[str, bytes]]) -> None:
    ET.indent(root)
    xml = ET.tostring(root, encoding="utf-8", xml_declaration=True, short_empty_elements=False)
    with whole_output(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, data in images:
            archive.writestr(zipfile.ZipInfo(f"images/{name}", ZIP_TIME), data)
        annotations = zipfile.ZipInfo("annotations.xml", ZIP_TIME)
        archive.writestr(annotations, xml, compress_type=zipfile.ZIP_DEFLATED)
