"""How far an artefact is from the checkpoint, on made-up networks whose difference is known."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from tasks.contracts.bundle import Output, Preprocessing
from tasks.contracts.errors import PipelineError
from tasks.exporting.acceptance import refuse_beyond_tolerance
from tasks.exporting.image_sample import Sample
from tasks.exporting.parity import compare, side_by_side, summarise
from tasks.exporting.tolerance import Tolerance
from tasks.runtimes.protocol import Runtime
from tests.fixtures.bundle import make_bundle
from tests.fixtures.repository import REPOSITORY

Layout = Literal["yolo", "end2end", "detr"]
Columns = NDArray[np.float64]
IMAGE = np.zeros((160, 160, 3), dtype=np.uint8)
# centre x, centre y, width, height, score of bolt, score of nut; an object and a doubtful one
TWO_OBJECTS = [[50.0, 50, 20, 20, 0.9, 0.0], [100.0, 100, 30, 30, 0.0, 0.5], [20.0, 120, 10, 10, 0.1, 0.0]]


class FixedNetwork:
    """Finds the same boxes in every image."""

    device = "cpu"

    def __init__(self, rows: list[list[float]], layout: Layout) -> None:
        boxes = np.array(rows, dtype=np.float32).reshape(-1, 6)
        self.output = (boxes.T if layout == "yolo" else boxes)[None]

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: ARG002
        return self.output


def runtime(rows: list[list[float]], layout: Layout = "yolo") -> Runtime:
    bundle = make_bundle(
        classes=["bolt", "nut"], preprocessing=Preprocessing(input_wh=(160, 160)), output=Output(layout=layout)
    )
    return Runtime(bundle, FixedNetwork(rows, layout))


def changed(change: Callable[[Columns], object]) -> list[list[float]]:
    rows = np.array(TWO_OBJECTS)
    change(rows)
    changed_rows: list[list[float]] = rows.tolist()
    return changed_rows


def _shift(rows: Columns) -> None:
    rows[1, 0] += 2


def _fade(rows: Columns) -> None:
    rows[0, 4] -= 0.25


def _swap_classes(rows: Columns) -> None:
    rows[1, 4:] = rows[1, :3:-1]


def _tear_apart(rows: Columns) -> None:
    rows[0, 0] += 15


def _trust_the_doubtful(rows: Columns) -> None:
    rows[2, 4] = 0.99


@pytest.mark.parametrize(
    ("change", "matched", "extra", "box_px", "score"),
    [
        pytest.param(lambda _: None, 2, 0, 0.0, 0.0, id="equal"),
        pytest.param(_shift, 2, 0, 2.0, 0.0, id="a box moved"),
        pytest.param(_fade, 2, 0, 0.0, 0.25, id="a score fell"),
        pytest.param(_swap_classes, 1, 1, 0.0, 0.0, id="another class is another object"),
        pytest.param(_tear_apart, 1, 1, 0.0, 0.0, id="overlap below a half is another object"),
        pytest.param(_trust_the_doubtful, 2, 1, 0.0, 0.0, id="sure of what the checkpoint doubts"),
    ],
)
def test_difference_is_measured_box_by_box(
    change: Callable[[Columns], object], matched: int, extra: int, box_px: float, score: float
) -> None:
    parity = summarise(compare(runtime(TWO_OBJECTS), runtime(changed(change)), [IMAGE, IMAGE], 0.25))
    assert (parity.images, parity.boxes, parity.matched, parity.extra) == (2, 4, 2 * matched, 2 * extra)
    assert parity.max_box_px == pytest.approx(box_px, abs=1e-4)
    assert parity.max_score == pytest.approx(score, abs=1e-6)


def test_a_near_tie_that_suppression_decided_otherwise_is_no_difference() -> None:
    # Two boxes for one object, 3 px apart: the artefact's rounding makes the other one win.
    left, right = [50.0, 50, 40, 40, 0.900, 0], [53.0, 50, 40, 40, 0.899, 0]
    parity = summarise(compare(runtime([left, right]), runtime([[*left[:4], 0.8985, 0], right]), [IMAGE], 0.25))
    assert parity.matched == 1
    assert parity.max_box_px == pytest.approx(0, abs=1e-4)


def test_a_checkpoint_that_is_sure_of_nothing_is_compared_by_its_best_boxes() -> None:
    unsure = changed(lambda rows: np.multiply(rows, [1, 1, 1, 1, 0.1, 0.1], out=rows))
    assert summarise(compare(runtime(unsure), runtime(unsure), [IMAGE], 0.25)).boxes == 3


def test_without_any_box_there_is_no_figure() -> None:
    parity = summarise(compare(runtime([[0.0] * 6]), runtime([[0.0] * 6]), [IMAGE], 0.25))
    assert (parity.boxes, parity.max_box_px, parity.mean_score) == (0, None, None)


def test_a_box_that_rounding_lifts_over_the_score_is_no_ghost() -> None:
    checkpoint, artefact = ([*TWO_OBJECTS[:2], [20.0, 120, 10, 10, score, 0]] for score in (0.249, 0.251))
    assert summarise(compare(runtime(checkpoint), runtime(artefact), [IMAGE], 0.25)).extra == 0


@pytest.mark.parametrize("layout", ["detr", "end2end"])
def test_a_second_box_on_an_object_is_one_too_many_where_nothing_is_suppressed(layout: Layout) -> None:
    # Centre and size in halves of the input, or corners in pixels: one box in the middle.
    box = [0.5, 0.5, 0.5, 0.5] if layout == "detr" else [40.0, 40, 120, 120]
    once, twice = ([[*box, 0.9, 0]], [[*box, 0.9, 0], [*box, 0.8, 0]])
    parity = summarise(compare(runtime(once, layout), runtime(twice, layout), [IMAGE], 0.25))
    assert (parity.matched, parity.extra) == (1, 1)


@pytest.mark.parametrize("objects", [2, 0], ids=["beside its objects", "where it finds nothing"])
def test_an_artefact_full_of_ghosts_is_refused(objects: int) -> None:
    checkpoint = TWO_OBJECTS[:objects] or [[0.0] * 6]
    ghosts = [[8.0 + 16 * column, 8.0 + 16 * row, 4, 4, 0.99, 0] for column in range(10) for row in range(10)]
    artefact = runtime([*checkpoint, *ghosts])
    compared = compare(runtime(checkpoint), artefact, [IMAGE], 0.25)
    with pytest.raises(PipelineError, match=r"100 boxes that the checkpoint does not have, .* 0 allowed"):
        refuse_beyond_tolerance(artefact.bundle, compared, Sample(["a"], [], [], {}), Tolerance(min_matched=0.7))


def test_both_outputs_are_shown_side_by_side() -> None:
    def lose_and_imagine(rows: Columns) -> None:
        rows[1, 4:] = 0
        rows[2, 4] = 0.75

    (compared,) = compare(runtime(TWO_OBJECTS), runtime(changed(lose_and_imagine)), [IMAGE], 0.25)
    assert side_by_side(compared, ["bolt", "nut"]).splitlines() == [
        "  class  checkpoint                                artefact",
        "  nut    0.500 [   85.0    85.0   115.0   115.0]   not found",
        "  bolt   not found                                 0.750 [   15.0   115.0    25.0   125.0]",
        "  bolt   0.900 [   40.0    40.0    60.0    60.0]   0.900 [   40.0    40.0    60.0    60.0]",
    ]


INT8 = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["export"]["tolerance"]["int8"]


def scattered(
    *, noise_px: float = 0.3, shift_px: float = 0.0, size: float = 1.0, score: float = 1.0
) -> list[list[float]]:
    """Thirty-six boxes, off as INT8 has them: by a little to either side, and one of them by much."""
    rng = np.random.default_rng(4)
    rows = [[12.0 + 26 * x, 12.0 + 26 * y, 20.0, 20.0, 0.9, 0.0] for x in range(6) for y in range(6)]
    if noise_px:
        moved = np.array(rows) + [[*rng.normal(0, noise_px, 4), 0, 0] for _ in rows]
        moved[7, 0] += 4
        rows = moved.tolist()
    return [[row[0] + shift_px, row[1], row[2] * size, row[3] * size, row[4] * score, 0.0] for row in rows]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({}, "", id="sound"),
        pytest.param({"shift_px": 3.0}, r"boxes \S+ px of the input off to one side, 0.5 allowed", id="3 px to a side"),
        pytest.param({"shift_px": -1.0}, "off to one side", id="1 px to the other"),
        pytest.param({"size": 1.35}, "one box in ten more than .* of its size off, 0.1 allowed", id="too large"),
        pytest.param({"score": 0.7}, r"one score in ten more than 0.27 off, 0.1 allowed", id="less sure"),
    ],
)
def test_int8_may_move_single_boxes_and_not_all_of_them(changes: dict[str, float], said: str) -> None:
    artefact = runtime(scattered(**changes))
    compared = compare(runtime(scattered(noise_px=0.0)), artefact, [IMAGE], 0.25)
    tolerance = Tolerance.model_validate(INT8)
    if not said:
        refuse_beyond_tolerance(artefact.bundle, compared, Sample(["a"], [], [], {}), tolerance)
        return
    with pytest.raises(PipelineError, match=said):
        refuse_beyond_tolerance(artefact.bundle, compared, Sample(["a"], [], [], {}), tolerance)


def test_of_few_boxes_one_may_be_far_off() -> None:
    three = scattered(noise_px=0.0)[:3]
    moved = [[three[0][0] + 5, *three[0][1:]], *three[1:]]
    parity = summarise(compare(runtime(three), runtime(moved), [IMAGE], 0.25))
    assert parity.max_box_px == pytest.approx(5, abs=1e-4)
    assert parity.p90_box == pytest.approx(0, abs=1e-4)
    assert parity.bias_input_px is None
