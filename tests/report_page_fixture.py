"""The page that report draws, parsed for tests."""

import functools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tasks.report import main
from tests.report_data_fixture import Scene
from tests.report_fixture import write_inputs

PLAIN = Scene(images=12, targets=("pytorch", "openvino-int8", "champion"), trials=0)
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """What a reader of the page meets: its tags in order, its text, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="session")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Scene], str]:
    """The page of a scene, drawn once for all tests that only look at it."""
    return functools.cache(lambda scene: draw(tmp_path_factory.mktemp("page"), scene)[0])


def draw(folder: Path, scene: Scene, params: str = "") -> tuple[str, dict[str, Path]]:
    paths = write_inputs(folder, scene)
    return drawn_from(paths, folder, params), paths


def drawn_from(paths: dict[str, Path], folder: Path, params: str = "") -> str:
    knobs = folder / "params.yaml"
    knobs.write_text("use_case: {target: openvino-int8, metric: map50}\n" + params)
    main(**paths_as_options(paths), report_path=folder / "report.html", params=knobs)
    return (folder / "report.html").read_text(encoding="utf-8")


def paths_as_options(paths: dict[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in paths.items() if name != "report"}
