"""Pascal VOC."""

import math
from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.formats.labelled_image import DELETED, NOT_NUMBERS, LabelledImage, Origin
from tasks.formats.voc import voc_labels, voc_notes, voc_to_labels
from tests.fixtures.parse import objects_of

OBJECT = """<object><name>car</name><pose>Left</pose><truncated>{truncated}</truncated><occluded>1</occluded>
<difficult>0</difficult><bndbox><xmin>{x}</xmin><ymin>2.5</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
<part><name>wheel</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
<attributes><attribute><name>rotation</name><value>{rotation}</value></attribute>
<attribute><name>lane</name><value>2</value></attribute></attributes></object>"""


def annotation(name: str, *, x: str = "10", truncated: int = 0, rotation: float = 0) -> str:
    one = OBJECT.format(x=x, truncated=truncated, rotation=rotation)
    return (
        f"<annotation><filename>{name}</filename><size><width>100</width><height>80</height></size>{one}</annotation>"
    )


def read(folder: Path, files: dict[str, str]) -> list[LabelledImage]:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return list(voc_to_labels(folder, Origin("export", "export"), folder))


def test_image_comes_with_size_subset_and_objects(tmp_path: Path) -> None:
    files = {"Annotations/a.xml": annotation("a.jpg", truncated=1), "ImageSets/Main/train.txt": "a\nb\n"}
    first, second = read(tmp_path, files)
    assert (first.name, first.width, first.height, first.subset) == ("a.jpg", 100, 80, "train")
    found = objects_of(first)[0]
    assert (found.label, found.shape, found[2:6], found.occluded) == ("car", "box", (10, 2.5, 30, 40), True)
    assert found.details.truncated
    assert found.details.attributes == {"pose": "Left", "difficult": "0", "lane": "2"}
    assert (second.name, second.subset, second.objects) == ("b", "train", [])


def test_rotated_box_becomes_its_hull(tmp_path: Path) -> None:
    found = objects_of(read(tmp_path, {"Annotations/a.xml": annotation("a.jpg", rotation=90)})[0])[0]
    assert (found.shape, found.details.rotation) == ("rotated_box", 90)
    assert found[2:6] == pytest.approx((1.25, 11.25, 38.75, 31.25))


ROTATED = "<type>robndbox</type><robndbox><cx>40</cx><cy>30</cy><w>30</w><h>10</h><angle>{}</angle></robndbox>"
CORNERS = "".join(
    f"<{axis}_{corner}>{number}</{axis}_{corner}>"
    for corner, x, y in (("left_top", 5, 9), ("right_top", 30, 2), ("right_bottom", 33, 8), ("left_bottom", 8, 15))
    for axis, number in (("x", x), ("y", y))
)
LABELME = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((5, 9), (30, 2), (33, 8)))
ROBOFLOW = "".join(f"<x{n}>{x}</x{n}><y{n}>{y}</y{n}>" for n, (x, y) in enumerate(((5, 9), (30, 2), (33, 8)), 1))
SEGM = "<segm><username>a</username><box><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></box></segm>"


