"""DAG labels: when a change of the source starts training."""

import os
import time
from pathlib import Path

import pytest

from tests.fixtures.airflow_environment import probe


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (3600, {"files": 2}),
        (30, {"skipped": "samples has changed within the last 60 s and may still be changing"}),
        # The clock of the storage is a little ahead.
        (-30, {"skipped": "samples has changed within the last 60 s and may still be changing"}),
        (-10 * 365 * 86_400, {"files": 2}),
    ],
    ids=["long ago", "now", "in a moment", "in ten years"],
)
def test_labels_are_taken_once_they_have_settled_whatever_time_a_file_claims(
    age: float, said: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "samples").mkdir()
    for name, changed in (("a.zip", 7200), ("b.zip", age)):
        (tmp_path / "samples" / name).write_text("labels")
        os.utime(tmp_path / "samples" / name, (time.time() - changed,) * 2)
    assert probe("watched", tmp_path, SIGHTLINE_SHARED=str(tmp_path)) == said
