"""Finding image files by the names that label files give."""

import unicodedata
from pathlib import Path

import pytest

from tasks.parsing.resolve_images import Ambiguous, ImageFiles

NO_SUBSETS: frozenset[str] = frozenset()


def write_images(raw: Path, *paths: str) -> ImageFiles:
    for number, path in enumerate(paths):
        (raw / path).parent.mkdir(parents=True, exist_ok=True)
        (raw / path).write_bytes(b"picture %d" % number)
    return ImageFiles(raw, [])


@pytest.mark.parametrize(
    ("paths", "name", "subset", "expected"),
    [
        (["a/images/x.jpg"], "x.jpg", None, "a/images/x.jpg"),
        (["a/x.jpg"], "x.jpg", None, "a/x.jpg"),
        (["a/images/cam1/x.jpg", "a/images/cam2/x.jpg"], "cam2/x.jpg", None, "a/images/cam2/x.jpg"),
        (["a/images/cam1/x.jpg", "a/images/cam2/x.jpg"], "cam2\\x.jpg", None, "a/images/cam2/x.jpg"),
        (["a/images/default/x.jpg"], "x.jpg", "default", "a/images/default/x.jpg"),
        (["a/images/x.jpeg", "a/images/x.jpg"], "x.jpg", None, "a/images/x.jpg"),
        (["a/images/frame_000001.PNG"], "frame_000001", None, "a/images/frame_000001.PNG"),
        (["a/images/cam.1.png"], "cam.1", None, "a/images/cam.1.png"),
        (["a/images/über <&>.jpg"], "über <&>.jpg", None, "a/images/über <&>.jpg"),
        (["b/x.jpg", "a/images/x.jpg"], "x.jpg", None, "a/images/x.jpg"),
        (["b/data/cam1/x.jpg", "b/data/cam2/x.jpg"], "cam2/x.jpg", None, "b/data/cam2/x.jpg"),
        (["b/elsewhere/deep/x.jpg"], "cam2/x.jpg", None, "b/elsewhere/deep/x.jpg"),
        (["a/JPEGImages/x.jpg"], "x.jpg", None, "a/JPEGImages/x.jpg"),
        (["a/SegmentationClass/x.png", "a/JPEGImages/x.jpg"], "x", None, "a/JPEGImages/x.jpg"),
        (["a/images/y.jpg"], "x.jpg", None, None),
        (["a/images/x.png"], "x.jpg", None, "a/images/x.png"),
        (["a/images/x.jpg"], "../../x.jpg", None, "a/images/x.jpg"),
    ],
    ids=[
        "own images folder", "beside the labels", "sub-folder", "Windows path", "subset folder", "ending decides",
        "no ending", "dot but no ending", "any letters", "own export first", "another export by whole name",
        "another export by base name", "VOC folder", "mask of the same name", "missing", "other ending", "path upwards",
    ],
)  # fmt: skip
def test_image_is_found(tmp_path: Path, paths: list[str], name: str, subset: str | None, expected: str | None) -> None:
    assert write_images(tmp_path, *paths).find(["a"], name, subset, NO_SUBSETS) == expected


