"""The report in a real browser, where one is installed: as wide as a phone, and under its own policy."""

import re
import shutil
import subprocess
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

from tests.needs import lacking
from tests.report_data_fixture import Scene
from tests.test_report import draw

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
LONG = "a label without any space that goes on_and_on_and_on_and_on_and_on_and_on"

pytestmark = pytest.mark.slow


def browse(page: Path, profile: Path) -> subprocess.CompletedProcess[str]:
    if BROWSER is None:
        lacking("no chromium on this machine: the report is not looked at")
    quiet = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    command = [BROWSER, "--headless", *quiet, "--enable-logging=stderr", f"--user-data-dir={profile}"]
    command += ["--hide-scrollbars", "--window-size=1280,900", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.parametrize("labels", [Scene().labels, (LONG, "b")], ids=["short labels", "long labels"])
def test_page_of_a_phone_s_width_does_not_scroll_sideways(tmp_path: Path, labels: tuple[str, ...]) -> None:
    html, _ = draw(tmp_path, replace(Scene(), labels=labels))
    opened = re.sub(r"<details(?! open)([^>]*)>", r"<details open\1>", html)  # folded parts count too
    # A browser's window is at least 500 pixels wide, a frame in it may be narrower.
    frame = f'<iframe style="width: 360px; height: 800px; border: 0" srcdoc="{escape(opened)}"></iframe>'
    measure = "onload = () => { document.title = frames[0].document.documentElement.scrollWidth }"
    page = tmp_path / "measured.html"
    page.write_text(f"<title></title>{frame}<script>{measure}</script>", encoding="utf-8")
    dom = browse(page, tmp_path / "profile").stdout
    assert re.findall("<title>(.*?)</title>", dom)[0] == "360"


def test_page_breaks_none_of_its_own_rules(tmp_path: Path) -> None:
    draw(tmp_path, Scene())
    assert "Refused to" not in browse(tmp_path / "report.html", tmp_path / "profile").stderr
