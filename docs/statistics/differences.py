"""How often rules about a difference are accepted that should not be, where a class is in few scenes.

An artefact that lost more than `drop of map50 <= 0.02` allows beside its checkpoint, and a challenger that is worse
than the champion, both by 0.03: what they lost, they lost of one class, or in all. The truth is one draw of very many
scenes.

Example:
  python -m docs.statistics.differences --cell "1 of 40"
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from docs.statistics.simulate import FEWEST_GROUPS, print_cells, true_aps
from docs.statistics.world import NO_LOSS, Loss, Truth, World, detect, draw_truth, many_scenes
from tasks.contracts.bundle import CHAMPION, CHECKPOINT
from tasks.contracts.evaluation import Evaluation
from tasks.gating.judgement import Evaluated, judge
from tasks.gating.rules import parse_rules
from tasks.metrics.bootstrap import Resampling, count, draw, resampled_figures
from tasks.metrics.figures import class_figures, overall_figures
from tasks.metrics.matching import Matches
from tasks.metrics.operating_points import Threshold
from tasks.metrics.use_case import figures

DROP = "drop of map50 <= 0.02 at 95 % confidence"
NOT_WORSE = "map50 not worse than champion at 95 % confidence"
_SHARED = 0.95  # of the luck with objects, beside the reference
_TRUE = -0.03  # what the one that is not to pass has less, of mAP50
_CLASSES = 10
_MANY = 4_000  # scenes of the truth


def _world(scenes: int, rare_scenes: int | None) -> World:
    """Ten classes, of which the last has 30 objects in so many scenes."""
    frequent = _CLASSES - 1
    return World(
        scenes,
        objects=(1.0,) * frequent,
        rare=30,
        rare_scenes=rare_scenes,
        found=(2.2,) * _CLASSES,
        fit=(1.0,) * _CLASSES,
        alarms=0.1,
    )


CELLS = {
    **{f"{few} of 40": _world(40, few) for few in (1, 2, 3, 5, 6, 40)},
    "9 of 9": _world(9, 9),
    "12 of 12": _world(12, 12),
}


@dataclass(frozen=True)
class Pair:
    """A detector beside its reference: how it is drawn, and the rule that it is held to."""

    rule: str
    better: float = 0.0  # logits of finding
    loss: Loss = NO_LOSS
    true: float | None = _TRUE  # the loss is made larger or smaller until it is this; None: as it is drawn


_BETTER = 0.5
PAIRS = {
    "drop: lost in whole scenes": Pair(DROP, loss=Loss(depth=1.0)),
    "drop: lost by 60 % in some scenes": Pair(DROP, loss=Loss(depth=0.6)),
    "drop: lost in all scenes alike": Pair(DROP, loss=Loss(share=1.0)),
    "drop: all classes by 60 % in some scenes": Pair(DROP, loss=Loss(depth=0.6, rare_alone=False)),
    "drop: none": Pair(DROP, true=None),
    "champion: lost in whole scenes": Pair(NOT_WORSE, _BETTER, Loss(depth=1.0)),
    "champion: better": Pair(NOT_WORSE, _BETTER, true=None),
}


def simulate(world: World, runs: int, resamples: int, seed: int = 0) -> pd.DataFrame:
    """One row per pair: its true difference in mAP50, and the share of runs in percent that its rule accepts."""
    many = draw_truth(many_scenes(world, _MANY), np.random.default_rng([seed, 1]))
    calibrated = {name: _calibrated(pair, many, seed) for name, pair in PAIRS.items()}
    true = {name: _map50(pair, many, seed) - _map50(None, many, seed) for name, pair in calibrated.items()}
    done = [dict(_accepted(calibrated, world, resamples, [seed, 2, run])) for run in range(runs)]
    return pd.DataFrame({"true": true, "accepted": 100 * pd.DataFrame(done).mean()}).reindex(list(PAIRS))


def _calibrated(pair: Pair, many: Truth, seed: int) -> Pair:
    """The pair with the loss that makes its difference what it is to be."""
    if pair.true is None:
        return pair

    def lost(size: float) -> Pair:
        alike = pair.loss.share == 1
        return replace(pair, loss=replace(pair.loss, depth=size) if alike else replace(pair.loss, share=size))

    bar, whole = _map50(None, many, seed) + pair.true, _map50(lost(0.0), many, seed)
    size = 0.5
    for _ in range(2):  # nearly in proportion
        size = min(1.0, size * (whole - bar) / (whole - _map50(lost(size), many, seed)))
    return lost(size)


def _map50(pair: Pair | None, truth: Truth, seed: int) -> float:
    return true_aps(_seen(pair, truth, np.random.default_rng(seed)))["map50"]


def _accepted(pairs: Mapping[str, Pair], world: World, resamples: int, seed: list[int]) -> Iterator[tuple[str, float]]:
    rng = np.random.default_rng(seed)
    truth = draw_truth(world, rng)
    drawn = draw(truth.scenes, resamples, seed)
    reference = _target(_seen(None, truth, rng), drawn)
    for name, pair in pairs.items():
        target = _target(_seen(pair, truth, rng), drawn)
        (result,) = judge(parse_rules([pair.rule], 0.95)[0], target, {CHECKPOINT: reference, CHAMPION: reference})
        yield name, float(result.outcome == "accepted")


def _seen(pair: Pair | None, truth: Truth, rng: np.random.Generator) -> Matches:
    """What the pair's detector finds, or the reference, at an IoU of 0.5 alone."""
    better, loss = (pair.better, pair.loss) if pair else (0.0, NO_LOSS)
    matches = detect(truth, rng, better, _SHARED, loss)
    return replace(matches, ious=matches.ious[:1], found=matches.found[:, :1], ignored=matches.ignored[:, :1])


def _target(matches: Matches, drawn: Resampling) -> Evaluated:
    """A detector as evaluate measures it; thresholds are 0, which AP does not see."""
    thresholds = [0.0] * len(matches.labels)
    table = resampled_figures(matches, np.zeros((len(thresholds), 1)), drawn)
    counts, values = count(matches, thresholds, drawn), figures(matches, thresholds)
    chosen = [Threshold(score=0.0, point="", note="")] * len(thresholds)
    evaluation = Evaluation(
        target="",
        fewest_groups=FEWEST_GROUPS,
        overall=overall_figures(values, table, counts),
        classes=class_figures(matches, chosen, values=values, resamples=table, counts=counts),
    )
    return Evaluated(evaluation, table)


def main(
    cell: Annotated[str | None, typer.Option(help=f"one of {', '.join(map(repr, CELLS))}; all without")] = None,
    runs: Annotated[int, typer.Option(help="draws per cell and row; with 100, 5 % are known to 2")] = 100,
    resamples: Annotated[int, typer.Option(help="as evaluate.resamples")] = 300,
) -> None:
    """Print a table per cell."""
    print_cells(CELLS, simulate, cell, runs, resamples)


if __name__ == "__main__":
    typer.run(main)
