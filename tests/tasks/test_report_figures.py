"""Figures of the report that say how far they may be trusted: ties, slices, latencies of a busy machine."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.evaluation import Evaluation
from tasks.contracts.record import read_record, write_record
from tests.fixtures.report import write_inputs
from tests.fixtures.report_page import PLAIN, Page, drawn_from

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("moved", "headline", "cell"),
    [
        pytest.param([0.0], "equal on this test set", "equal on test", id="always equal"),
        pytest.param([0.0, 0.01], "ahead in 50 % of resamples, equal in 50 %", "50 % equal in 50 %", id="half"),
        pytest.param([0.01], "ahead in 100 % of resamples", "100 %", id="never equal"),
    ],
)
def test_resamples_without_a_difference_count_for_neither_side(
    tmp_path: Path, moved: list[float], headline: str, cell: str
) -> None:
    paths = write_inputs(tmp_path, PLAIN)
    of = [paths["evaluations"] / target / "resamples.parquet" for target in ("openvino-int8", "champion")]
    table = pd.read_parquet(of[0])
    table["map50"] = 0.5
    table.to_parquet(of[1])
    table["map50"] += np.resize(moved, len(table))
    table.to_parquet(of[0])
    text = Page(drawn_from(paths, tmp_path)).text
    assert f"{headline} Latency" in text
    assert f"{cell} mAP50-95" in text[text.index("Ahead in") :]


@pytest.mark.parametrize(
    ("groups", "shown", "interval"),
    [
        pytest.param([1, 1], "no interval: 1 group a class", False, id="one group"),
        pytest.param([1, 2], "2 groups a class", True, id="two groups of one class"),
        pytest.param([7], "7 groups", True, id="one class"),
    ],
)
def test_slice_says_how_many_groups_it_rests_on_and_has_no_interval_over_one(
    tmp_path: Path, groups: list[int], shown: str, *, interval: bool
) -> None:
    paths = write_inputs(tmp_path, PLAIN)
    file = paths["evaluations"] / "openvino-int8" / "evaluation.json"
    evaluation = read_record(file, Evaluation)
    part = evaluation.slices[0]
    of_class = next(iter(part.classes.values()))
    classes = {f"class {n}": of_class.model_copy(update={"groups": count}) for n, count in enumerate(groups)}
    only = part.model_copy(update={"part": "only", "classes": classes})
    write_record(evaluation.model_copy(update={"slices": [only]}), file)
    text = Page(drawn_from(paths, tmp_path)).text
    row = text[text.index("only 5 9") :][:90]
    assert row.count(shown.removesuffix(" a class")) == 2
    assert shown in row
    assert (f"{part.ap50.low:.3f}" in row) is interval


def test_latency_of_a_busy_machine_is_shown_as_such(tmp_path: Path) -> None:
    paths = write_inputs(tmp_path, PLAIN)
    file = paths["evaluations"] / "openvino-int8" / "evaluation.json"
    evaluation = read_record(file, Evaluation)
    assert evaluation.latency is not None
    busy = evaluation.latency.model_copy(update={"busy": "other processes took 46% of the processors (load 17.0)"})
    write_record(evaluation.model_copy(update={"latency": busy}), file)
    text = Page(drawn_from(paths, tmp_path)).text
    assert "on a busy machine" in text
    assert "other processes took 46% of the processors (load 17.0)" in text