@pytest.mark.parametrize(
    ("inside", "shape", "box"),
    [
        (ROTATED.format(0), "rotated_box", (25, 25, 55, 35)),
        (ROTATED.format(math.pi / 2), "rotated_box", (35, 15, 45, 45)),
        (ROTATED.format(0.5), "rotated_box", (24.4391, 18.4207, 55.5609, 41.5793)),
        (ROTATED.format(90), "rotated_box", (35, 15, 45, 45)),
        (f"<robndbox>{CORNERS}</robndbox>", "rotated_box", (5, 2, 33, 15)),
        (f"<polygon><username>me</username>{LABELME}</polygon>", "polygon", (5, 2, 33, 9)),
        (f"<type>bounding_box</type><polygon>{LABELME}</polygon>", "box", (5, 2, 33, 9)),
        (f"<polygon>{ROBOFLOW}</polygon>", "polygon", (5, 2, 33, 9)),
        (SEGM, "mask", (1, 2, 3, 4)),
        (f"<bndbox/><polygon>{ROBOFLOW}</polygon>", "polygon", (5, 2, 33, 9)),
    ],
    ids=[
        "upright", "quarter turn", "radians", "degrees", "corners", "LabelMe", "rectangle of LabelMe", "Roboflow",
        "mask of LabelMe", "empty bndbox",
    ],
)  # fmt: skip
def test_object_without_bndbox_gets_the_tight_box_of_what_it_has(
    tmp_path: Path, inside: str, shape: str, box: tuple[float, float, float, float]
) -> None:
    text = f"<annotation><filename>a.jpg</filename><object><name>car</name>{inside}</object></annotation>"
    found = objects_of(read(tmp_path, {"a.xml": text})[0])[0]
    assert (found.shape, found.details.refused) == (shape, None)
    assert found[2:6] == pytest.approx(box, abs=1e-4)


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("", "no bndbox, robndbox or polygon"),
        ("<circle><cx>1</cx></circle>", "no bndbox, robndbox or polygon, only circle"),
        ("<polygon><pt><x>1</x><y>?</y></pt></polygon>", NOT_NUMBERS),
        ("<robndbox><cx>1</cx><cy>nan</cy><w>1</w><h>1</h></robndbox>", NOT_NUMBERS),
        (f"<deleted>1</deleted>{SEGM}", DELETED),
    ],
    ids=["nothing", "circle", "no number", "NaN", "deleted"],
)
def test_object_without_a_box_says_what_it_has_instead(tmp_path: Path, inside: str, reason: str) -> None:
    text = f"<annotation><filename>a.jpg</filename><object><name>car</name>{inside}</object></annotation>"
    assert objects_of(read(tmp_path, {"a.xml": text})[0])[0].details.refused == reason


BNDBOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
OTHER_BNDBOX = BNDBOX.replace(">3<", ">9<")
CAR = f"<object><name>car</name>{BNDBOX}</object>"


def read_root(folder: Path, inside: str) -> LabelledImage:
    return read(folder, {"a.xml": f"<annotation><filename>a.jpg</filename>{inside}</annotation>"})[0]


