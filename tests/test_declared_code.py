"""dvc.yaml tells the whole truth: the code that a stage declares is the code that it imports."""

import fnmatch
import subprocess
import sys
from collections.abc import Iterable
from graphlib import TopologicalSorter
from typing import Any

import grimp
import pytest
import yaml

from tasks.detectors.families import FAMILIES
from tasks.runtimes.kinds import KINDS
from tasks.train import CODE
from tests.fixtures.repository import REPOSITORY

PIPELINE: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
# Loaded by name at run time, so that no import statement shows it.
LOADED = {
    "tasks.command.params_classes": [f"tasks.{stage}" for stage in PIPELINE if stage != "doctor"],
    "tasks.runtimes.protocol": sorted({kind.module for kind in KINDS.values()}),
    "tasks.detectors.families": [place.partition(":")[0] for place in FAMILIES.values()],
}
# What may be left out, and what only it imports, as a change of it cannot change what a stage makes. Pattern: why.
LEFT_OUT = {
    "tasks": "a docstring",
    "tasks.contracts.errors": "messages",
    "tasks.contracts.machine_faults": "messages",
    # No class in it has a default that changes a result.
    "tasks.contracts.params": "reads params.yaml, whose values DVC compares itself",
    "tasks.contracts.record": "reads and writes JSON; what stands in it is declared in a module of its own",
    "tasks.contracts.whole_output": "puts a finished file in its place",
    "tasks.execution.*": "command line, locks, where progress lies, and the note of which code it was",
    "tasks.clients.answers": "asks whether systems answer",
    "tasks.clients.sqlite_lock": "locks",
    "tasks.clients.tracking": "logging",
    "tasks.clients.tracking_store": "logging",
}
# What a family does for export, and the names of types in what it is asked for: a training calls none of it.
_EXPORT_OF_FAMILIES = [
    "tasks.detectors.*_export",
    "tasks.detectors.*_reference",
    "tasks.runtimes.protocol",
    "tasks.contracts.bundle",
]
LEFT_OUT_OF = {
    "tune": _EXPORT_OF_FAMILIES,
    "train": _EXPORT_OF_FAMILIES,
    # The bytes that come are those of the digest that the release log names, or the stage fails.
    "export": ["tasks.releases.*", "tasks.contracts.release", "tasks.contracts.verdict"],
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    graph = grimp.build_graph("tasks", cache_dir=None)
    for importer, modules in LOADED.items():
        for imported in modules:
            graph.add_import(importer=importer, imported=imported)
    return graph


def imported_by(stage: str, graph: grimp.ImportGraph) -> set[str]:
    """The stage's own module, and all that it imports, at any depth, but over what is left out."""
    patterns = [*LEFT_OUT, *LEFT_OUT_OF.get(stage, [])]
    found, ahead = set(), [f"tasks.{stage}"]
    while ahead:
        module = ahead.pop()
        if module not in found and not any(fnmatch.fnmatchcase(module, pattern) for pattern in patterns):
            found.add(module)
            ahead += graph.find_modules_directly_imported_by(module)
    return found


def declared_code(stage: str) -> list[str]:
    """As modules: `tasks.metrics` of a folder, `tasks.train` of a file."""
    return [dep.removesuffix(".py").replace("/", ".") for dep in PIPELINE[stage]["deps"] if dep.startswith("tasks")]


def covers(declared: str, modules: Iterable[str]) -> list[str]:
    return [module for module in modules if module == declared or module.startswith(f"{declared}.")]


@pytest.mark.parametrize("stage", PIPELINE)
def test_stage_declares_the_code_that_it_imports(stage: str, graph: grimp.ImportGraph) -> None:
    modules = imported_by(stage, graph)
    told = {module for declared in declared_code(stage) for module in covers(declared, modules)}
    undeclared = sorted(modules - told)
    assert not undeclared, f"dvc.yaml: {stage} imports, and does not declare, {', '.join(undeclared)}"


@pytest.mark.parametrize("stage", PIPELINE)
def test_stage_imports_the_code_that_it_declares(stage: str, graph: grimp.ImportGraph) -> None:
    modules = imported_by(stage, graph)
    unused = [declared for declared in declared_code(stage) if not covers(declared, modules)]
    assert not unused, f"dvc.yaml: {stage} declares, and does not import, {', '.join(unused)}"


@pytest.mark.parametrize("stage", ["tune", "train"])
@pytest.mark.parametrize("folder", ["report_page", "gating", "checks", "parsing", "formats", "exporting", "evaluating"])
def test_change_outside_of_training_trains_nothing_again(stage: str, folder: str) -> None:
    assert not any(declared in ("tasks", "tasks.contracts", f"tasks.{folder}") for declared in declared_code(stage))


def test_no_module_imports_itself_by_way_of_others() -> None:
    written = grimp.build_graph("tasks", cache_dir=None)
    imports = {module: written.find_modules_directly_imported_by(module) for module in written.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError with the circle


def test_modules_that_are_left_out_exist(graph: grimp.ImportGraph) -> None:
    modules = sorted(graph.modules)
    patterns = [*LEFT_OUT, *(pattern for patterns in LEFT_OUT_OF.values() for pattern in patterns)]
    assert [pattern for pattern in patterns if not fnmatch.filter(modules, pattern)] == []


def test_card_names_the_code_that_the_stage_declares() -> None:
    assert [f"tasks/{place}" for place in CODE] == [dep for dep in PIPELINE["train"]["deps"] if dep.startswith("tasks")]


def test_what_git_ignores_in_the_folders_of_code_is_no_part_of_a_stage() -> None:
    left = ["tasks/command/sightline.egg-info/PKG-INFO", "tasks/checks/__pycache__/rules.cpython-311.pyc"]
    command = [sys.executable, "-m", "dvc", "check-ignore", *left]
    asked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert asked.stdout.split() == left
