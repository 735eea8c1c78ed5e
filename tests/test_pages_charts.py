"""Charts as inline SVG that follow the page's theme."""

import re
import warnings
from collections.abc import Callable
from xml.etree import ElementTree

import pandas as pd
import pytest
from markupsafe import Markup

from tasks.contracts.evaluation import Interval, ScoreBin
from tasks.pages.accuracy_charts import Curve, f1_chart, interval_chart, reliability_chart, tradeoff_chart
from tasks.pages.charts import INK, SERIES, canvas, shortened
from tasks.pages.search_charts import importance_chart, parallel_chart, parameter_chart, trials_chart
from tasks.pages.training import history_charts
from tasks.pages.training_charts import balance_chart

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


def test_long_name_is_shortened() -> None:
    assert shortened("a" * 30, 10) == "a" * 9 + "…"
    assert shortened("a" * 10, 10) == "a" * 10


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