@pytest.mark.parametrize(
    "inside",
    [
        f"<objects>{CAR}{CAR}</objects>",
        f"<object>{CAR}{CAR}</object>",
        f"{CAR}<more><objects>{CAR}</objects></more>",
        CAR.replace("object>", "Object>") + CAR,
        CAR.replace("object>", "OBJECT>").replace("name>", "Name>") * 2,
        CAR.replace("bndbox>", "BndBox>").replace("min>", "Min>") * 2,
        CAR.replace("<object>", '<object xmlns="http://x.org/a">') * 2,
        CAR.replace(BNDBOX, BNDBOX * 2) + CAR.replace("<name>car</name>", "<name>car</name><name>car</name>"),
    ],
    ids=[
        "objects", "object of objects", "deeper", "Object", "OBJECT and Name", "BndBox and xMin", "namespace",
        "the same said twice",
    ],
)  # fmt: skip
def test_object_is_read_wherever_and_in_whatever_case_it_stands(tmp_path: Path, inside: str) -> None:
    found = objects_of(read_root(tmp_path, inside))
    assert [(one.label, one[2:6], one.details.refused) for one in found] == [("car", (1, 2, 3, 4), None)] * 2


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        (CAR.replace(BNDBOX, BNDBOX + OTHER_BNDBOX), "several bndbox in one object"),
        (CAR.replace(BNDBOX, BNDBOX + OTHER_BNDBOX.replace("bndbox", "Bndbox")), "several bndbox in one object"),
        (CAR.replace("<xmax>3</xmax>", "<xmax>3</xmax><xmax>4</xmax>"), "several bndbox in one object"),
        (CAR.replace("<name>car</name>", "<name>car</name><name>bus</name>"), "several name in one object"),
        (f"<object><name>car</name>{f'<polygon>{LABELME}</polygon>' * 2}</object>", "several polygon in one object"),
        (CAR.replace("object>", "item>"), "it stands in <item>, not in <object>"),
        (f"<items>{CAR.replace('object>', 'item>')}</items>", "it stands in <item>, not in <object>"),
        (f"<name>car</name>{BNDBOX}", "it stands in <annotation>, not in <object>"),
    ],
    ids=[
        "two boxes", "two boxes, one in capitals", "a side twice", "two names", "two polygons", "item", "nested item",
        "root",
    ],
)  # fmt: skip
def test_object_that_is_not_certain_is_dropped_with_its_reason(tmp_path: Path, inside: str, reason: str) -> None:
    assert [one.details.refused for one in objects_of(read_root(tmp_path, inside))] == [reason]


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("<filename>b.jpg</filename>", r"several images in one file: a\.jpg, b\.jpg: .*a\.xml.*one file per image"),
        (f"<annotation><filename>b.jpg</filename>{CAR}</annotation>", r"several images in one file: .*a\.xml"),
    ],
    ids=["two file names", "annotation within"],
)
def test_file_of_several_images_is_named(tmp_path: Path, inside: str, said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        read_root(tmp_path, inside)


def test_parts_and_the_source_of_annotations_are_no_objects(tmp_path: Path) -> None:
    source = "<source><annotation>PASCAL VOC2007</annotation></source>"
    part = f"<part><name>wheel</name>{BNDBOX}</part>"
    assert len(read_root(tmp_path, source + CAR.replace("</object>", f"{part}</object>")).objects) == 1


def test_labelme_xml_gives_size_occlusion_and_attributes(tmp_path: Path) -> None:
    text = (
        "<annotation><filename>a.jpg</filename><imagesize><nrows>80</nrows><ncols>100</ncols></imagesize><object>"
        "<name>car</name><occluded>yes</occluded><attributes>colour=red, parked</attributes><parts><hasparts/></parts>"
        f"<polygon>{LABELME}</polygon></object></annotation>"
    )
    image = read(tmp_path, {"a.xml": text})[0]
    found = objects_of(image)[0]
    assert (image.width, image.height, found.occluded) == (100, 80, True)
    assert found.details.attributes == {"colour": "red", "parked": ""}


def test_coordinate_that_is_no_number_is_told(tmp_path: Path) -> None:
    images = read(tmp_path, {"Annotations/a.xml": annotation("a.jpg", x="?")})
    assert objects_of(images[0])[0].details.refused == NOT_NUMBERS


def test_narrower_subset_is_meant_and_lists_per_class_are_not(tmp_path: Path) -> None:
    lists = {
        "ImageSets/Main/trainval.txt": "a\n",
        "ImageSets/Main/val.txt": "a\n",
        "ImageSets/Main/car_val.txt": "b  1\n",
    }
    assert [
        (found.name, found.subset) for found in read(tmp_path, {"Annotations/a.xml": annotation("a.jpg")} | lists)
    ] == [("a.jpg", "val")]


def test_loose_files_are_read(tmp_path: Path) -> None:
    assert [found.name for found in read(tmp_path, {"b.xml": annotation("b.jpg"), "a.xml": annotation("a.jpg")})] == [
        "a.jpg",
        "b.jpg",
    ]


def test_other_xml_among_them_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"<annotations> is not Pascal VOC: .*b\.xml"):
        read(tmp_path, {"Annotations/b.xml": "<annotations/>"})


def test_labels_are_declared_by_the_label_map(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:128,0,0::\n")
    assert voc_labels(tmp_path) == ("car",)


def test_masks_that_are_not_read_are_noted(tmp_path: Path) -> None:
    (tmp_path / "SegmentationObject").mkdir()
    (tmp_path / "SegmentationObject" / "a.png").touch()
    assert voc_notes(tmp_path) == ["1 instance masks in SegmentationObject are not read, only boxes are"]
