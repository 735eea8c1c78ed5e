"""All sections of params.yaml, each as its own stage reads it."""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from pydantic import ValidationError

from tasks.contracts.params import Params, Tracking, section_faults
from tasks.contracts.use_case import UseCase

S = TypeVar("S", bound=Params)

SHARED: dict[str, type[Params]] = {"use_case": UseCase, "tracking": Tracking}


class AllParams:
    """All sections: what is wrong with them, and the values with which nothing is."""

    def __init__(self, sections: Mapping[str, object], of_stages: Mapping[str, type[Params]]) -> None:
        """sections: of params.yaml, by name; of_stages: by stage, the class that its section has to fit."""
        models = {**SHARED, **of_stages}
        self.faults = [
            f"{name} is unknown{_nearest(str(name), models)}" for name in sections if name not in {*models, "seed"}
        ]
        self._values: dict[str, Params] = {}
        self._wrong: dict[str, set[str]] = {}  # what has its default in `_values`, as what is there cannot be
        for name, model in models.items():
            found = section_faults(sections.get(name), name, model)
            self.faults += found if name in sections or not found else [f"section {name} is missing"]
            values, self._wrong[name] = _sound(sections.get(name) or {}, model)
            if values is not None:
                self._values[name] = values

    def read(self, name: str, model: type[S], needs: Collection[str] | None = None) -> S | None:
        """A section, or the part of it that `model` has; None if something is wrong with what it needs (None: all).

        A section whose own class is a kind of `model` is given whole.
        """
        if (value := self._values.get(name)) is None:
            return None
        whole = isinstance(value, model)
        wanted = needs if needs is not None else type(value).model_fields if whole else model.model_fields
        if self._wrong[name] & {*wanted}:
            return None
        return value if isinstance(value, model) else model.model_validate(value.model_dump())


def _sound(section: object, model: type[Params]) -> tuple[Params | None, set[str]]:
    """What a section is without the values that cannot be, and the names of those; None if it is nothing without."""
    try:
        return model.model_validate(section), set()
    except ValidationError as error:
        wrong = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
    if not isinstance(section, Mapping) or not wrong:
        return None, wrong
    try:
        return model.model_validate({name: value for name, value in section.items() if name not in wrong}), wrong
    except ValidationError:
        return None, wrong


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; the nearest section is {near[0]}" if near else f" (known: seed, {', '.join(known)})"
