"""The class that each stage's section of params.yaml has to fit."""

import pkgutil
from importlib import import_module

import tasks
from tasks.contracts.params import Params
from tasks.detectors.families import recipe_class


def params_classes(train: object = None) -> dict[str, type[Params]]:
    """The class of each stage's section: every module directly in `tasks` is one.

    They live in their stages, which never import each other: by name, each as its own stage has it. That of the section
    `train` belongs to the family which it names.
    """

    def params_class(stage: str) -> type[Params]:
        of_stage: type[Params] = getattr(import_module(f"tasks.{stage}"), f"{stage.capitalize()}Params")
        return of_stage

    stages = [name for _, name, is_folder in pkgutil.iter_modules(tasks.__path__) if not is_folder]
    return {stage: recipe_class(train) if stage == "train" else params_class(stage) for stage in stages}
