"""What predictions cost is measured on the predictions alone."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from tasks.dataset.decoding import Image
from tasks.evaluating.cost import Timing, added_memory, timing

IMAGE = np.zeros((2, 2, 3), dtype=np.uint8)


def test_latency_is_taken_of_every_prediction_but_the_warm_up() -> None:
    seen: list[int] = []

    def predict(image: Image) -> None:
        seen.append(int(image[0, 0, 0]))

    images = [np.full((2, 2, 3), shade, dtype=np.uint8) for shade in range(3)]
    timed = timing(predict, images, warm_up=4, count=5, rounds=2, threads=1)
    assert seen == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert [len(round_ms) for round_ms in timed.rounds_ms] == [3, 2]
    assert (timed.all_ms > 0).all()


def steady(others_share: float = 0.0, slow: float = 1.0) -> Timing:
    """Five rounds of about 10 ms; the last one so many times as slow."""
    rounds = [np.linspace(9.9, 10.1, 20) * (slow if number == 4 else 1.0) for number in range(5)]
    return Timing(rounds, others_share, load=17.0)


def test_interval_of_a_latency_holds_what_differs_between_its_rounds() -> None:
    low, high = steady().interval_ms(50)
    assert 9.9 < low <= high < 10.1
    low, high = steady(slow=3.0).interval_ms(95)
    assert low < 10.2
    assert high > 29


@pytest.mark.parametrize(
    ("timed", "said"),
    [
        pytest.param(steady(), "", id="calm"),
        pytest.param(steady(others_share=0.09), "", id="a little beside it"),
        pytest.param(steady(others_share=0.46), "other processes took 46% of the processors (load 17.0)", id="busy"),
        pytest.param(steady(slow=2.0), "rounds differ, 10 to 20 ms in the median", id="uneven"),
    ],
)
def test_a_busy_machine_is_told_with_its_figures(timed: Timing, said: str) -> None:
    assert timed.busy(most_others=0.1, most_spread=1.5) == said


def test_what_other_processes_take_of_the_processors_is_seen() -> None:
    processors = os.sched_getaffinity(0)
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in processors]
    try:
        took = timing(lambda _image: time.sleep(0.02), [IMAGE], warm_up=10, count=25, rounds=5, threads=len(processors))
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    assert took.others_share > 0.1
    assert "other processes took" in took.busy(most_others=0.1, most_spread=1e9)


def test_memory_is_what_the_block_added_at_its_highest() -> None:
    before = np.ones(20_000_000)  # held before: does not count
    with added_memory() as memory:
        passing = np.ones(10_000_000)  # 80 MB
        del passing
        left = np.ones(1_000_000)
    assert 75 < memory.megabytes < 130
    assert before.size + left.size == 21_000_000
