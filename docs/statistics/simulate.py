"""How often intervals and rules are wrong, in a world whose truth is known.

Scenes are drawn, two equal detectors and a better one look at them, and all goes through the code of the pipeline:
thresholds chosen on val, resamples, intervals, verdicts. The truth is one draw of very many scenes.

Example:
  python -m docs.statistics.simulate --cell "9 scenes" --runs 400
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from docs.statistics.world import RARE, Truth, World, detect, draw_truth, many_scenes
from tasks.contracts.bundle import CHAMPION
from tasks.contracts.evaluation import Evaluation
from tasks.gating.judgement import Evaluated, judge
from tasks.gating.rules import MetricRule, parse_rules
from tasks.metrics.bootstrap import count, draw, resampled_figures
from tasks.metrics.figures import OVERALL, class_figures, overall_figures
from tasks.metrics.matching import Matches
from tasks.metrics.operating_points import choose_thresholds, parse_operating_point
from tasks.metrics.resampled_thresholds import resampled_thresholds
from tasks.metrics.use_case import counts_at, figures, metric_name, rates

_SURE = {"found": (5.0, 5.0, 5.0), "fit": (2.5, 2.5, 2.5), "alarms": 0.05}
CELLS = {
    "60 scenes": World(60),
    "25 scenes": World(25),
    "12 scenes": World(12),
    "9 scenes": World(9),
    "4 scenes": World(4),
    "12 scenes, a few hold most": World(12, even=0.4),
    "20 scenes, AP near 1": World(20, **_SURE),  # type: ignore[arg-type]
}
MEASURED = [*OVERALL, metric_name("ap50", RARE)]
RULES = ["recall", "map50", "map50_95", "f1"]  # not worse than champion
FEWEST_GROUPS = 6  # as evaluate.fewest_groups
_MANY = 30_000  # scenes of the truth
_BETTER = 0.6  # logits, of the challenger that is to pass


@dataclass(frozen=True)
class Run:
    """What came out of one draw of val and test."""

    above: dict[str, float]  # by figure, 1 where the lower bound lies above the truth; NaN where nothing was measured
    gap: dict[str, float]  # by figure, how far the lower bound lies below the value
    equal: dict[str, float]  # by rule, 1 where an equal of the champion is promoted
    better: dict[str, float]  # by rule, 1 where a better one is


def simulate(world: World, runs: int, resamples: int, *, rules: bool = True, seed: int = 0) -> pd.DataFrame:
    """One row per figure: shares of runs in percent, and the mean gap.

    above: the lower 95 % bound lies above the truth, in 2.5 % if it keeps its word; equal, better: promoted by
    `<figure> not worse than champion` at 95 % confidence, unless without `rules`.
    """
    rng = np.random.default_rng([seed, 1])
    everything = detect(draw_truth(many_scenes(world, _MANY), rng), rng)
    aps = true_aps(everything)
    done = [_run(world, everything, aps, resamples, [seed, 2, number], rules=rules) for number in range(runs)]
    tables = {
        name: pd.DataFrame([getattr(run, name) for run in done]).mean() * (1 if name == "gap" else 100)
        for name in ("above", "gap", "equal", "better")
    }
    return pd.DataFrame(tables).reindex(MEASURED)


def _run(
    world: World, everything: Matches, aps: Mapping[str, float], resamples: int, seed: list[int], *, rules: bool
) -> Run:
    rng = np.random.default_rng(seed)
    val, test = draw_truth(world, rng), draw_truth(world, rng)
    number = int(rng.integers(2**31))
    champion, *challengers = (
        _target(val, test, rng, better=logits, resamples=resamples, seed=number)
        for logits in ((0.0, 0.0, _BETTER) if rules else (0.0,))
    )
    true = {**aps, **_true_rates(everything, champion)}
    measured = {**champion.evaluation.overall, MEASURED[-1]: champion.evaluation.classes[RARE].ap50}
    above, gap = {}, {}
    for name, interval in measured.items():
        if interval.value is not None and interval.low is not None:
            above[name] = float(interval.low > true[name] + 1e-9)
            gap[name] = interval.value - interval.low
    equal, better = (dict(_promoted(challenger, champion)) for challenger in challengers) if rules else ({}, {})
    return Run(above, gap, equal, better)


def _target(
    val: Truth, test: Truth, rng: np.random.Generator, *, better: float, resamples: int, seed: int
) -> Evaluated:
    """A detector as evaluate measures it."""
    points = [parse_operating_point("best f1", "")] * len(val.world.labels)
    on_val = detect(val, rng, better)
    chosen = choose_thresholds(on_val, points)
    matches = detect(test, rng, better)
    thresholds = [threshold.score for threshold in chosen]
    drawn, val_drawn = draw(test.scenes, resamples, seed), draw(val.scenes, resamples, [seed, 1])
    table = resampled_figures(matches, resampled_thresholds(on_val, points, val_drawn), drawn)
    counts = count(matches, thresholds, drawn)
    values = figures(matches, thresholds)
    evaluation = Evaluation(
        target="",
        fewest_groups=FEWEST_GROUPS,
        overall=overall_figures(values, table, counts),
        classes=class_figures(matches, chosen, values=values, resamples=table, counts=counts),
    )
    return Evaluated(evaluation, table)


def true_aps(everything: Matches) -> dict[str, float]:
    """COCO's definition once more, written apart from the pipeline's."""
    aps = np.empty((len(everything.labels), len(everything.ious)))
    for label in range(len(everything.labels)):
        right = np.cumsum(everything.found[everything.of(label)] >= 0, axis=0)
        best = np.maximum.accumulate((right / np.arange(1, len(right) + 1)[:, None])[::-1])[::-1]
        for column, (reached, precision) in enumerate(zip(right.T / everything.objects[label], best.T, strict=True)):
            levels = np.searchsorted(reached, np.linspace(0, 1, 101))
            aps[label, column] = np.append(precision, 0)[levels].mean()
    named = {"map50": aps[:, 0].mean(), "map50_95": aps.mean(), MEASURED[-1]: aps[everything.labels.index(RARE), 0]}
    return {name: float(value) for name, value in named.items()}


def _true_rates(everything: Matches, target: Evaluated) -> dict[str, float]:
    """Overall rates at the target's own thresholds, which is what it will do."""
    thresholds = [target.evaluation.classes[label].threshold for label in everything.labels]
    right, wrong = counts_at(everything, thresholds)
    overall = rates(right.sum(), wrong.sum(), everything.objects.sum())
    return dict(zip(("precision", "recall", "f1"), map(float, overall), strict=True))


