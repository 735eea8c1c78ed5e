"""The report in a real browser, where one is installed: as wide as a phone, and under its own policy."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html import escape, unescape
from pathlib import Path

import pytest

from tests.fixtures.needs import lacking
from tests.fixtures.report_data import LANDSCAPE, PANORAMA, PORTRAIT, Scene
from tests.fixtures.report_page import PLAIN

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
TARGETS = (*Scene().targets[:-1], "openvino-fp32", "tensorrt-fp16", "champion")
SHAPES = (LANDSCAPE, PORTRAIT, PANORAMA)
LONG = "a label without any space that goes on_and_on_and_on_and_on_and_on_and_on"

pytest_plugins = ["tests.fixtures.report_page"]
pytestmark = pytest.mark.slow
PageOf = Callable[[Scene], str]


def browse(page: Path, profile: Path) -> subprocess.CompletedProcess[str]:
    if BROWSER is None:
        lacking("no chromium on this machine: the report is not looked at")
    quiet = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    command = [BROWSER, "--headless", *quiet, "--enable-logging=stderr", f"--user-data-dir={profile}"]
    command += ["--hide-scrollbars", "--window-size=1280,900", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def measured(html: str, width: int, folder: Path, script: str) -> str:
    """What a script finds in the page, folded parts open, in a frame of this width; the page's document is `page`."""
    opened = re.sub(r"<details(?! open)([^>]*)>", r"<details open\1>", html)
    # A browser's window is at least 500 pixels wide, a frame in it may be narrower.
    frame = f'<iframe style="width: {width}px; height: 800px; border: 0" srcdoc="{escape(opened)}"></iframe>'
    measure = f"onload = () => {{ const page = frames[0].document; document.title = {script} }}"
    looked_at = folder / "measured.html"
    looked_at.write_text(f"<title></title>{frame}<script>{measure}</script>", encoding="utf-8")
    return unescape(re.findall("<title>(.*?)</title>", browse(looked_at, folder / "profile").stdout, re.DOTALL)[0])


@pytest.mark.parametrize("labels", [Scene().labels, (LONG, "b")], ids=["short labels", "long labels"])
def test_page_of_a_phone_s_width_does_not_scroll_sideways(
    page_of: PageOf, tmp_path: Path, labels: tuple[str, ...]
) -> None:
    html = page_of(replace(Scene(), labels=labels))
    assert measured(html, 360, tmp_path, "page.documentElement.scrollWidth") == "360"


WIDER = """
[...page.querySelectorAll(".scroll")].filter(card => card.scrollWidth > card.clientWidth)
.map(card => card.getAttribute("aria-label")).join("; ")
"""
NOTE = "recall >= 0.95 cannot be reached on val (0.871 at most): best F1 instead"
MANY = tuple(f"a label of a certain length, part {number}" for number in range(40))


PANEL = tuple(f"surface scratch on painted panel, kind number {number}" for number in range(6))
WIDE = ("W" * 180, "b", "M" * 30)


@pytest.mark.parametrize("labels", [Scene().labels, MANY, PANEL], ids=["3 classes", "40 classes", "alike"])
def test_no_table_is_wider_than_its_card_at_a_desktop_s_width(
    page_of: PageOf, tmp_path: Path, labels: tuple[str, ...]
) -> None:
    html = page_of(Scene(labels=labels, targets=TARGETS, operating_note=NOTE))
    assert measured(html, 1200, tmp_path, WIDER) == ""


CUT = """
[...page.querySelectorAll(".heat th, .classes th, .chart text")].filter(named => {
    const range = page.createRange(), frame = (named.closest("th") || named.closest("svg")).getBoundingClientRect();
    range.selectNodeContents(named);
    const words = range.getBoundingClientRect();
    return words.left < frame.left - 1 || words.right > frame.right + 1 || words.height > frame.height + 1
        || [named, ...named.children].some(each => page.defaultView.getComputedStyle(each).overflow == "hidden");
}).map(named => named.textContent).join("; ")
"""


@pytest.mark.parametrize("labels", [MANY, PANEL, WIDE], ids=["40 classes", "alike", "wide"])
def test_no_name_is_cut_off_in_charts_and_tables_of_classes(
    page_of: PageOf, tmp_path: Path, labels: tuple[str, ...]
) -> None:
    html = page_of(replace(PLAIN, labels=labels))
    assert measured(html, 1280, tmp_path, CUT) == ""


def test_targets_and_rules_fit_a_phone(page_of: PageOf, tmp_path: Path) -> None:
    html = page_of(Scene(targets=TARGETS))
    wider = measured(html, 390, tmp_path, WIDER)
    assert not re.search("targets|Rules", wider), wider


LINES = """
[...page.querySelectorAll(".classes th small")].map(
    note => Math.round(note.offsetHeight / parseFloat(page.defaultView.getComputedStyle(note).lineHeight))
).join("; ")
"""


@pytest.mark.parametrize("labels", [Scene().labels, PANEL], ids=["short labels", "long labels"])
def test_classes_and_the_notes_on_their_thresholds_fit_a_phone(
    page_of: PageOf, tmp_path: Path, labels: tuple[str, ...]
) -> None:
    html = page_of(Scene(labels=labels, operating_note=NOTE))
    assert "Classes" not in measured(html, 390, tmp_path, WIDER)
    assert int(measured(html, 390, tmp_path, LINES)) <= 2


OVERLAPS = """
[...page.querySelectorAll(".words")].flatMap(words => [...words.children].map(text => text.getBBox())).length + " " +
[...page.querySelectorAll(".words")].reduce((count, words) => {
    const boxes = [...words.children].map(text => text.getBBox());
    const meet = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
    return count + boxes.filter((one, place) => boxes.slice(place + 1).some(other => meet(one, other))).length;
}, 0)
"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("each", [0, 64], ids=["few objects", "64 objects an image"])
def test_captions_as_drawn_overlap_nowhere(page_of: PageOf, tmp_path: Path, each: int, width: int) -> None:
    scene = Scene(
        images=36 if each else 72, targets=("openvino-int8",), sizes_wh=SHAPES, objects_per_image=each, findings=False
    )
    html = page_of(scene)
    captions, overlaps = measured(html, width, tmp_path, OVERLAPS).split()
    assert int(captions) > 10
    assert overlaps == "0"


HEIGHTS = """
JSON.stringify([...page.querySelectorAll(".photos figure")].map(figure => {
    const frame = figure.querySelector(".photo").getBoundingClientRect();
    return [Math.round(frame.top), frame.height, figure.getBoundingClientRect().right];
}))
"""


def test_pictures_of_all_shapes_fill_rows_of_one_height(page_of: PageOf, tmp_path: Path) -> None:
    scene = Scene(images=72, targets=("openvino-int8",), sizes_wh=(LANDSCAPE, PORTRAIT, PORTRAIT, LANDSCAPE))
    html = page_of(scene)
    rows: dict[int, list[tuple[float, float]]] = {}
    for top, height, right in json.loads(measured(html, 1280, tmp_path, HEIGHTS)):
        rows.setdefault(top, []).append((height, right))
    assert len(rows) > 2
    for row in rows.values():
        assert max(height for height, _ in row) - min(height for height, _ in row) < 2
    ends = [max(right for _, right in row) for row in list(rows.values())[:-1]]
    assert max(ends) - min(ends) < 2


def test_page_breaks_none_of_its_own_rules(page_of: PageOf, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page_of(Scene()), encoding="utf-8")
    assert "Refused to" not in browse(tmp_path / "report.html", tmp_path / "profile").stderr
