"""parse: crowds of COCO and difficult objects of Pascal VOC are told from objects, and the ledger says why."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.tables import CROWD, DIFFICULT
from tests.fixtures.parse import Parsed, export_of, run

POLYGON = {"segmentation": [[20, 10, 60, 10, 60, 30, 20, 30]], "iscrowd": 0}
BOX = {"iscrowd": 0}
MASK = {"segmentation": {"size": [80, 100], "counts": [0, 8000]}, "iscrowd": 0}
CROWD_MASK = MASK | {"iscrowd": 1}
CROWD_BOX = {"iscrowd": 1}


def coco(*annotations: dict[str, Any], image: str = "a.jpg") -> str:
    defaults = {"image_id": 1, "category_id": 1, "bbox": [20, 10, 40, 20]}
    return json.dumps(
        {
            "images": [{"id": 1, "file_name": image, "width": 100, "height": 80}],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [{"id": number} | defaults | one for number, one in enumerate(annotations, start=1)],
        }
    )


def of_cvat(annotation: dict[str, Any]) -> dict[str, Any]:
    return annotation | {"attributes": {"occluded": False}}


def ignored_in(parsed: Parsed) -> list[str | None]:
    return [why if isinstance(why, str) else None for why in parsed.objects["ignored"]]


@pytest.mark.parametrize(
    ("annotations", "ignored"),
    [
        ([POLYGON, CROWD_MASK], [None, CROWD]),
        ([BOX, CROWD_MASK], [None, CROWD]),
        ([MASK, CROWD_MASK], [None, CROWD]),
        ([of_cvat(MASK), of_cvat(CROWD_MASK)], [None, CROWD]),
        ([BOX, CROWD_BOX], [None, CROWD]),
        ([CROWD_BOX], [CROWD]),
        ([of_cvat(CROWD_BOX), of_cvat(CROWD_MASK)], [CROWD, CROWD]),
        ([CROWD_MASK, CROWD_MASK], [None, None]),
        ([of_cvat(POLYGON), of_cvat(BOX), of_cvat(CROWD_MASK)], [None, None, None]),
        ([BOX | {"ignore": 1}, BOX | {"ignore": 0}], [DIFFICULT, None]),
    ],
    ids=[
        "beside polygons, as in COCO",
        "beside boxes",
        "beside masks",
        "beside masks with CVAT's attributes",
        "boxes beside boxes",
        "boxes alone",
        "boxes too, with CVAT's attributes",
        "masks alone",
        "CVAT's masks beside its polygons",
        "ignore in place of iscrowd",
    ],
)
def test_crowds_are_told_from_the_masks_of_cvat(
    tmp_path: Path, annotations: list[dict[str, Any]], ignored: list[str | None]
) -> None:
    parsed = run(export_of(tmp_path, {"annotations/instances_default.json": coco(*annotations)}))
    assert ignored_in(parsed) == ignored
    why = {CROWD: ignored.count(CROWD), DIFFICULT: ignored.count(DIFFICULT)}
    assert parsed.ledger.ignored == {reason: count for reason, count in why.items() if count}
    assert parsed.ledger.objects.dropped == 0


def test_subsets_of_an_export_are_judged_together(tmp_path: Path) -> None:
    files = {
        "annotations/instances_train.json": coco(POLYGON, image="a.jpg"),
        "annotations/instances_val.json": coco(CROWD_MASK, image="b.jpg"),
    }
    (tmp_path / "raw").mkdir()
    parsed = run(export_of(tmp_path, files))
    assert sorted(ignored_in(parsed), key=str) == [None, CROWD]


@pytest.mark.parametrize(
    ("wanted", "annotations", "ignored", "note"),
    [
        ("auto", [POLYGON, CROWD_MASK], [None, CROWD], "1 of 2 annotations are marked iscrowd: they are crowds"),
        ("auto", [of_cvat(CROWD_MASK)], [None], "every mask and nothing else, as CVAT writes masks"),
        ("count", [POLYGON, CROWD_MASK], [None, None], "parse.crowd_and_difficult is count"),
        ("ignore", [of_cvat(CROWD_MASK)], [CROWD], "parse.crowd_and_difficult is ignore"),
    ],
)
def test_param_decides_and_the_ledger_says_why(
    tmp_path: Path, wanted: str, annotations: list[dict[str, Any]], ignored: list[str | None], note: str
) -> None:
    raw = export_of(tmp_path, {"annotations/instances_default.json": coco(*annotations)})
    parsed = run(raw, crowd_and_difficult=wanted)
    assert ignored_in(parsed) == ignored
    (export,) = parsed.ledger.exports.values()
    assert [note in text for text in export.notes] == [True]


@pytest.mark.parametrize(
    ("wanted", "mark", "ignored"),
    [
        ("auto", "1", DIFFICULT),
        ("auto", "True", DIFFICULT),
        ("auto", "0", None),
        ("auto", "", None),
        ("ignore", "1", DIFFICULT),
        ("count", "1", None),
    ],
)
def test_difficult_objects_of_voc_are_ignored(tmp_path: Path, wanted: str, mark: str, ignored: str | None) -> None:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    objects = "".join(
        f"<object><name>car</name>{given}{box}</object>" for given in (f"<difficult>{mark}</difficult>", "")
    )
    text = f"<annotation><filename>a.jpg</filename>{objects}</annotation>"
    parsed = run(export_of(tmp_path, {"Annotations/a.xml": text, "JPEGImages/a.jpg": ""}), crowd_and_difficult=wanted)
    assert ignored_in(parsed) == [ignored, None]
    assert parsed.ledger.ignored == ({DIFFICULT: 1} if ignored else {})
