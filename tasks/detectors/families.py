"""The families of detectors: where each is declared, and the one way to it by its name.

A family beside ours is a Python package that declares it as an entry point, as plug-ins do everywhere:

    [project.entry-points."sightline.families"]
    my-family = "my_package.my_module:MyDetector"    # a protocol.Detector

`train.family: my-family` then trains it where the package is installed. Names on cards and in bundles, too, lead to
what is installed and declared, and to nothing else. DVC does not watch the package: when it changes, run
`dvc repro --force train`.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import field_validator

from tasks.contracts.errors import PipelineError
from tasks.contracts.params import read_params, read_sections
from tasks.detectors.protocol import Detector
from tasks.detectors.recipe import DEFAULT_FAMILY, Recipe

# Ours, by name: module and class. Loaded by name, so that no import statement shows them.
FAMILIES = {
    "ultralytics": "tasks.detectors.ultralytics_detector:UltralyticsDetector",
}
GROUP = "sightline.families"


@cache
def load_family(name: str, where: str = "train.family") -> Detector[Recipe]:
    """The family by its name in params, or on a card or bundle, as `where` says.

    Raises PipelineError for one that is not declared or cannot be loaded.
    """
    place = _place(name)
    if place is None:
        raise PipelineError(f"no family {name!r}", where, _known())
    module, _, attribute = place.partition(":")
    try:
        detector = _made(getattr(import_module(module), attribute))
    except Exception as error:  # whatever code of others raises
        raise PipelineError(
            f"family {name!r} cannot be loaded",
            f"{place}: {error}",
            "Install what it needs, or correct its declaration",
        ) from error
    return detector


def _made(family: type[Detector[Recipe]]) -> Detector[Recipe]:
    detector, recipe = family(), getattr(family, "recipe", None)
    if not isinstance(recipe, type) or not issubclass(recipe, Recipe):
        raise TypeError("its `recipe` is no subclass of Recipe")
    return detector


def _place(name: str) -> str | None:
    """Module and class of a family; nobody takes the name of one of ours."""
    return FAMILIES.get(name) or next((entry.value for entry in entry_points(group=GROUP, name=name)), None)


def _known() -> str:
    names = {*FAMILIES, *entry_points(group=GROUP).names}
    return f"Take one of {', '.join(sorted(names))}, or install the package that declares it"


def recipe_class(section: object) -> type[Recipe]:
    """The class that a section `train` has to fit, by the family that it names."""
    name = section.get("family", DEFAULT_FAMILY) if isinstance(section, dict) else DEFAULT_FAMILY
    return load_family(name).recipe if isinstance(name, str) and _place(name) else _Undeclared


class _Undeclared(Recipe, extra="ignore"):
    """A section of which only that can be told: its family is not declared."""

    @field_validator("family")
    @classmethod
    def _is_declared(cls, name: str) -> str:
        raise ValueError(f"there is no family {name!r}. {_known()}")


def read_recipe(params: Path) -> Recipe:
    """Section `train` of a params.yaml, as its family reads it.

    Raises PipelineError naming every wrong key at once.
    """
    return read_params(params, "train", recipe_class(read_sections(params).get("train")))


def code_beside_ours(name: str) -> list[Path]:
    """Where the package of a family from elsewhere lies, whole; none for ours, whose code stages name themselves."""
    if name in FAMILIES:
        return []
    package = import_module(type(load_family(name)).__module__.partition(".")[0])
    return [Path(place) for place in getattr(package, "__path__", [package.__file__])]
