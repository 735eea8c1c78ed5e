"""Said once, meant everywhere: dvc.yaml, params.yaml, the modules and the README agree."""

import importlib
import re
import shlex
from typing import Any

import pytest
import typer
import yaml

from tasks.command.params_classes import params_classes
from tasks.contracts.params import Params
from tests.fixtures.repository import REPOSITORY

SHARED_SECTIONS = ["seed", "use_case", "tracking"]
PIPELINE: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
PARAMS: dict[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
# What functions of contracts.params read; doctor reads all of the file.
READERS = {
    "read_seed": "seed",
    "read_rename": "parse.rename",
    "read_image_size": "train.image_size",
    "read_recipe": "train",
    "read_targets": "export.targets",
    "read_releases": "publish.log",
}
STAGES = list(PIPELINE["stages"])


def options_of(stage: str) -> set[str]:
    app = typer.Typer()
    app.command()(importlib.import_module(f"tasks.{stage}").main)
    return {option for parameter in typer.main.get_command(app).params for option in parameter.opts}


def is_declared(path: str, names: list[str]) -> bool:
    """Whether a path is among the names, or what a stage reads below it is."""
    return any(name == path or name.startswith(f"{path}/") for name in names)


def manual_of(stage: str) -> dict[str, str]:
    """The parts of a stage's manual by their headings."""
    manual = importlib.import_module(f"tasks.{stage}").__doc__ or ""
    return dict(re.findall(r"^(In|Out|Params|Example):(.*?)(?:\n\n|\Z)", manual, re.MULTILINE | re.DOTALL))


def names_in_picture(text: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"@\w+", "", text))


def test_every_module_in_tasks_is_a_stage_and_every_stage_a_module() -> None:
    modules = {path.stem for path in (REPOSITORY / "tasks").glob("*.py")} - {"__init__"}
    assert modules == set(STAGES)


def test_stages_stand_in_one_order_everywhere() -> None:
    listed = re.findall(r"^(\w+) {2,}", importlib.import_module("tasks").__doc__ or "", re.MULTILINE)
    sections = [name for name in PARAMS if name not in SHARED_SECTIONS]
    picture = next(line for line in (REPOSITORY / "README.md").read_text().splitlines() if "ingest ─" in line)
    assert listed == STAGES
    assert sections == STAGES
    assert names_in_picture(picture) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_command_names_its_own_module_and_only_options_that_it_has(stage: str) -> None:
    words = shlex.split(PIPELINE["stages"][stage]["cmd"])
    assert words[:3] == ["python", "-m", f"tasks.{stage}"]
    assert {word for word in words[3:] if word.startswith("--")} <= options_of(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_of_a_command_is_declared_as_dependency_or_output(stage: str) -> None:
    declared = PIPELINE["stages"][stage]
    words = shlex.split(declared["cmd"])
    paths = {word for word in words if re.match(r"(data|models|reports)/", word)}
    entries = [*declared["deps"], *declared.get("outs", []), *declared.get("metrics", [])]
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    assert [path for path in paths if not is_declared(path, names)] == []


@pytest.mark.parametrize("name", ["ingest.source", "check.suites"])
def test_stage_runs_again_when_files_change_that_its_params_name(name: str) -> None:
    assert f"${{{name}}}" in PIPELINE["stages"][name.partition(".")[0]]["deps"]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_depends_on_its_own_module_and_its_own_section(stage: str) -> None:
    declared = PIPELINE["stages"][stage]
    assert {f"tasks/{stage}.py", "tasks"} & {*declared["deps"]}
    listed = set(declared.get("params", []))
    # Whole, with all of params.yaml, or name by name.
    by_name = {f"{stage}.{name}" for name in PARAMS[stage]} - {"export.targets"}
    assert stage in listed or "params.yaml" in declared["deps"] or by_name <= listed


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "doctor"])
def test_what_a_stage_reads_of_another_section_is_declared(stage: str) -> None:
    source = (REPOSITORY / "tasks" / f"{stage}.py").read_text()
    read = {param for reader, param in READERS.items() if f"{reader}(params)" in source}
    declared = set(PIPELINE["stages"][stage]["params"])
    assert {param for param in read if param.partition(".")[0] not in declared} <= declared


@pytest.mark.parametrize("stage", STAGES)
def test_every_param_of_a_section_is_a_described_field_of_the_stage(stage: str) -> None:
    model = params_classes(PARAMS["train"])[stage]
    assert issubclass(model, Params)
    model.model_validate(PARAMS[stage])
    undescribed = [name for name, field in model.model_fields.items() if not field.description]
    assert not undescribed


@pytest.mark.parametrize("stage", STAGES)
def test_manual_names_inputs_outputs_and_params_as_dvc_has_them_and_shows_an_example(stage: str) -> None:
    declared = PIPELINE["stages"][stage]
    words = shlex.split(declared["cmd"])
    given = dict(zip(words[3::2], words[4::2], strict=True))
    inputs = {option for option, path in given.items() if is_declared(path, declared["deps"])}
    outputs = given.keys() - inputs - {"--target"}
    parts = manual_of(stage)
    told = {part: set(re.findall(r"^  (--[a-z]+) ", parts[part], re.MULTILINE)) for part in ("In", "Out")}
    assert told["Out"] == outputs
    # What a stage goes on from is both: the previous split.
    assert inputs <= told["In"] <= inputs | outputs | {"--params"}
    if stage != "doctor":
        sections = {entry.partition(".")[0] for entry in declared["params"]}
        assert {
            name.partition(".")[0] for name in re.findall(r"[a-z_.]+", re.sub(r"\(.*?\)", "", parts["Params"]))
        } == sections
    assert f"python -m tasks.{stage}" in parts["Example"]


def test_every_path_in_the_tree_of_the_readme_exists() -> None:
    tree = re.search(r"```\n(README\.md.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert tree
    folder = ""
    for line in tree[1].splitlines():
        name = line.split()[0] if line.strip() else ""
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
            assert (REPOSITORY / name).exists(), name
        elif folder and re.fullmatch(r"[\w.]+/?", name) and line.startswith("  ") and not line.startswith("   "):
            assert (REPOSITORY / folder / name).exists(), f"{folder}{name}"


def test_recipes_of_the_makefile_are_at_most_ten_and_explained() -> None:
    text = (REPOSITORY / "Makefile").read_text()
    recipes = re.findall(r"^([a-z]+):.*$", text, re.MULTILINE)
    assert len(recipes) <= 10
    assert all(re.search(rf"^{recipe}:.*## \w", text, re.MULTILINE) for recipe in recipes)
