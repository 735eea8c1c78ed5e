"""ingest: what counts as an export, what is taken, and that a kill at any point changes nothing."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.manifest import Manifest
from tasks.contracts.record import read_record
from tasks.ingest import ingest
from tasks.sources.archives import Limits
from tasks.sources.label_sources import exports_in

LIMITS = Limits(max_files=1000, max_gigabytes=1, max_ratio=1000)
XML = b"<annotations/>"


def take(source: Path | str, raw: Path) -> Manifest:
    """One run of the stage on a source."""
    file = raw / "manifest.json"
    manifest = read_record(file, Manifest) if file.is_file() else Manifest(exports=[])
    return ingest(exports_in(str(source), None, raw.parent / "work"), manifest, raw, LIMITS)


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return path


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_zip_and_unpacked_export_are_taken_as_they_came(tmp_path: Path) -> None:
    files = {"annotations.xml": XML, "images/camera 1/ü.jpg": b"picture"}
    write_zip(tmp_path / "source" / "zipped.zip", files)
    write_files(tmp_path / "source" / "unpacked", files)
    manifest = take(tmp_path / "source", tmp_path / "raw")
    assert tree(tmp_path / "raw" / "zipped") == tree(tmp_path / "raw" / "unpacked") == files
    assert [(export.name, export.files, export.bytes) for export in manifest.exports] == [
        ("unpacked", 2, 21),
        ("zipped", 2, 21),
    ]
    assert read_record(tmp_path / "raw" / "manifest.json", Manifest) == manifest


def test_known_export_is_not_taken_again(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"annotations.xml": XML})
    first = take(source, tmp_path / "raw")
    (tmp_path / "raw" / "a" / "annotations.xml").write_bytes(b"would be overwritten")
    assert take(source, tmp_path / "raw") == first
    assert (tmp_path / "raw" / "a" / "annotations.xml").read_bytes() == b"would be overwritten"


def test_known_content_under_another_name_is_not_taken_again(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "source" / "a.zip", {"annotations.xml": XML})
    first = take(tmp_path / "source", tmp_path / "raw")
    shutil.copy(source, tmp_path / "source" / "copy.zip")
    assert take(tmp_path / "source", tmp_path / "raw") == first


def test_new_export_leaves_earlier_ones_alone(tmp_path: Path) -> None:
    write_zip(tmp_path / "source" / "b.zip", {"annotations.xml": XML})
    first = take(tmp_path / "source", tmp_path / "raw")
    write_zip(tmp_path / "source" / "a.zip", {"annotations.xml": XML + b" "})
    (tmp_path / "source" / "b.zip").unlink()
    manifest = take(tmp_path / "source", tmp_path / "raw")
    assert manifest.exports[1] == first.exports[0]
    assert [export.name for export in manifest.exports] == ["a", "b"]


def test_other_content_under_a_known_name_is_a_version_beside_it(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"annotations.xml": XML})
    take(source, tmp_path / "raw")
    write_zip(source, {"annotations.xml": b"<annotations>better</annotations>"})
    manifest = take(source, tmp_path / "raw")
    old, new = manifest.exports
    assert (old.name, old.folder, new.name, new.folder) == ("a", "a", "a", f"a-{new.sha256[:8]}")
    assert tree(tmp_path / "raw" / "a") == {"annotations.xml": XML}


def test_version_that_comes_back_stands_above_the_later_one_again(tmp_path: Path) -> None:
    source = tmp_path / "a.zip"
    for content in (b"old", b"new", b"old"):
        write_zip(source, {"annotations.xml": content})
        manifest = take(source, tmp_path / "raw")
    assert [export.folder for export in manifest.exports][1:] == ["a"]


def test_exports_taken_in_another_order_give_the_same_bytes(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    for name in ("b", "a", "c"):
        write_zip(whole / f"{name}.zip", {f"{name}.xml": XML + name.encode()})
    take(whole, tmp_path / "at-once")
    for name in ("a", "c"):
        (whole / f"{name}.zip").rename(tmp_path / f"{name}.zip")
    take(whole, tmp_path / "raw")
    for name in ("c", "a"):
        (tmp_path / f"{name}.zip").rename(whole / f"{name}.zip")
        take(whole, tmp_path / "raw")
    assert content_sha256(tmp_path / "raw") == content_sha256(tmp_path / "at-once")


def test_a_manifest_of_an_earlier_version_with_times_is_read(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"annotations.xml": XML})
    take(source, tmp_path / "raw")
    file = tmp_path / "raw" / "manifest.json"
    file.write_text(file.read_text().replace('"files": 1,', '"files": 1, "taken": "2026-01-01T00:00:00.000+00:00",'))
    assert "taken" in file.read_text()
    assert len(take(source, tmp_path / "raw").exports) == 1
    write_zip(source, {"annotations.xml": XML + b" "})
    assert len(take(source, tmp_path / "raw").exports) == 2
    assert "taken" not in file.read_text()


def test_all_faults_are_told_at_once_and_sound_exports_are_taken(tmp_path: Path) -> None:
    write_zip(tmp_path / "source" / "bad.zip", {"../evil.xml": XML})
    (tmp_path / "source" / "broken.zip").write_bytes(b"no zip")
    write_zip(tmp_path / "source" / "good.zip", {"annotations.xml": XML})
    with pytest.raises(PipelineError) as raised:
        take(tmp_path / "source", tmp_path / "raw")
    assert raised.value.what == "faults in the source"
    assert "bad.zip: '../evil.xml'" in raised.value.where
    assert "broken.zip: is not a sound zip" in raised.value.where
    assert raised.value.hint == "Correct or remove these exports and run again"
    assert set(tree(tmp_path / "raw")) == {"manifest.json", "good/annotations.xml"}


def test_archive_with_one_damaged_entry_leaves_nothing_behind(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"a.jpg": b"sound" * 9, "b.jpg": b"torn" * 9})
    source.write_bytes(source.read_bytes().replace(b"torn" * 9, b"t0rn" * 9))
    with pytest.raises(PipelineError, match=r"'b\.jpg' is damaged"):
        take(source, tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


def test_link_in_a_source_folder_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path / "source" / "a", {"annotations.xml": XML})
    (tmp_path / "source" / "a" / "1.jpg").symlink_to("/etc/hostname")
    with pytest.raises(PipelineError, match=r"links or devices(.|\n)*1\.jpg(.|\n)*Put files in their place"):
        take(tmp_path / "source", tmp_path / "raw")


def test_link_in_a_hidden_folder_is_left_out_with_it(tmp_path: Path) -> None:
    write_files(tmp_path / "source", {"a/annotations.xml": XML, ".venv/bin/activate": b""})
    (tmp_path / "source" / ".venv" / "bin" / "python").symlink_to(sys.executable)
    assert [export.name for export in take(tmp_path / "source", tmp_path / "raw").exports] == ["a"]


@pytest.mark.parametrize(
    "name", [b"a/caf\xe9.jpg", b"caf\xe9/a.jpg", b"caf\xe9.zip"], ids=["file", "folder of an export", "zip"]
)
def test_name_that_is_not_utf_8_is_told_and_sound_exports_are_taken(name: bytes, tmp_path: Path) -> None:
    write_zip(tmp_path / "source" / "good.zip", {"annotations.xml": XML})
    write_zip(tmp_path / "source" / os.fsdecode(name), {"1.jpg": b"1"})
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "\\udce9" in done.stderr
    assert "has a name that is not UTF-8\nCorrect or remove these exports and run again" in done.stderr
    assert set(tree(tmp_path / "raw")) == {"manifest.json", "good/annotations.xml"}


@pytest.mark.parametrize("source", ["nowhere", "empty", "notes.txt"])
def test_source_without_exports_is_refused_with_the_param_to_set(source: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no export")
    with pytest.raises(PipelineError, match=r"Set ingest\.source in params\.yaml"):
        take(tmp_path / source, tmp_path / "raw")


PARAMS = "ingest: {source: SOURCE, endpoint_url: null, max_files: 1000, max_gigabytes: 1, max_ratio: 1000}"


def command(tmp_path: Path, source: str = "source") -> list[str]:
    params = tmp_path / "params.yaml"
    params.write_text(PARAMS.replace("SOURCE", str(tmp_path / source)))
    raw, work = str(tmp_path / "raw"), str(tmp_path / "work")
    return [sys.executable, "-m", "tasks.ingest", "--raw", raw, "--params", str(params), "--work", work]


@pytest.mark.parametrize("source", [".", "raw", "link"])
def test_source_that_holds_the_output_is_refused(source: str, tmp_path: Path) -> None:
    write_zip(tmp_path / "raw" / "a.zip", {"annotations.xml": XML})
    (tmp_path / "link").symlink_to(".")
    done = subprocess.run(command(tmp_path, source), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "ingest.source holds what ingest writes" in done.stderr
    assert "Set it to a folder of labels alone" in done.stderr
    assert set(tree(tmp_path / "raw")) == {"a.zip"}


def test_folder_removed_by_hand_leaves_the_manifest_and_is_taken_again(tmp_path: Path) -> None:
    write_zip(tmp_path / "source" / "a.zip", {"annotations.xml": XML})
    subprocess.run(command(tmp_path), check=True, capture_output=True)
    shutil.rmtree(tmp_path / "raw" / "a")
    again = subprocess.run(command(tmp_path), check=True, capture_output=True, text=True)
    assert "no longer in the manifest, as the folders are gone: a" in again.stderr
    assert tree(tmp_path / "raw" / "a") == {"annotations.xml": XML}


def test_export_removed_by_hand_on_both_sides_leaves_the_manifest(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_zip(tmp_path / "source" / f"{name}.zip", {"annotations.xml": XML + name.encode()})
    subprocess.run(command(tmp_path), check=True, capture_output=True)
    shutil.rmtree(tmp_path / "raw" / "a")
    (tmp_path / "source" / "a.zip").unlink()
    subprocess.run(command(tmp_path), check=True, capture_output=True)
    assert [export.name for export in read_record(tmp_path / "raw" / "manifest.json", Manifest).exports] == ["b"]


def test_leftovers_of_a_killed_run_are_removed_even_if_their_export_is_gone(tmp_path: Path) -> None:
    write_zip(tmp_path / "source" / "a.zip", {"annotations.xml": XML})
    leftovers = {".gone.partial-1a2b3c4d/1.jpg": b"1", ".manifest.json.partial-1a2b3c4d": b"{"}
    write_files(tmp_path / "raw", leftovers)
    subprocess.run(command(tmp_path), check=True, capture_output=True)
    assert set(tree(tmp_path / "raw")) == {"manifest.json", "a/annotations.xml"}


def test_killed_ingest_started_again_ends_like_one_that_was_not(tmp_path: Path) -> None:
    for number in range(3):
        write_zip(tmp_path / "source" / f"{number}.zip", {f"{image}.jpg": os.urandom(20_000) for image in range(300)})
    process = subprocess.Popen(command(tmp_path), stderr=subprocess.DEVNULL)
    while not list((tmp_path / "raw").glob(".1.partial-*/100.jpg")):
        assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command(tmp_path), check=True, capture_output=True)
    whole = take(tmp_path / "source", tmp_path / "straight")
    resumed = read_record(tmp_path / "raw" / "manifest.json", Manifest)
    assert [(export.name, export.sha256) for export in resumed.exports] == [(e.name, e.sha256) for e in whole.exports]
    files, expected = tree(tmp_path / "raw"), tree(tmp_path / "straight")
    del files["manifest.json"], expected["manifest.json"]
    assert files == expected


def test_genuine_exports_are_taken_file_by_file(shared_data: Path, tmp_path: Path) -> None:
    manifest = take(shared_data / "cvat-exports", tmp_path / "raw")
    assert len(manifest.exports) == 10
    taken = tree(tmp_path / "raw")
    del taken["manifest.json"]
    assert taken == tree(shared_data / "cvat-exports")
