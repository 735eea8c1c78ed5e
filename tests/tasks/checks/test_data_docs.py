"""Data Docs: no script of strangers, and the same bytes for the same data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.check import checked, clean
from tests.fixtures.repository import REPOSITORY
from tests.test_equal_bytes import files_of

pytestmark = pytest.mark.slow

SCRIPT = "<img src=x onerror=alert(1)>"


def test_names_of_strangers_are_text_on_every_page(tmp_path: Path) -> None:
    drawn = clean(tmp_path, 3)
    drawn.label("clean1", "odd", label=SCRIPT, x_min=0.0, y_min=0.0, x_max=1.0, y_max=1.0)
    drawn.images[2]["name"] = f"{SCRIPT}.png"
    drawn.images[2]["width"] = 1
    checked(tmp_path, drawn, labels=["part"], min_objects_per_class=5)
    pages = {page.name: page.read_text(encoding="utf-8") for page in (tmp_path / "checks" / "docs").rglob("*.html")}
    assert [name for name, text in pages.items() if "<img src=x" in text] == []
    assert any("&lt;img src=x" in text for text in pages.values())


def test_pages_know_no_hash_seed_and_no_time_zone(tmp_path: Path) -> None:
    drawn = clean(tmp_path, 3)
    drawn.images[2]["width"] = 1
    drawn.label("clean1", "turned", x_min=30.0, y_min=10.0, x_max=20.0, y_max=14.0)
    checked(tmp_path, drawn)
    files = {"raw": drawn.raw, "annotations": tmp_path / "annotations", "params": tmp_path / "params.yaml"}
    words = [sys.executable, "-m", "tasks.check", *(f"--{name}={file}" for name, file in files.items())]
    outputs = []
    for seed, zone in [("1", "UTC"), ("3", "Asia/Tokyo"), ("4", "UTC")]:
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone}
        folder = tmp_path / seed
        subprocess.run(
            [*words, f"--checks={folder}"], cwd=REPOSITORY, env=environment, check=False, capture_output=True
        )
        outputs.append(dict(files_of(folder)))
    assert len(outputs[0]) > 10
    assert outputs[0] == outputs[1] == outputs[2]
