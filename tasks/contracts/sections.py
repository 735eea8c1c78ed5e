"""All sections of params.yaml, each as its own stage reads it."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from tasks.contracts.params import Params, Tracking, UseCase, section_faults

S = TypeVar("S", bound=Params)

SHARED: dict[str, type[Params]] = {"use_case": UseCase, "tracking": Tracking}


class AllParams:
    """All sections: what is wrong with them, and the values of those with which nothing is."""

    def __init__(self, sections: Mapping[str, object], of_stages: Mapping[str, type[Params]]) -> None:
        """sections: of params.yaml, by name; of_stages: by stage, the class that its section has to fit."""
        models = {**SHARED, **of_stages}
        self.faults = [
            f"{name} is unknown{_nearest(str(name), models)}" for name in sections if name not in {*models, "seed"}
        ]
        self._values: dict[str, Params] = {}
        for name, model in models.items():
            found = section_faults(sections.get(name), name, model)
            self.faults += found if name in sections or not found else [f"section {name} is missing"]
            if not found:
                self._values[name] = model.model_validate(sections.get(name) or {})

    def read(self, name: str, model: type[S]) -> S | None:
        """A section, or the part of it that `model` has; None if something is wrong with it."""
        return model.model_validate(self._values[name].model_dump()) if name in self._values else None


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; the nearest section is {near[0]}" if near else f" (known: seed, {', '.join(known)})"
