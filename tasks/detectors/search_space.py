"""Which params of a recipe a search may vary, and how far."""

from typing import Any, Protocol

from pydantic import Field, ValidationError, model_validator

from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.params import Params
from tasks.detectors.recipe import Recipe, Value


class Range(Params):
    """A range of numbers that a search draws from, both ends included."""

    low: float = Field(allow_inf_nan=False, description="smallest value")
    high: float = Field(allow_inf_nan=False, description="largest value")
    log: bool = Field(default=False, description="equal chance for each order of magnitude")
    step: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="distance of values; null: any (1 for whole numbers)"
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and (self.step is not None or self.low <= 0):
            raise ValueError("log wants a low above 0 and no step")
        return self


Space = dict[str, Range | list[Value]]


class Suggestions(Protocol):
    """Optuna's trial, as far as a space asks it."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        """Give a whole number from low to high, both included."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float:
        """Give a number from low to high."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Give one of the choices."""


def suggest(space: Space, recipe: Recipe, trial: Suggestions) -> dict[str, Value]:
    """Values for every param of the space."""
    return {name: _suggest(name, values, recipe, trial) for name, values in space.items()}


def _suggest(name: str, values: Range | list[Value], recipe: Recipe, trial: Suggestions) -> Value:
    if not isinstance(values, Range):
        choice: Value = trial.suggest_categorical(name, values)
        return choice
    if _is_whole(name, recipe):
        step = int(values.step or 1)
        return trial.suggest_int(name, int(values.low), int(values.high), step=step, log=values.log)
    return trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)


def own_values(space: Space, recipe: Recipe) -> dict[str, Value]:
    """The recipe's own values of the params searched, where the space holds them."""
    own = {name: getattr(recipe, name) for name in space}
    return {name: value for name, value in own.items() if _holds(space[name], value)}


def _holds(values: Range | list[Value], value: Value) -> bool:
    if isinstance(values, Range):
        return isinstance(value, int | float) and values.low <= value <= values.high
    return value in values


def check_space(space: Space, recipe: Recipe) -> None:
    """Hold a space to the recipe's params and their bounds.

    Raises PipelineError naming every fault at once.
    """
    faults = [fault for name, values in space.items() for fault in _faults(name, values, recipe)]
    if not space:
        faults = ["it names no parameter: nothing to search; or set tune.trials: 0"]
    if faults:
        raise PipelineError(
            "tune.space is not valid",
            "params.yaml:\n" + first_of(faults),
            f"Parameters of {recipe.family} to search: {', '.join(recipe.searchable())}",
        )


def _faults(name: str, values: Range | list[Value], recipe: Recipe) -> list[str]:
    if name not in recipe.searchable():
        return [f"{name} is no parameter of {recipe.family} that can be searched"]
    if isinstance(values, Range):
        if type(recipe).model_fields[name].annotation not in {int, float}:
            return [f"{name} wants a list of choices, not a range"]
        kind = int if _is_whole(name, recipe) else float
        ends: list[Value] = [kind(values.low), kind(values.high)]
        if _is_whole(name, recipe) and not all(
            number.is_integer() for number in (values.low, values.high, values.step or 1.0)
        ):
            return [f"{name} wants whole numbers"]
    elif not values:
        return [f"{name} has no choices"]
    else:
        ends = values
    return [fault for value in ends for fault in _refused(name, value, recipe)]


def _refused(name: str, value: Value, recipe: Recipe) -> list[str]:
    try:
        recipe.with_changes({name: value})
    except ValidationError as error:
        return [f"{name} {value!r}: {fault['msg']}" for fault in error.errors()]
    return []


def _is_whole(name: str, recipe: Recipe) -> bool:
    return type(recipe).model_fields[name].annotation is int
