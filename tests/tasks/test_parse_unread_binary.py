"""parse: arrays, tables and containers that are no text and could be labels stop the run by name, never unpickled."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.contracts.errors import PipelineError
from tests.fixtures.parse import run
from tests.tasks.test_parse_unread import beside_sound_labels

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(100)
JPEG = b"\xff\xd8\xff\xe0" + bytes(100)
KITTI = "Car 0.00 0 -1.58 20.01 20.33 80.12 80.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n"


class Trap:
    """Fails the test if it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a label file was unpickled",)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def array(value: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def arrays(**values: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **values)
    return file.getvalue()


def parquet(**columns: list[Any]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("b.npy", array(np.zeros((2, 5))), r"NumPy array of float64 and shape 2 x 5\): .*b\.npy"),
        ("b.npy", array(np.zeros((8, 9), np.uint8)), r"of uint8 and shape 8 x 9\): .*b\.npy"),
        ("x.npy", array(np.zeros((8, 9, 3), np.uint8)), r"shape 8 x 9 x 3\): .*x\.npy"),
        ("features.npy", array(np.zeros((1, 512))), r"shape 1 x 512\): .*features\.npy"),
        ("objects.npy", array(np.array([Trap()], dtype=object)), r"a NumPy array\): .*objects\.npy"),
        ("cut.npy", array(np.zeros(9))[:20], r"a NumPy array\): .*cut\.npy"),
        ("zipped.npy", arrays(boxes=np.zeros(4)), r"a NumPy array\): .*zipped\.npy"),
        ("all.npz", arrays(boxes=np.zeros(4), labels=np.zeros(1)), r"NumPy arrays boxes, labels\): .*all\.npz"),
        ("b.pkl", pickle.dumps(Trap()), r"pickle, which is never opened\): .*b\.pkl"),
        ("x.pickle", pickle.dumps([Trap()]), r"never opened\): .*x\.pickle"),
        ("x.h5", HDF5, r"HDF5\): .*x\.h5"),
        ("x.bin", HDF5, r"HDF5\): .*x\.bin"),
        ("x.db", b"SQLite format 3\0", r"a database\): .*x\.db"),
        ("x.arrow", b"ARROW1\0\0", r"Arrow table.*x\.arrow"),
        ("x.parquet", parquet(image=["b"], objects=[{"bbox": [1.0]}]), r"Parquet with boxes\): .*x\.parquet"),
        ("x.parquet", parquet(image=["b"], rect=[[1.0, 2.0, 3.0, 4.0]]), "columns are image, rect"),
        ("x.parquet", parquet(fn=["c.jpg"], l=[1], t=[2], r=[3], b=[4]), "columns are fn, l, t, r, b"),
        ("x.parquet", parquet(image=["b"], where=["POLYGON((2 3, 4 5, 6 7))"]), "columns are image, where"),
        ("x.parquet", parquet(image=["b"], where=[b"x"]), "columns are image, where"),
        ("x.parquet", parquet(picture=[{"bytes": JPEG, "path": "a.jpg"}], y=[1]), "Parquet with pictures within"),
        ("x.parquet", b"PAR1", "Parquet that cannot be opened"),
        ("more.zip", zipped("RoiSet/0001.roi"), r"a zip within an export.*more\.zip"),
        ("b.nii.gz", b"\x1f\x8b", r"packed within an export.*b\.nii\.gz"),
        ("x.vbb", bytes(range(99)), r"a kind that is not known\): .*x\.vbb"),
        ("x.msgpack", b"\x81\xa5boxes\x94\x01\x02\x03\x04", r"not known\): .*x\.msgpack"),
        ("x.rec", b"\x0a\x23\xd7\xce\x00\x00", r"not known\): .*x\.rec"),
        ("labels/b.pt", b"PK\x03\x04\x00", r"not known\): .*b\.pt"),
        ("b.txt", KITTI.encode("utf-16-le"), r"KITTI or DOTA\): .*b\.txt"),
        ("masks.zip", zipped("masks/b.png"), r"a zip within an export.*masks\.zip"),
        ("more.zip", zipped("boxes.npy"), r"a zip within an export.*more\.zip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_binary_file_that_could_be_labels_stops_the_run(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    raw = beside_sound_labels(tmp_path, {"b.jpg": ""})
    write(raw / "export" / name, content)
    with pytest.raises(PipelineError, match=rf"(?s)could be labels, in a format that is not read \(.*{said}"):
        run(raw)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("splits.parquet", parquet(image=["b"], split=["train"], width=[9], height=[9])),
        ("cities.parquet", parquet(city=["Bonn"], a=[1], b=[2], c=[3], d=[4])),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0" + bytes(100)),
        ("b.npy", array(np.zeros((8, 9, 3), np.uint8))),
        ("best.pt", b"PK\x03\x04\x00"),
        ("velodyne/b.bin", bytes(99)),
        ("paper.pdf", b"%PDF\0"),
        (".git/objects/9f/2a", bytes(range(99))),
        ("@eaDir/b.jpg/SYNOPHOTO_THUMB_M", bytes(99)),
        ("model.ckpt.data-00000-of-00001", bytes(99)),
        ("b.nef", b"MM\0*"),
        ("._b.txt", bytes(99)),
        ("events.out.tfevents.1700000000.host.1.0", bytes(99)),
        ("photos.zip", zipped("README.md")),
        ("b.wav", b"RIFF" + bytes(100)),
        ("labels.cache", array(np.zeros(9))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_binary_companion_stops_nothing(tmp_path: Path, name: str, content: bytes) -> None:
    raw = beside_sound_labels(tmp_path, {"b.jpg": ""})
    write(raw / "export" / name, content)
    assert len(run(raw).images) == 1


def test_many_files_of_one_kind_are_told_as_one_with_a_pattern_that_passes_over_all(tmp_path: Path) -> None:
    raw = beside_sound_labels(tmp_path, {"b.jpg": ""})
    for number in range(30):
        write(raw / "export" / f"scene-{number:02}" / "all.npy", array(np.zeros((number + 1, 5))))
    with pytest.raises(PipelineError) as caught:
        run(raw)
    text = str(caught.value)
    assert "30 files could be labels, in a format that is not read (a NumPy array of float64 and shape 1 x 5)" in text
    assert "scene-00/all.npy, scene-01/all.npy, scene-02/all.npy" in text
    assert 'parse.ignore: ["/export/*/all.npy"]' in text
    assert len(run(raw, ignore=["/export/*/all.npy"]).images) == 1


def test_files_without_an_ending_are_named_one_by_one(tmp_path: Path) -> None:
    """A pattern of their folder would pass over what is put there later."""
    raw = beside_sound_labels(tmp_path, {"b.jpg": ""})
    for name in ("a", "b"):
        write(raw / "export" / "extra" / name, bytes(99))
    with pytest.raises(PipelineError, match=r'parse\.ignore: \["export/extra/a", "export/extra/b"\]'):
        run(raw)
