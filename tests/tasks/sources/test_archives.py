"""Unpacking other people's zips: nothing leaves the folder, every fault is named with its entry."""

import struct
import zipfile
from pathlib import Path

import pytest

from tasks.sources.archives import ArchiveError, Limits, name_faults, unpack

LIMITS = Limits(max_files=100, max_gigabytes=0.001, max_ratio=50)


def zip_of(path: Path, entries: dict[str, bytes], **attributes: int) -> Path:
    """A zip of these entries; `attributes` are set on each entry's record."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.writestr(info, data)
    return path


def faults_of(archive: Path, folder: Path, limits: Limits = LIMITS) -> str:
    with pytest.raises(ArchiveError) as raised:
        unpack(archive, folder, limits)
    return "\n".join(raised.value.faults)


def test_files_and_folders_come_out_as_they_went_in(tmp_path: Path) -> None:
    entries = {"annotations.xml": b"<annotations/>", "images/a b/ü.jpg": b"1", "images/empty.txt": b""}
    archive = zip_of(tmp_path / "a.zip", entries)
    assert unpack(archive, tmp_path / "out", LIMITS) == (3, 15)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in entries} == entries


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("../evil.txt", "could leave its folder", id="parent"),
        pytest.param("a/../../evil.txt", "could leave its folder", id="parent inside"),
        pytest.param("/etc/passwd", "could leave its folder", id="absolute"),
        pytest.param("C:/evil.txt", "could leave its folder", id="drive letter"),
        pytest.param("..\\evil.txt", "could leave its folder", id="backslash"),
        pytest.param("a//b.txt", "could leave its folder", id="empty part"),
        pytest.param("./a.txt", "could leave its folder", id="dot"),
        pytest.param("x" * 256, "longer than 255 bytes", id="long"),
        pytest.param("ü" * 128, "longer than 255 bytes", id="long in UTF-8"),
    ],
)
def test_unsafe_name_is_named_and_nothing_is_written(name: str, said: str, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"good.txt": b"1", name: b"2"})
    assert said in faults_of(archive, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_zip_without_files_is_refused(tmp_path: Path) -> None:
    assert faults_of(zip_of(tmp_path / "a.zip", {"images/": b""}), tmp_path / "out") == "holds no files"


def test_name_with_a_null_byte_is_refused() -> None:
    assert "could leave" in name_faults(["a.jpg\0.txt"])[0]


@pytest.mark.parametrize(
    "mode", [pytest.param(0o120777, id="link"), pytest.param(0o020666, id="device"), pytest.param(0o010666, id="pipe")]
)
def test_link_or_device_is_refused(mode: int, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a": b"/etc/passwd"}, external_attr=mode << 16)
    assert "'a' is a link or a device" in faults_of(archive, tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        pytest.param(["A.jpg", "a.jpg"], "one file where case is ignored", id="case"),
        pytest.param(["u\u0308.jpg", "\u00fc.jpg"], "one file where case is ignored", id="composed accents"),
        pytest.param(["a", "a/b.jpg"], "a is a file and a folder", id="file as folder"),
    ],
)
def test_names_that_fall_together_are_refused(names: list[str], said: str, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", dict.fromkeys(names, b"1"))
    assert said in faults_of(archive, tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_same_name_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", b"1")
        archive.writestr("a.jpg", b"2")
    assert "one file" in faults_of(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_folder_may_be_listed_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("images/", "images/a.jpg", "images/"):
            archive.writestr(name, b"1" if name.endswith("jpg") else b"")
    assert unpack(tmp_path / "a.zip", tmp_path / "out", LIMITS) == (1, 1)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        pytest.param({"max_files": 2}, "holds 3 files, ingest.max_files is 2", id="files"),
        pytest.param({"max_gigabytes": 1e-6}, "ingest.max_gigabytes is 1e-06", id="bytes"),
        pytest.param({"max_ratio": 2.0}, "times its size, ingest.max_ratio is 2", id="ratio"),
    ],
)
def test_limit_is_named_with_the_param_that_sets_it(limits: dict[str, float], said: str, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {name: bytes(2000) for name in "abc"})
    assert said in faults_of(archive, tmp_path / "out", LIMITS.model_copy(update=limits))
    assert not (tmp_path / "out").exists()


def test_all_faults_of_an_archive_are_told_at_once(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"../a": b"1", "b": b"1", "B": b"1"})
    faults = faults_of(archive, tmp_path / "out", LIMITS.model_copy(update={"max_files": 2}))
    assert "'../a'" in faults
    assert "'B' and 'b'" in faults
    assert "max_files" in faults


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        pytest.param(6, 99, "version 9.9", id="version"),
        pytest.param(8, 0x1, "'a.jpg' is encrypted", id="encrypted"),
        pytest.param(8, 0x20, "'a.jpg' is packed in a way that is not supported (compressed patched", id="patched"),
        pytest.param(8, 0x40, "'a.jpg' is packed in a way that is not supported (strong", id="strongly encrypted"),
        pytest.param(10, 9, "'a.jpg' is compressed by method 9", id="deflate64"),
    ],
)
def test_kind_of_zip_that_is_not_read_is_named(offset: int, value: int, said: str, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a.jpg": b"1"})
    data = bytearray(archive.read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + offset, value)  # in the directory's record
    archive.write_bytes(data)
    assert said in faults_of(archive, tmp_path / "out")


def test_every_damaged_entry_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name in ("first.jpg", "sound.jpg", "last.jpg"):
            opened.writestr(name, name.encode() * 50)
    damaged = (
        archive.read_bytes().replace(b"first.jpg" * 50, b"f1rst.jpg" * 50).replace(b"last.jpg" * 50, b"l4st.jpg" * 50)
    )
    archive.write_bytes(damaged)
    faults = faults_of(archive, tmp_path / "out")
    assert "'first.jpg' is damaged" in faults
    assert "'last.jpg' is damaged" in faults
    assert "sound" not in faults


@pytest.mark.parametrize(
    "data",
    [pytest.param(b"", id="empty"), pytest.param(b"<html>no</html>", id="no zip"), pytest.param(None, id="cut short")],
)
def test_file_that_is_no_zip_is_refused(data: bytes | None, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a.jpg": bytes(1000)})
    archive.write_bytes(archive.read_bytes()[:60] if data is None else data)
    assert "is not a sound zip" in faults_of(archive, tmp_path / "out")


def test_backslashes_of_windows_separate_folders(tmp_path: Path) -> None:
    entries = {"annotations.xml": b"1", "images\\": b"", "images\\cam 1\\a.jpg": b"23"}
    assert unpack(zip_of(tmp_path / "a.zip", entries), tmp_path / "out", LIMITS) == (2, 3)
    assert (tmp_path / "out" / "images" / "cam 1" / "a.jpg").read_bytes() == b"23"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a\\..\\..\\evil.txt"], "could leave its folder"),
        (["\\\\server\\share\\evil.txt"], "could leave its folder"),
        (["C:\\evil.txt"], "could leave its folder"),
        (["a\\b.txt", "a/b.txt"], "are one file"),
    ],
    ids=["parent inside", "share", "drive", "both separators"],
)
def test_backslashes_lead_nowhere_else(names: list[str], said: str, tmp_path: Path) -> None:
    assert said in faults_of(zip_of(tmp_path / "a.zip", dict.fromkeys(names, b"1")), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_file_with_a_backslash_in_its_name_is_called_so() -> None:
    assert "'images\\\\a.jpg' has a backslash in its name" in name_faults(["images\\a.jpg"])[0]


@pytest.mark.parametrize(
    ("raw", "flag", "read"),
    [
        pytest.param("größe.jpg".encode(), True, "größe.jpg", id="UTF-8 flagged"),
        pytest.param("größe.jpg".encode(), False, "größe.jpg", id="UTF-8 without the flag"),
        pytest.param("größe.jpg".encode("cp437"), False, "größe.jpg", id="cp437"),
    ],
)
def test_names_are_read_as_they_were_meant(raw: bytes, flag: bool, read: str, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"n" * len(raw): b"1"})
    data = bytearray(archive.read_bytes().replace(b"n" * len(raw), raw))
    for record, bits in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(record) + bits + 1] = 0x08 if flag else 0
    archive.write_bytes(data)
    unpack(archive, tmp_path / "out", LIMITS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [read]


def test_zip64_archive_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("a.jpg", "w", force_zip64=True) as entry:
        entry.write(b"12345")
    assert unpack(tmp_path / "a.zip", tmp_path / "out", LIMITS) == (1, 5)


def test_litter_of_file_managers_is_left_behind(tmp_path: Path) -> None:
    litter = ("__MACOSX/._a.jpg", ".DS_Store", "x/Thumbs.db", "x/._annotations.xml")
    archive = zip_of(tmp_path / "a.zip", dict.fromkeys(["a.jpg", *litter], b"1"))
    assert unpack(archive, tmp_path / "out", LIMITS) == (1, 1)
