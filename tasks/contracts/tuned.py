"""`models/tuned/`: what the search found, and how.

best.json             this module's Tuned
trials.parquet        one row per trial: number, state, value, epochs, and one column per searched param
study.journal         the study itself as Optuna's journal; absent without trials
"""

from tasks.contracts.record import Record


class Tuned(Record):
    """What train takes from the search."""

    metric: str  # use_case.metric
    trials: int  # that ran to their end or were pruned
    trial: int | None  # number of the best one; null without trials
    value: float | None  # the metric of its best epoch on val
    params: dict[str, int | float | str | bool]  # take the place of train's; empty without trials
    importances: dict[str, float] = {}  # share by which each param mattered, most first; empty with too few trials