@pytest.mark.parametrize(
    ("paths", "name", "expected"),
    [
        (["a/Images/DSC_01.JPG"], "DSC_01.jpg", "a/Images/DSC_01.JPG"),
        (["b/dsc_01.JPEG"], "cam/DSC_01.jpg", "b/dsc_01.JPEG"),
        (["a/images/my photo.jpg"], "my%20photo.jpg", "a/images/my photo.jpg"),
        (["a/images/my%20photo.jpg"], "my photo.jpg", "a/images/my%20photo.jpg"),
        (["a/images/caf%C3%A9.jpg"], "café.jpg", "a/images/caf%C3%A9.jpg"),
        (["a/images/" + "车_01.jpg".encode("gbk").decode("cp437")], "车_01.jpg", None),
        (["a/images/" + "猫.jpg".encode("gbk").decode("utf-8")], "猫.jpg", None),
        (["a/images/" + "写真.jpg".encode("cp932").decode("cp437")], "写真.jpg", None),
        (["a/images/" + "фото/й.jpg".encode("cp866").decode("cp437")], "фото/й.jpg", None),
        (["a/images/x.avif"], "x.jpg", "a/images/x.avif"),
        (["a/images/cam1/X.jpg", "a/images/cam2/X.jpg"], "cam2/x.jpg", "a/images/cam2/X.jpg"),
        (["a/images/x.PNG", "a/images/x.JPG"], "x.jpg", "a/images/x.JPG"),
        (["a/images/x.PNG", "a/images/x.bmp"], "x.jpg", Ambiguous(("a/images/x.PNG", "a/images/x.bmp"))),
        (["a/images/X.jpg", "a/images/x.JPG"], "x.jpg", Ambiguous(("a/images/X.jpg", "a/images/x.JPG"))),
        (["b/x.png"], "x.jpg", Ambiguous(("b/x.png",))),
        (["b/frame_000001.png"], "frame_000001.jpg", None),
        (["a/masks/x.png"], "x.jpg", None),
    ],
    ids=[
        "case", "case and base name elsewhere", "percent in the label", "percent in the file", "percent of UTF-8",
        "zip in GBK", "zip in GBK read as UTF-8", "zip in Shift JIS", "zip in Cyrillic", "AVIF",
        "case in folders", "nearer ending",
        "several endings", "several cases", "other ending elsewhere", "frame of another video", "mask",
    ],
)  # fmt: skip
def test_the_only_file_of_nearly_that_name_is_found(
    tmp_path: Path, paths: list[str], name: str, expected: str | Ambiguous | None
) -> None:
    is_zip_name = expected is None and not name.isascii()
    assert write_images(tmp_path, *paths).find(["a"], name, None, NO_SUBSETS) == (paths[0] if is_zip_name else expected)


def test_same_name_in_three_subsets_goes_to_its_own(tmp_path: Path) -> None:
    files = write_images(tmp_path, "a/images/Train/x.jpg", "a/images/Test/x.jpg")
    subsets = frozenset({"Train", "Test", "Validation"})
    assert files.find(["a"], "x.jpg", "Test", subsets) == "a/images/Test/x.jpg"
    assert files.find(["a"], "x.jpg", "Validation", subsets) is None


def test_several_pictures_of_one_name_are_ambiguous(tmp_path: Path) -> None:
    found = write_images(tmp_path, "b/x.jpg", "c/x.jpg").find(["a"], "x.jpg", None, NO_SUBSETS)
    assert found == Ambiguous(("b/x.jpg", "c/x.jpg"))


def test_copies_of_one_picture_are_not_ambiguous(tmp_path: Path) -> None:
    write_images(tmp_path, "b/x.jpg", "c/x.jpg")
    (tmp_path / "c/x.jpg").write_bytes((tmp_path / "b/x.jpg").read_bytes())
    assert ImageFiles(tmp_path, []).find(["a"], "x.jpg", None, NO_SUBSETS) == "b/x.jpg"


def test_name_decomposed_by_an_archive_is_found(tmp_path: Path) -> None:
    files = write_images(tmp_path, "a/images/" + unicodedata.normalize("NFD", "é.jpg"))
    assert files.find(["a"], "é.jpg", None, NO_SUBSETS) is not None


def test_frame_is_not_taken_from_another_video(tmp_path: Path) -> None:
    write_images(tmp_path, "video/images/frame_000001.png")
    files = ImageFiles(tmp_path, ["video"])
    assert files.find(["other"], "frame_000001", None, NO_SUBSETS) is None
    assert files.find(["video"], "frame_000001", None, NO_SUBSETS) == "video/images/frame_000001.png"


def test_frame_is_taken_from_a_folder_of_loose_images(tmp_path: Path) -> None:
    write_images(tmp_path, "loose/frame_000001.png")
    assert ImageFiles(tmp_path, ["video"]).find(["video"], "frame_000001", None, NO_SUBSETS) == "loose/frame_000001.png"
