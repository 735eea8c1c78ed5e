"""YOLO label files in their several layouts."""

from pathlib import Path

import pytest

from tasks.formats.labelled_image import NOT_NUMBERS, LabelledImage, LabelledObject, Origin
from tasks.formats.yolo import LINE_UNKNOWN, NO_SUCH_CLASS, NOT_FRACTIONS, SCORE_AT_END, yolo_to_labels
from tasks.formats.yolo_entries import YoloEntry
from tasks.formats.yolo_layout import YoloLayout, read_data_yaml, read_obj_data
from tests.fixtures.parse import objects_of

EXPORT = Origin("export", "export")


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def read_line(folder: Path, line: str, numbers_per_point: int | None = None) -> LabelledObject:
    write(folder, {"x.txt": line})
    layout = YoloLayout({0: "car", 2: "bus"}, numbers_per_point, [YoloEntry("x.jpg", "train", folder / "x.txt")])
    return objects_of(next(yolo_to_labels(layout, EXPORT, folder)))[0]


def layout_of(path: Path, export: Path | None = None) -> YoloLayout:
    layout = read_data_yaml(path, export or path.parent)
    assert layout is not None
    return layout


def summary(images: list[LabelledImage]) -> list[tuple[str, str | None, int]]:
    return [(found.name, found.subset, len(found.objects)) for found in images]


@pytest.mark.parametrize(
    ("line", "numbers_per_point", "shape", "box"),
    [
        ("2 0.5 0.5 0.2 0.4", None, "box", (0.4, 0.3, 0.6, 0.7)),
        ("2 0.1 0.2 0.3 0.2 0.2 0.9", None, "polygon", (0.1, 0.2, 0.3, 0.9)),
        ("2 0.1 0.2 0.3 0.1 0.4 0.5 0.2 0.6", None, "polygon", (0.1, 0.1, 0.4, 0.6)),
        ("2 0.5 0.5 0.2 0.4 0.1 0.2 2 0.3 0.4 0", 3, "skeleton", (0.4, 0.3, 0.6, 0.7)),
        ("2 0.5 0.5 0.2 0.4 0.1 0.2 0.3 0.4", 2, "skeleton", (0.4, 0.3, 0.6, 0.7)),
    ],
    ids=["detection", "segmentation", "oriented box", "pose", "pose of two numbers per point"],
)
def test_line_becomes_its_box(
    tmp_path: Path, line: str, numbers_per_point: int | None, shape: str, box: tuple[float, float, float, float]
) -> None:
    found = read_line(tmp_path, line, numbers_per_point)
    assert (found.label, found.shape, found.details.refused) == ("bus", shape, None)
    assert found[2:6] == pytest.approx(box)


def test_hidden_points_of_a_pose_are_left_out(tmp_path: Path) -> None:
    assert read_line(tmp_path, "2 0.5 0.5 0.2 0.4 0.1 0.2 2 0.3 0.4 0", 3).details.points == [(0.1, 0.2)]


@pytest.mark.parametrize(
    ("line", "label", "reason"),
    [
        ("7 0.5 0.5 0.2 0.4", "class 7", NO_SUCH_CLASS),
        ("x 0.5 0.5 0.2 0.4", "class x", NOT_NUMBERS),
        ("2 0.5 nan 0.2 0.4", "bus", NOT_NUMBERS),
        ("2 0.5 half 0.2 0.4", "bus", NOT_NUMBERS),
        ("2 0.5 0.5 0.2", "bus", LINE_UNKNOWN),
        ("2 0.5 0.5 0.2 0.4 0.93", "bus", SCORE_AT_END),
        ("2 0.5 0.5 0.2 0.4 1.0", "bus", SCORE_AT_END),
        ("2 0.5 0.5 0.2 0.4 car", "bus", NOT_NUMBERS),
        ("2 0.1 0.2 0.3 0.1 0.4 0.5 0.2 0.6 0.93", "bus", SCORE_AT_END),
        ("2 48 36 40 20", "bus", NOT_FRACTIONS),
        ("2 50 50 20.5 20", "bus", NOT_FRACTIONS),
        ("2 10 20 30 20 20 90", "bus", NOT_FRACTIONS),
        ("2 0.5 0.5 0.2 inf", "bus", NOT_NUMBERS),
        ("2", "bus", LINE_UNKNOWN),
    ],
)
def test_line_without_a_box_says_why(tmp_path: Path, line: str, label: str, reason: str) -> None:
    found = read_line(tmp_path, line)
    assert (found.label, found.details.refused) == (label, reason)


def reasons(folder: Path, text: str, numbers_per_point: int | None = None) -> list[str | None]:
    write(folder, {"x.txt": text})
    layout = YoloLayout({0: "car"}, numbers_per_point, [YoloEntry("x.jpg", "train", folder / "x.txt")])
    return [found.details.refused for found in objects_of(next(yolo_to_labels(layout, EXPORT, folder)))]


