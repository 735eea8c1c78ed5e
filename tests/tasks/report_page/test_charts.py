"""Charts as inline SVG that follow the page's theme."""

import re
import warnings
from collections.abc import Callable
from xml.etree import ElementTree

import pandas as pd
import pytest
from markupsafe import Markup

from tasks.contracts.evaluation import Interval, ScoreBin
from tasks.report_page.accuracy_charts import Curve, f1_chart, interval_chart, reliability_chart, tradeoff_chart
from tasks.report_page.captions import text_width
from tasks.report_page.charts import INK, SERIES, canvas, shortened, told_apart
from tasks.report_page.search_charts import importance_chart, parallel_chart, parameter_chart, trials_chart
from tasks.report_page.training import history_charts
from tasks.report_page.training_charts import balance_chart

HOSTILE = '<b>&"$x_1$ カメラ'


def draw(alt: str = "two points") -> Markup:
    with canvas(alt) as drawn:
        drawn.axes.plot([0, 1], [1, 0], color=SERIES[0], marker="o", label=HOSTILE)
        drawn.axes.plot([0, 1], [0, 1], color=INK)
        drawn.axes.legend()
    return drawn.svg


def test_colours_are_those_of_the_page() -> None:
    svg = draw()
    assert "var(--series-1)" in svg
    assert "var(--ink)" in svg
    assert not re.findall(r"#[0-9a-f]{6}\b", re.sub(r'(?:href="|url\()#\w+', "", svg))


def test_text_is_text_in_the_reader_s_font() -> None:
    svg = draw()
    assert "font-family" not in svg
    texts = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert HOSTILE in texts


def test_missing_glyphs_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw()


def test_chart_says_in_words_what_it_shows() -> None:
    root = ElementTree.fromstring(draw(alt='recall of "<crack>"'))
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'recall of "<crack>"'


def test_same_drawing_has_the_same_bytes_and_other_ids_than_another() -> None:
    ids = [set(re.findall(r' id="([^"]+)"', draw(alt))) for alt in ("one", "other")]
    assert draw("one") == draw("one")
    assert ids[0]
    assert not ids[0] & ids[1]


def test_long_name_is_cut_in_its_middle() -> None:
    assert shortened("scratch on a wall tile", 10) == "scrat…tile"
    assert shortened("wall tiles", 10) == "wall tiles"


@pytest.mark.parametrize("letter", ["W", "M", "カ", "😀"])
def test_name_of_wide_letters_is_cut_to_the_width_that_other_names_have(letter: str) -> None:
    cut = [shortened(letter * length) for length in (20, 180)]
    assert cut[0] == cut[1]
    assert text_width(cut[0]) <= 22 * 0.62
    assert len(cut[0]) > 8


PANEL = "surface scratch on painted panel"
ALIKE = {
    "common beginning": [f"{PANEL}, kind number {number}" for number in range(6)],
    "common end": [f"kind {number} of {PANEL}" for number in range(6)],
    "both": [f"{PANEL}, {kind} kind, {PANEL}" for kind in ("deep", "flat", "long")],
    "two groups": [f"{PANEL}, {kind}, {PANEL}{end}" for kind in ("deep", "flat") for end in (" 1", " 2")],
    "differ in two places": [PANEL + left + PANEL + right + PANEL for left in "ab" for right in "ab"],
    "short and long": ["crack", PANEL, PANEL.upper()],
    "one begins another": [PANEL, PANEL + PANEL[:11] + PANEL[11:]],
}


