"""parse: YOLO exports as CVAT, Roboflow, darknet and people write them."""

from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.formats.yolo import SCORE_AT_END
from tests.fixtures.cvat import BOX, document, image
from tests.fixtures.parse import Parsed, export_of, run

NAMES = "names: [car]\n"
LINE = "0 .5 .5 .2 .4\n"


def found_in(parsed: Parsed) -> list[tuple[str, str, str, int]]:
    """Name, subset, file and number of objects of each image."""
    counts = parsed.objects["image_id"].value_counts()
    return sorted(
        (row["name"], row["subset"], row["file"].removeprefix("raw/"), int(counts.get(row["image_id"], 0)))
        for row in parsed.images.to_dict("records")
    )


def test_objects_of_cvats_track_format_keep_their_tracks(tmp_path: Path) -> None:
    raw = export_of(
        tmp_path,
        {
            "data.yaml": "train: images\n" + NAMES,
            "images/1.jpg": "1",
            "images/2.jpg": "2",
            "labels/1.txt": "0 .5 .5 .2 .4 17\n0 .5 .5 .1 .1\n0.0 .5 .5 .1 .1\n",
            "labels/2.txt": "0 .5 .5 .2 .4 17\n0 .5 .5 .2 .4 0.9\n",
            "images/3.jpg": "3",
            "labels/3.txt": "0 .5 .5 .2 .4 1\n",
        },
    )
    parsed = run(raw)
    assert parsed.objects["track_id"].fillna("").tolist() == ["17", "", ""]
    assert parsed.ledger.dropped == {SCORE_AT_END: 3}


@pytest.mark.parametrize(
    "files",
    [
        {
            "data.yaml": "train: train.txt\n" + NAMES,
            "train.txt": "/content/ds/images/train/a.jpg",
            "images/train/a.jpg": "",
            "labels/train/a.txt": LINE,
        },
        {
            "obj.data": "train = train.txt\nnames = obj.names",
            "obj.names": "car",
            "train.txt": "build/darknet/x64/data/obj/a.jpg",
            "obj/a.jpg": "",
            "obj/a.txt": LINE,
        },
        {
            "data.yaml": "train: /content/ds/train/images\n" + NAMES,
            "train/images/a.jpg": "",
            "train/labels/a.txt": LINE,
        },
        {"one/data.yaml": "path: ..\ntrain: images\n" + NAMES, "one/images/a.jpg": "", "one/labels/a.txt": LINE},
        {"cfg/data.yaml": "path: ..\ntrain: images\n" + NAMES, "images/a.jpg": "", "labels/a.txt": LINE},
        {
            "data.yaml": f"exported: 2026-02-30\ndescription: {'our cats ' * 60}\ntrain: images\n" + NAMES,
            "images/a.jpg": "",
            "labels/a.txt": LINE,
        },
        {
            "obj.data": "train = train.txt\nnames = obj.names",
            "obj.names": "\ufeffcar",
            "train.txt": "obj/a.jpg",
            "obj/a.jpg": "",
            "obj/a.txt": LINE,
        },
    ],
    ids=[
        "list of another machine",
        "list of darknet",
        "folder of another machine",
        "wrong path",
        "path above",
        "odd date and long text",
        "byte order mark",
    ],
)
def test_labels_are_found_whatever_the_exporting_machine_called_them(tmp_path: Path, files: dict[str, str]) -> None:
    parsed = run(export_of(tmp_path, files))
    assert parsed.objects["label"].tolist() == ["car"]
    assert parsed.images["readable"].tolist() == [True]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"data.yaml": "train: ../elsewhere\n" + NAMES}, "neither an image nor a label file is where the export says"),
        ({"data.yaml": "train: [x.jpg]\n" + NAMES}, "neither an image nor a label file is where the export says"),
        ({"data.yaml": "path: /etc\ntrain: .\n" + NAMES}, "neither an image nor a label file"),
        ({"data.yaml": "train: images\n" + NAMES + f"x: {'[' * 3000}"}, "YAML cannot be read"),
    ],
    ids=["no such folder", "no such image", "outside", "deep"],
)
def test_export_of_which_nothing_can_be_read_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        run(export_of(tmp_path, files | {"other/annotations.xml": document(image("b.jpg", BOX))}))


