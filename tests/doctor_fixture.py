"""The params of the repository and what the doctor says of them once they are changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.contracts.sections import AllParams
from tasks.doctor import DoctorParams, doctor, params_classes

REPOSITORY = Path(__file__).resolve().parents[1]
Sections = dict[str, Any]


@pytest.fixture
def sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sections:
    """The params of the repository, in a folder with labels and nothing else, on a machine that is no container."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tasks.detectors.presence._is_container", lambda: False)
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "belt.zip").write_bytes(b"PK")
    read: Sections = yaml.safe_load((REPOSITORY / "params.yaml").read_text("utf-8"))
    return read


def told(sections: Sections) -> list[str]:
    return doctor(AllParams(sections, params_classes()), DoctorParams(timeout_seconds=3, min_free_gigabytes=0))


def change(dotted: str, value: object) -> Callable[[Sections], None]:
    def apply(sections: Sections) -> None:
        *path, last = dotted.split(".")
        section: dict[Any, Any] = sections
        for name in path:
            section = section[name]
        section[int(last) if last.isdigit() else last] = value

    return apply
