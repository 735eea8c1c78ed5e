"""What predictions cost is measured on the predictions alone."""

import numpy as np

from tasks.contracts.images import Image
from tasks.runtimes.cost import added_memory, latencies_ms


def test_latency_is_taken_of_every_prediction_but_the_warm_up() -> None:
    seen: list[int] = []

    def predict(image: Image) -> None:
        seen.append(int(image[0, 0, 0]))

    images = [np.full((2, 2, 3), shade, dtype=np.uint8) for shade in range(3)]
    took = latencies_ms(predict, images, warm_up=4, count=5)
    assert seen == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert took.shape == (5,)
    assert (took > 0).all()


def test_memory_is_what_the_block_added_at_its_highest() -> None:
    before = np.ones(20_000_000)  # held before: does not count
    with added_memory() as memory:
        passing = np.ones(10_000_000)  # 80 MB
        del passing
        left = np.ones(1_000_000)
    assert 75 < memory.megabytes < 130
    assert before.size + left.size == 21_000_000
