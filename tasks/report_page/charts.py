"""Charts as inline SVG: drawn by matplotlib, coloured by the page's CSS variables, so that they follow its theme.

Every chart is `WIDTH` inches wide: at that size its text is legible on a phone, and a desktop puts two side by side.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.report_page.captions import text_width

WIDTH = 4.0  # inches, of 72 SVG units each
HEIGHT = 2.8
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
_LETTER = 0.62  # width of a letter in sizes of its font, as shortened names may have it in the mean

# matplotlib knows no CSS variables: these stand in for them and are exchanged in the finished drawing.
INK, FAINT, GRID, PAPER, ACCENT = "#010101", "#020202", "#030303", "#040404", "#050505"
SERIES = ["#0a0101", "#0a0202", "#0a0303", "#0a0404", "#0a0505", "#0a0606", "#0a0707"]
DASHES = ["-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 1.2)), (0, (1, 2.2))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
_CSS = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    GRID: "var(--line)",
    PAPER: "var(--paper)",
    ACCENT: "var(--accent)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)},
}

_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a label may hold a $
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the layout is the same everywhere
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 2.4,
}


class Canvas:
    """A figure with one pair of axes, and the drawing that becomes of it."""

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(WIDTH, height), layout="constrained")
        self.axes: Axes = self.figure.add_subplot()
        self.svg = Markup()


@contextmanager
def canvas(alt: str, height: float = HEIGHT) -> Iterator[Canvas]:
    """Give axes to draw on in the page's style; when the block ends, `svg` holds the drawing.

    `alt` says in words what the chart shows, for those who cannot see it; no two charts of a page have the same.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": alt}), warnings.catch_warnings():
        # The reader's own fonts draw the text; that matplotlib's lack a glyph of some label only costs exact widths.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        drawn = Canvas(height)
        yield drawn
        drawn.svg = _inline_svg(drawn.figure, alt)


def _inline_svg(figure: Figure, alt: str) -> Markup:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - drawn right above
    for child in [*root.findall(f"{{{SVG}}}metadata"), *root.findall(f"{{{SVG}}}defs[{{{SVG}}}style]")]:
        root.remove(child)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib.update({"class": "chart", "role": "img", "aria-label": alt})
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return Markup(_themed(_with_used_ids(ElementTree.tostring(root, encoding="unicode"))))  # noqa: S704 - escaped by ElementTree


def _with_used_ids(svg: str) -> str:
    """Only the ids that the drawing itself refers to: matplotlib's others (axes_1) are the same in every chart."""
    used = set(re.findall(r'(?:href="|url\()#([\w.]+)', svg))
    return re.sub(r' id="([\w.]+)"', lambda found: found.group(0) if found.group(1) in used else "", svg)


def _themed(svg: str) -> str:
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    return re.sub("|".join(_CSS), lambda found: _CSS[found.group(0)], svg)


def shortened(text: str, length: int = 22) -> str:
    """A name that leaves the chart its room, cut in the middle: names often differ at an end alone."""
    room = length * _LETTER
    kept = min(len(text), length)
    short = text if len(text) <= length else _cut(text, kept)
    while kept > 1 and text_width(short) > room:
        kept -= 1
        short = _cut(text, kept)
    return short


def _cut(text: str, length: int) -> str:
    """So many characters of a text, an ellipsis in place of its middle."""
    start = length // 2
    return f"{text[:start]}…{text[len(text) - (length - 1 - start) :]}"


def told_apart(names: Sequence[str], length: int = 22) -> list[str]:
    """Names of one chart, each shortened, and so that different ones stay different.

    Names that would be cut to the same begin where they differ; if that is not enough, with their place among all.
    """
    short = {name: shortened(name, length) for name in names}
    for alike in _cut_to_the_same(short):
        common = sum(len({name[:end] for name in alike}) == 1 for end in range(1, min(map(len, alike)) + 1))
        short |= {name: shortened(f"…{name[common:]}", length) for name in alike}
    places = {name: f"{place}: " for place, name in enumerate(short, 1)}
    for alike in _cut_to_the_same(short):
        short |= {name: places[name] + shortened(name, length - len(places[name])) for name in alike}
    return [short[name] for name in names]


def _cut_to_the_same(short: Mapping[str, str]) -> list[list[str]]:
    """Names by what they were shortened to, where that is several."""
    by_short: dict[str, list[str]] = {}
    for name, cut in short.items():
        by_short.setdefault(cut, []).append(name)
    return [alike for alike in by_short.values() if len(alike) > 1]
