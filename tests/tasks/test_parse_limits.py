"""Pictures and texts of any size in small files: left out by what their header says, with size and limit."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from tasks.contracts.record import write_record
from tasks.dataset.decoding import header_size, read_image
from tests.fixtures.cvat import BOX, box, document, image, task_meta, track, track_box, video_meta, write
from tests.fixtures.parse import Parsed, run, write_image
from tests.fixtures.repository import REPOSITORY
from tests.tasks.parsing.test_image_facts import png_of_size
from tests.tasks.parsing.test_video_frames import SIZE_WH, write_video

PARAMS = REPOSITORY / "params.yaml"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture of 1.2 megapixels in every format."""
    folder = tmp_path_factory.mktemp("large")
    pixels = np.zeros((1000, 1200, 3), dtype=np.uint8)
    for suffix in ("png", "jpg", "bmp", "tif", "webp", "jp2", "ppm", "gif", "avif"):
        if cv2.haveImageWriter(f"x.{suffix}"):
            cv2.imwrite(str(folder / f"x.{suffix}"), pixels)
    return folder


def test_every_format_is_refused_by_its_header(large: Path) -> None:
    files = sorted(large.iterdir())
    assert {"png", "jpg", "bmp", "tif", "webp", "jp2", "ppm"} <= {path.suffix[1:] for path in files}
    for path in files:
        assert header_size(path) == (1200, 1000), path
        assert read_image(path, max_megapixels=1.2).shape == (1000, 1200, 3)
        with pytest.raises(ValueError, match=r"is 1200 x 1000, 1 megapixels, and 1 are allowed"):
            read_image(path, max_megapixels=1.1)


def test_a_picture_that_no_table_knows_is_refused_from_200_megapixels_on(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"x\.png cannot be decoded: it is 30000 x 30000, 900 megapixels, and 200 are allowed"
    ):
        read_image(png_of_size(tmp_path / "x.png", 30_000, 30_000))


CHECK = """
import resource, sys
from pathlib import Path
import numpy, pandas
import tasks.check as check
from tasks.execution.stage_command import run
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + int(sys.argv.pop()) * 1_000_000,) * 2)
run(check.main)
"""


def checked(parsed: Parsed, megabytes: int) -> "subprocess.CompletedProcess[str]":
    """Run check, with so much memory beyond what its libraries take."""
    write_record(parsed.ledger, parsed.folder / "ledger.json")
    folder = parsed.folder.parent
    paths = {"raw": folder / "raw", "annotations": parsed.folder, "checks": folder / "checks", "params": PARAMS}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    command = [sys.executable, "-c", CHECK, *words, str(megabytes)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_too_large_pictures_are_left_out_by_name_and_never_decoded(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    images = [image(f"{name}.png", BOX) for name in ("good", "large")]
    write(raw / "export" / "annotations.xml", document(*images, meta=task_meta()))
    write_image(raw / "export" / "images" / "good.png")
    png_of_size(raw / "export" / "images" / "large.png", 30_000, 30_000)
    parsed = run(raw)
    assert parsed.images.set_index("name")["readable"].to_dict() == {"good.png": True, "large.png": False}
    assert parsed.ledger.too_large == ["export: large.png is 30000x30000, 900 megapixels; parse.max_megapixels is 200"]
    assert (parsed.ledger.images.unreadable, parsed.ledger.images.too_large) == (1, 1)
    # Room for Great Expectations, which is imported under this limit; the pixels alone would be 2.7 GB.
    done = checked(parsed, megabytes=2000)
    assert done.returncode == 0, done.stderr
    findings = pd.read_parquet(tmp_path / "checks" / "findings.parquet")
    assert findings.loc[findings["rule"] == "image_too_large", "message"].tolist() == [
        "1 of 2 image files have more megapixels than parse.max_megapixels, 200: 50.0%, "
        "and check.max_unreadable_share is 5.0%",
        "large.png is 30000 x 30000, 900 megapixels, and parse.max_megapixels is 200; it is left out",
    ]
    assert run(raw, max_megapixels=1000.0).ledger.images.too_large == 0


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_too_little_memory_is_told_as_such_and_not_as_a_broken_picture(suffix: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write(raw / "export" / "annotations.xml", document(image(f"large{suffix}", BOX), meta=task_meta()))
    (raw / "export" / "images").mkdir()
    path = raw / "export" / "images" / f"large{suffix}"
    cv2.imwrite(str(path), np.zeros((12_000, 10_000, 3), np.uint8))
    done = checked(run(raw), megabytes=300)
    assert done.returncode == 2, done.stderr
    assert "error: memory ran out: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_video_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shown = track(0, "car", track_box(1, 10, 20, 30, 50), track_box(2, 10, 20, 30, 50, outside=True))
    text = document(shown, meta=video_meta(5, size=f"{SIZE_WH[0]}x{SIZE_WH[1]}"))
    write(raw / "export" / "annotations.xml", text)
    write_video(raw / "export" / "clip.mp4")
    assert run(raw, max_megapixels=0.01).images["file"].notna().all()
    parsed = run(raw, max_megapixels=0.005)
    assert parsed.images["file"].isna().all()
    (note,) = parsed.ledger.exports["export"].notes
    assert note == "clip.mp4 is 96x64, 0 megapixels a frame, and parse.max_megapixels is 0.005: not decoded"


def test_long_texts_of_attributes_are_cut_and_counted(tmp_path: Path) -> None:
    def attribute(name: str, text: str) -> str:
        return f'<attribute name="{name}">{text}</attribute>'

    held = box().replace("/>", ">") + attribute("text", "x" * 5000) + attribute("k" * 200, "short") + "</box>"
    write(tmp_path / "raw" / "export" / "annotations.xml", document(image("a.jpg", held, BOX), meta=task_meta()))
    parsed = run(tmp_path / "raw", max_text_chars=100)
    assert parsed.objects["attributes"].tolist() == [f'{{"text": "{"x" * 100}", "{"k" * 100}": "short"}}', "{}"]
    assert parsed.ledger.cut_texts == 2
    assert run(tmp_path / "raw", max_text_chars=5000).ledger.cut_texts == 0


def test_objects_of_a_label_that_is_too_long_are_dropped_with_that_reason(tmp_path: Path) -> None:
    label = "car " * 100
    text = document(image("a.jpg", box(label), BOX), meta=task_meta(labels=("car", label)))
    write(tmp_path / "raw" / "export" / "annotations.xml", text)
    parsed = run(tmp_path / "raw", max_text_chars=300)
    assert parsed.objects["label"].tolist() == ["car"]
    assert parsed.ledger.dropped == {"label longer than parse.max_text_chars": 1}
    assert max(map(len, parsed.ledger.labels)) < 100
    assert run(tmp_path / "raw", max_text_chars=400).ledger.dropped == {}
