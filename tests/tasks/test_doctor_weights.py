"""What the doctor says of weights and architectures: whether they are there, and whether they are to be trusted."""

import zipfile
from pathlib import Path

import pytest

from tasks.contracts.digests import content_sha256
from tasks.detectors.ultralytics_trust import remember_fetched
from tests.fixtures.doctor import Sections, change, told

pytest_plugins = ["tests.fixtures.doctor"]


def test_weights_that_are_a_pointer_of_git_lfs_are_told(sections: Sections, tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n")
    change("train.model", "best.pt")(sections)
    assert told(sections) == ["train.model: best.pt is a pointer of Git LFS; run git lfs pull"]


def archive(path: Path) -> str:
    """A file that could be weights, with its sha256."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("best/data.pkl", bytes(2000))
    return content_sha256(path)


def test_weights_of_unknown_origin_are_told_with_what_to_set_and_known_ones_pass(
    sections: Sections, tmp_path: Path
) -> None:
    sha256 = archive(tmp_path / "best.pt")
    change("train.model", "best.pt")(sections)
    [fault] = told(sections)
    assert f"best.pt has sha256 {sha256}" in fault
    assert f"set train.trust: {sha256}" in fault
    change("train.trust", "0" * 64)(sections)
    assert f"train.trust names {'0' * 64}" in told(sections)[0]
    change("train.trust", ["0" * 64, sha256])(sections)
    assert told(sections) == []


def test_fetched_weights_pass_until_they_are_exchanged(sections: Sections, tmp_path: Path) -> None:
    held = tmp_path / ".cache" / "weights" / "yolo26n.pt"
    held.parent.mkdir(parents=True)
    archive(held)
    remember_fetched(held)
    change("train.model", "yolo26n.pt")(sections)
    assert told(sections) == []
    with zipfile.ZipFile(held, "a") as file:
        file.writestr("more", "1")
    assert "yolo26n.pt has sha256" in told(sections)[0]


def test_weights_that_are_no_archive_of_torchs_are_told(sections: Sections, tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(bytes(2000))
    change("train.model", "best.pt")(sections)
    assert "best.pt is no archive as torch has written them since 1.6" in told(sections)[0]


@pytest.mark.parametrize("model", ["yolo-micro.yaml", "yolo11s.yaml", "yolo26n.yaml", "rtdetr-l.yaml"])
def test_architectures_of_ours_and_of_the_library_are_found(model: str, sections: Sections) -> None:
    change("train.model", model)(sections)
    assert told(sections) == []


@pytest.mark.parametrize(
    "wrong", [{"imgsz": 640}, {"epochs": 0}, {"imgsz": 640, "epochs": "many", "optimizer": "Lion"}]
)
def test_missing_weights_are_told_beside_what_else_is_wrong_with_the_recipe(
    wrong: dict[str, object], sections: Sections
) -> None:
    sections["train"] |= {"model": "yolo26n.pt", **wrong}
    found = told(sections)
    assert len(found) == len(wrong) + 1
    assert "weights 'yolo26n.pt' are neither here" in found[-1]
    sections["train"]["allow_download"] = "perhaps"
    assert not any("neither here" in fault for fault in told(sections))  # it might be meant to fetch them