def _promoted(challenger: Evaluated, champion: Evaluated) -> Iterator[tuple[str, float]]:
    for rule in parse_rules([f"{name} not worse than champion" for name in RULES], 0.95):
        assert isinstance(rule, MetricRule)
        (result,) = judge(rule, challenger, {CHAMPION: champion})
        yield rule.name, float(result.outcome == "accepted")


def main(
    cell: Annotated[str | None, typer.Option(help=f"one of {', '.join(map(repr, CELLS))}; all without")] = None,
    runs: Annotated[int, typer.Option(help="draws per cell; with 400, shares are known to 1 or 2 %")] = 400,
    resamples: Annotated[int, typer.Option(help="as evaluate.resamples")] = 1000,
) -> None:
    """Print a table per cell."""
    print_cells(CELLS, simulate, cell, runs, resamples)


def print_cells(
    cells: Mapping[str, World],
    simulation: Callable[[World, int, int], pd.DataFrame],
    cell: str | None,
    runs: int,
    resamples: int,
) -> None:
    """A table of this cell, or of each, as it is done."""
    for name, world in cells.items():
        if cell in (None, name):
            started = time.perf_counter()
            table = simulation(world, runs, resamples)
            typer.echo(f"{name}, {runs} runs in {time.perf_counter() - started:.0f} s\n{table.round(3).to_string()}\n")


if __name__ == "__main__":
    typer.run(main)
