"""CVAT for images."""

from collections.abc import Iterator
from pathlib import Path

from tasks.formats.cvat_images import cvat_images_to_labels
from tasks.formats.cvat_meta import read_meta
from tasks.formats.labels import LabelledImage, LabelledObject, Origin
from tests.cvat_fixture import BOX, box, document, image, write

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
    first, second = next(read(path)).objects
    assert isinstance(first, LabelledObject)
    assert first.details.attributes == {"a": "x < y", "b": " ", "c": ""}
    assert second == ("car", "10", "20", "30", "50", "0", "0", "manual")


def test_skeleton_is_one_object_whatever_its_points_are_called(tmp_path: Path) -> None:
    skeleton = """<skeleton label="person" source="manual" z_order="2">
        <points label="nose" outside="0" occluded="0" points="5,6"><attribute name="seen">yes</attribute></points>
        <points label="skeleton" outside="0" occluded="0" points="9,1"/>
        <attribute name="age">7</attribute></skeleton>"""
    path = write(tmp_path / "a.xml", document(image("a.jpg", skeleton, BOX)))
    person, car = next(read(path)).objects
    assert isinstance(person, LabelledObject)
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