@pytest.mark.parametrize("name", ["obj.names", "obj/a.txt", "train.txt", "obj.data"])
def test_text_that_is_not_utf_8_is_named(tmp_path: Path, name: str) -> None:
    files = {
        "obj.data": "train = train.txt\nnames = obj.names",
        "obj.names": "car",
        "train.txt": "obj/a.jpg",
        "obj/a.jpg": "",
        "obj/a.txt": LINE,
    }
    raw = export_of(tmp_path, files)
    (raw / "export" / name).write_bytes((raw / "export" / name).read_bytes() + b"\ncaf\xe9 = 1\n")
    with pytest.raises(PipelineError, match=rf"(?s)text is not UTF-8: .*{name}: .*Save it as UTF-8"):
        run(raw)


def test_nothing_outside_of_the_export_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret" / "docs" / "key.txt"
    secret.parent.mkdir(parents=True)
    secret.write_text("password 1 2 3 4")
    path = f"path: {tmp_path}/secret\ntrain: docs\nval: images\n"
    parsed = run(export_of(tmp_path, {"data.yaml": path + NAMES, "images/a.jpg": "", "labels/a.txt": LINE}))
    assert parsed.ledger.labels.keys() == {"car"}


def test_yaml_that_names_things_hides_no_other_labels(tmp_path: Path) -> None:
    files = {"x.yaml": "names: [cats]\ndescription: our cats\n", "task1/annotations.xml": document(image("b.jpg", BOX))}
    assert run(export_of(tmp_path, files)).images["name"].tolist() == ["b.jpg"]


def test_subsets_with_images_of_one_name_keep_their_own(tmp_path: Path) -> None:
    files = {"data.yaml": "train: ../train/images\nval: ../valid/images\n" + NAMES}
    for folder, lines in (("train", LINE), ("valid", LINE * 2)):
        files |= {f"{folder}/images/1.jpg": folder, f"{folder}/labels/1.txt": lines}
    assert found_in(run(export_of(tmp_path, files))) == [
        ("1.jpg", "train", "export/train/images/1.jpg", 1),
        ("1.jpg", "val", "export/valid/images/1.jpg", 2),
    ]


def test_folders_of_one_subset_with_images_of_one_name_keep_apart(tmp_path: Path) -> None:
    files = {"data.yaml": "train: [siteA/images, siteB/images]\n" + NAMES, "siteA/images/2.jpg": "2"}
    for folder, lines in (("siteA", LINE), ("siteB", LINE * 2)):
        files |= {f"{folder}/images/1.jpg": folder, f"{folder}/labels/1.txt": lines}
    assert found_in(run(export_of(tmp_path, files))) == [
        ("2.jpg", "train", "export/siteA/images/2.jpg", 0),
        ("siteA/images/1.jpg", "train", "export/siteA/images/1.jpg", 1),
        ("siteB/images/1.jpg", "train", "export/siteB/images/1.jpg", 2),
    ]


def test_images_of_several_subsets_count_once(tmp_path: Path) -> None:
    files = {"data.yaml": "train: images\nval: images\n" + NAMES, "images/1.jpg": "", "labels/1.txt": LINE}
    parsed = run(export_of(tmp_path, files))
    assert found_in(parsed) == [("1.jpg", "train", "export/images/1.jpg", 1)]
    assert parsed.ledger.exports["export"].notes == [
        "1 images are listed again, only the first time counts: images/1.jpg (val)"
    ]


def test_what_is_neither_image_nor_label_of_a_subset_is_none(tmp_path: Path) -> None:
    files = {
        "data.yaml": "train: images\npreview: preview.jpg\nlicense: LICENSE.txt\n" + NAMES,
        "images/1.jpg": "",
        "labels/classes.txt": "car",
        "labels/1.txt": LINE,
        "preview.jpg": "",
        "LICENSE.txt": "1 2 3 4",
    }
    parsed = run(export_of(tmp_path, files))
    assert found_in(parsed) == [("1.jpg", "train", "export/images/1.jpg", 1)]
    assert parsed.ledger.objects.dropped == 0


def test_labels_that_are_not_read_and_images_without_labels_are_noted(tmp_path: Path) -> None:
    files = {
        "data.yaml": "train: train.txt\n" + NAMES,
        "train.txt": "images/1.jpg\nimages/2.jpg\n",
        "images/1.jpg": "",
        "images/2.jpg": "",
        "labels/1.txt": LINE,
        "labels/3.txt": LINE,
    }
    assert run(export_of(tmp_path, files)).ledger.exports["export"].notes == [
        "1 listed images have no label file, nothing is labelled on them: images/2.jpg",
        "1 label files belong to no image of a subset and are not read: labels/3.txt",
    ]