@pytest.mark.parametrize("names", ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize("length", [12, 22])
def test_names_of_one_chart_stay_different(names: list[str], length: int) -> None:
    short = told_apart(names, length)
    assert len(set(short)) == len(names)
    assert max(map(len, short)) <= length


def test_name_that_occurs_twice_reads_the_same_twice() -> None:
    assert told_apart([PANEL, "crack", PANEL]) == [shortened(PANEL), "crack", shortened(PANEL)]


INTERVAL = Interval(value=0.8, low=0.7, high=0.9)
NOTHING = Interval(value=None, low=None, high=None)
BARE = Interval(value=0.8, low=None, high=None)
POINTS = pd.DataFrame({"threshold": [0.1, 0.5], "precision": [0.5, 1.0], "recall": [1.0, 0.5], "f1": [0.67, 0.67]})
TRIALS = pd.DataFrame(
    {"number": [0, 1, 2], "value": [0.5, None, 0.7], "lr0": [1e-4, 1e-3, 1e-2], "opt": ["a", "b", "b"]}
)
BALANCE = pd.DataFrame({"train": [3], "val": [1]}, index=["crack"])
BANDS = [
    ScoreBin(low=0.0, high=0.5, predictions=0, mean_score=None, precision=None),
    ScoreBin(low=0.5, high=1.0, predictions=4, mean_score=0.8, precision=0.75),
]


@pytest.mark.parametrize(
    "draw_chart",
    [
        pytest.param(lambda names: interval_chart([(name, BARE) for name in names], "x", "AP50"), id="intervals"),
        pytest.param(lambda names: tradeoff_chart([(name, 1.0, 0.5, BARE) for name in names], "x", "AP50"), id="trade"),
        pytest.param(
            lambda names: f1_chart([Curve(name, POINTS, 0.1, apart=True) for name in names], "x"), id="curves"
        ),
        pytest.param(lambda names: balance_chart(pd.DataFrame({"train": 1}, index=names), "x"), id="bars"),
        pytest.param(lambda names: importance_chart(dict.fromkeys(names, 0.1), "x"), id="importance"),
    ],
)
def test_chart_names_each_thing_apart(draw_chart: Callable[[list[str]], Markup]) -> None:
    svg = draw_chart(ALIKE["common beginning"])
    assert all(svg.count(f"number {number}<") == 1 for number in range(6)), re.findall(">([^<]*…[^<]*)<", svg)


@pytest.mark.parametrize(
    ("draw_chart", "shown"),
    [
        pytest.param(
            lambda: interval_chart([("a", INTERVAL), ("b", NOTHING)], "x", "mAP50"), "not measured", id="unmeasured"
        ),
        pytest.param(lambda: interval_chart([("a", BARE)], "x", "mAP50"), "mAP50", id="without interval"),
        pytest.param(lambda: tradeoff_chart([("onnx", 4.0, 0.8, INTERVAL)], "x", "mAP50"), "onnx", id="one target"),
        pytest.param(lambda: f1_chart([Curve("crack", POINTS, 0.5, apart=True)], "x"), "crack", id="curve apart"),
        pytest.param(lambda: f1_chart([Curve("crack", POINTS, 0.5, apart=False)], "x"), "threshold", id="grey curve"),
        pytest.param(lambda: reliability_chart(BANDS, "x"), "share that is right", id="empty band"),
        pytest.param(lambda: trials_chart(TRIALS, "x", "mAP50"), "best so far", id="pruned trial"),
        pytest.param(lambda: parameter_chart(TRIALS, "lr0", "x", "mAP50"), "0.001", id="over magnitudes"),
        pytest.param(lambda: parameter_chart(TRIALS, "opt", "x", "mAP50"), ">b<", id="choices"),
        pytest.param(lambda: importance_chart({"lr0": 0.8, "opt": 0.2}, "x"), "0.80", id="importance"),
        pytest.param(lambda: parallel_chart(TRIALS, ["lr0", "opt"], "x", "mAP50"), "0.0001", id="across parameters"),
        pytest.param(lambda: parallel_chart(TRIALS.head(0), ["lr0", "opt"], "x", "mAP50"), "opt", id="no finished"),
        pytest.param(lambda: balance_chart(BALANCE, "x"), "crack", id="bars"),
    ],
)
def test_chart_shows(draw_chart: Callable[[], Markup], shown: str) -> None:
    assert shown in draw_chart()


def test_history_is_divided_into_losses_metrics_and_learning_rate() -> None:
    history = pd.DataFrame({"epoch": [1, 2], "box": [2.0, 1.0], "metric": [0.1, 0.2], "map50": [0.1, 0.2], "lr": 0.01})
    charts = history_charts(history, "map50", 2)
    assert [chart.title for chart in charts] == ["Losses", "Metrics on val", "Learning rate"]
    assert "best epoch" in charts[1].svg


def test_metric_of_the_use_case_bears_its_own_name() -> None:
    history = pd.DataFrame({"epoch": [1], "metric": [0.1], "map50": [0.2]})
    (chart,) = history_charts(history, 'recall of "crack"', 1)
    assert "recall of &quot;crack&quot;" in chart.svg or 'recall of "crack"' in chart.svg


def test_history_without_epochs_has_no_chart() -> None:
    assert history_charts(pd.DataFrame(columns=["epoch", "box"]), "map50", 2) == []
