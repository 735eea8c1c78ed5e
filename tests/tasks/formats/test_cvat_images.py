"""CVAT for images."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.formats.cvat_images import cvat_images_to_labels
from tasks.formats.cvat_meta import read_meta
from tasks.formats.labelled_image import LabelledImage, LabelledObject, Origin, TextBox
from tests.fixtures.cvat import BOX, box, document, image, write
from tests.fixtures.parse import objects_of

EXPORT = Origin(identity="export", title="export")


def read(path: Path) -> Iterator[LabelledImage]:
    return cvat_images_to_labels(path, read_meta(path), EXPORT, "ledger")


def test_images_come_with_their_shapes_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", document(image("b.jpg", BOX, box("bus")), image("a.jpg"), image("c.jpg", BOX)))
    assert [(found.name, [labelled[0] for labelled in found.objects]) for found in read(path)] == [
        ("b.jpg", ["car", "bus"]),
        ("a.jpg", []),
        ("c.jpg", ["car"]),
    ]


def test_names_come_as_they_were_before_escaping(tmp_path: Path) -> None:
    names = ["тест/ü & <1>.jpg", 'quo"te.png', "no ending", "back\\slash.jpg"]
    path = write(tmp_path / "a.xml", document(*map(image, names)))
    assert [found.name for found in read(path)] == names


def test_attributes_may_hold_any_text(tmp_path: Path) -> None:
    shape = BOX.replace(
        "/>", '><attribute name="a">x &lt; y</attribute><attribute name="b"> </attribute><attribute name="c"/></box>'
    )
    path = write(tmp_path / "a.xml", document(image("a.jpg", shape, BOX)))
    first, second = objects_of(next(read(path)))
    assert first.details.attributes == {"a": "x < y", "b": " ", "c": ""}
    assert second.details.attributes is None


def test_skeleton_is_one_object_whatever_its_points_are_called(tmp_path: Path) -> None:
    skeleton = """<skeleton label="person" source="manual" z_order="2">
        <points label="nose" outside="0" occluded="0" points="5,6"><attribute name="seen">yes</attribute></points>
        <points label="skeleton" outside="0" occluded="0" points="9,1"/>
        <attribute name="age">7</attribute></skeleton>"""
    path = write(tmp_path / "a.xml", document(image("a.jpg", skeleton, BOX)))
    person, car = objects_of(next(read(path)))
    assert (person.shape, person[2:6], car[0]) == ("skeleton", (5, 1, 9, 6), "car")
    assert person.details.attributes == {"seen": "yes", "age": "7"}


def test_image_belongs_to_its_task_and_subset(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", document(image("a.jpg", more='subset="Train" task_id="39"'), meta=""))
    found = next(read(path))
    assert (found.subset, found.origin.task_id, found.origin.identity) == ("Train", "39", "export")


def test_many_images_are_taken_piece_by_piece(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", document(*(image(f"{number}.jpg", BOX) for number in range(2_000))))
    images = read(path)
    first = next(images)
    assert (first.name, len(list(images))) == ("0.jpg", 1_999)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
@pytest.mark.parametrize(
    "shape", [BOX, box(more='rotation="30"'), '<box label="car" xtl="1" ytl="2" xbr="3" ybr="4"/>']
)
def test_files_without_attributes_are_read_like_those_with(tmp_path: Path, encoding: str, shape: str) -> None:
    images = [image("ä.jpg", shape, '<polygon label="car" points="1,2;5,1;4,9"/>'), image("b.jpg"), image("c.jpg", BOX)]
    flat = document(*images).replace('encoding="utf-8"', f'encoding="{encoding.removesuffix("-sig")}"')
    nested = flat.replace(
        "</annotations>", image("d.jpg", BOX.replace("/>", "><attribute name='x'/></box>")) + "</annotations>"
    )
    read_both = []
    for text in (flat, nested):
        (tmp_path / "a.xml").write_bytes(text.encode(encoding))
        read_both.append(
            [(found.name, [as_read(labelled) for labelled in found.objects]) for found in read(tmp_path / "a.xml")]
        )
    assert read_both[0] == read_both[1][:-1]
    assert [(name, len(objects)) for name, objects in read_both[0]] == [("ä.jpg", 2), ("b.jpg", 0), ("c.jpg", 1)]


def as_read(labelled: LabelledObject | TextBox) -> LabelledObject:
    if isinstance(labelled, LabelledObject):
        return labelled
    label, x_min, y_min, x_max, y_max, occluded, z_order, source = labelled
    box_xyxy = (float(x_min), float(y_min), float(x_max), float(y_max))
    return LabelledObject(label, "box", *box_xyxy, occluded == "1", int(z_order), source)