@pytest.mark.parametrize(
    ("text", "numbers_per_point", "expected"),
    [
        ("0 .5 .5 .2 .2 0.87\n0 .2 .2 .1 .1 1\n0 .8 .8 .1 .1 0\n", None, [SCORE_AT_END] * 3),
        ("0 .5 .5 .2 .2 3\n0 .2 .2 .1 .1 1\n0 .8 .8 .1 .1\n", None, [None] * 3),
        ("0 .5 .5 .2 .2 0.5\n0 .2 .2 .1 .1\n", None, [SCORE_AT_END, None]),
        ("0 .5 .5 .2 .2 .1 .2 2 0.5\n0 .5 .5 .2 .2 .1 .2 2 1\n", 3, [SCORE_AT_END] * 2),
        ("0 48 36 40 20\n0 1 1 2 2\n0 .5 .5 .1 .1\n", None, [NOT_FRACTIONS, NOT_FRACTIONS, None]),
        ("0 .5 .5 .2 .2 .1 .2 2\n", 3, [None]),
        ("0 1.01 .5 .2 .2\n", None, [None]),
    ],
    ids=["scores", "tracks", "scores and boxes", "poses", "pixels", "visibility", "over the border"],
)
def test_rows_of_a_file_are_treated_alike(
    tmp_path: Path, text: str, numbers_per_point: int | None, expected: list[str | None]
) -> None:
    assert reasons(tmp_path, text, numbers_per_point) == expected


LABELS = {"labels/train/1.txt": "0 .5 .5 .2 .4\n", "images/train/1.jpg": "", "images/train/2.jpg": ""}
CAR = "names: [car]\n"


@pytest.mark.parametrize(
    ("data", "files"),
    [
        ("path: .\ntrain: images/train\n" + CAR, {}),
        ("path: /home/somebody/data\ntrain: ./images/train\nnames:\n  0: car\n", {}),
        ("train: [images/train/1.jpg, images/train/2.jpg]\n" + CAR, {}),
        ("train: [images/train]\nval:\ntest: images/test\n" + CAR, {}),
        ("train: train.txt\n" + CAR, {"train.txt": "data/images/train/1.jpg\n./images/train/2.jpg\n\n"}),
        ("train: data/train.txt\n" + CAR, {"train.txt": "images/train/1.jpg\nimages/train/2.jpg"}),
    ],
    ids=[
        "folder",
        "path of another machine",
        "list of images",
        "list of folders",
        "text file",
        "text file below data/",
    ],
)
def test_ultralytics_layouts_say_the_same(tmp_path: Path, data: str, files: dict[str, str]) -> None:
    write(tmp_path, LABELS | files | {"data.yaml": data})
    images = list(yolo_to_labels(layout_of(tmp_path / "data.yaml"), EXPORT, tmp_path))
    assert summary(images) == [("1.jpg", "train", 1), ("2.jpg", "train", 0)]


def test_labels_whose_images_did_not_come_along_are_read(tmp_path: Path) -> None:
    write(tmp_path, {"labels/Train/cam1/1.txt": "0 .5 .5 .2 .4\n", "data.yaml": "Train: images/Train\n" + CAR})
    images = list(yolo_to_labels(layout_of(tmp_path / "data.yaml"), EXPORT, tmp_path))
    assert summary(images) == [("cam1/1", "Train", 1)]


def test_layout_with_subsets_on_top_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"train/images/a.jpg": "", "train/labels/a.txt": "0 .5 .5 .2 .4\n",
                     "data.yaml": "train: ../train/images\nnc: 1\n" + CAR})  # fmt: skip
    images = list(yolo_to_labels(layout_of(tmp_path / "data.yaml"), EXPORT, tmp_path))
    assert summary(images) == [("a.jpg", "train", 1)]


def test_images_that_share_a_label_file_are_noted(tmp_path: Path) -> None:
    write(tmp_path, LABELS | {"images/train/1.jpeg": "", "data.yaml": "train: images/train\n" + CAR})
    assert layout_of(tmp_path / "data.yaml").notes == [
        "1 label files belong to several images of one stem, each got all objects: 1.txt"
    ]


def test_missing_subset_is_noted(tmp_path: Path) -> None:
    write(tmp_path, LABELS | {"data.yaml": "train: images/train\nval: images/val\nauthor: me\n" + CAR})
    assert layout_of(tmp_path / "data.yaml").notes == ["subset val: images/val does not exist"]


def test_label_files_outside_of_the_export_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"secret.txt": "0 .5 .5 .2 .4\n", "export/data.yaml": "train: [../secret.jpg]\n" + CAR})
    images = list(yolo_to_labels(layout_of(tmp_path / "export/data.yaml"), EXPORT, tmp_path))
    assert summary(images) == [("../secret.jpg", "train", 0)]


def test_yolo_1_1_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "obj.data": "classes = 1\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n",
            "obj.names": "car\n",
            "train.txt": "data/obj_train_data/cam1/1.jpg\n",
            "valid.txt": "data/obj_valid_data/2.jpg\n",
            "obj_train_data/cam1/1.txt": "0 .5 .5 .2 .4\n",
        },
    )
    images = list(yolo_to_labels(read_obj_data(tmp_path / "obj.data"), EXPORT, tmp_path))
    assert summary(images) == [("cam1/1.jpg", "train", 1), ("2.jpg", "valid", 0)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: images\nnames: [a]", True),
        ("names: [a]", False),
        ("train: images", False),
        ("- 1", False),
        ("a: [", False),
        ("", False),
    ],
)
def test_data_yaml_is_told_from_other_yaml(tmp_path: Path, text: str, *, expected: bool) -> None:
    write(tmp_path, {"data.yaml": text})
    assert (read_data_yaml(tmp_path / "data.yaml", tmp_path) is not None) is expected
