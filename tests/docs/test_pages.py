"""What pages say is there: files, links, commands, parameters, messages, one version."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.command.params_classes import params_classes
from tasks.command.sightline import BESIDE
from tasks.contracts.sections import SHARED
from tests.fixtures.repository import REPOSITORY

FOLDERS = "tasks|dags|docker|tests|docs"
# Made by a run, or by the reader.
MADE = re.compile(r"NAME|docker/\.env$|docs/index\.html$")
# What it says of the past is not mended when files move.
HISTORY = "CHANGELOG.md"


def listed(*patterns: str) -> list[str]:
    """Files that Git holds or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.check_output(command, cwd=REPOSITORY, text=True).splitlines()
    return [name for name in names if (REPOSITORY / name).is_file()]


PAGES = listed("*.md")
LIVING = [page for page in PAGES if page != HISTORY]


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text("utf-8")


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = (REPOSITORY / page).parent / name if name else REPOSITORY / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("page", LIVING)
def test_every_file_that_is_named_exists(page: str) -> None:
    for name in re.findall(rf"(?<![\w./-])((?:{FOLDERS})/[\w./*-]*[\w*/])", text_of(page)):
        assert MADE.search(name) or any(REPOSITORY.glob(name)), name


@pytest.mark.parametrize("page", LIVING)
def test_every_command_that_is_named_exists(page: str) -> None:
    recipes = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^\s*)make ([a-z]+)", text_of(page), re.MULTILINE)) <= recipes
    for module in set(re.findall(r"python -m ((?:tasks|tests|docs)[.\w]*)", text_of(page))):
        assert find_spec(module), module
    stages = yaml.safe_load(text_of("dvc.yaml"))["stages"]
    assert set(re.findall(r"(?:`|^)sightline ([a-z]+)", text_of(page), re.MULTILINE)) <= {*stages, *BESIDE}


@pytest.mark.parametrize("page", LIVING)
def test_every_parameter_that_is_named_exists(page: str) -> None:
    params = yaml.safe_load(text_of("params.yaml"))
    fields = {name: set(model.model_fields) for name, model in {**SHARED, **params_classes(params["train"])}.items()}
    for section, name in re.findall(rf"`({'|'.join(fields)})\.([a-z_]+)(?=[`:])", text_of(page)):
        assert name in fields[section] or name in {"json", "html"}, f"{section}.{name}"


def literals() -> Iterator[str]:
    """Every text in our code; what is filled in at run time is an ellipsis."""
    for name in listed("tasks/*.py", "dags/*.py"):
        for node in ast.walk(ast.parse(text_of(name))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"%[sd]", "…", node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
                yield re.sub("…+", "…", "".join(parts))


def test_every_message_of_the_page_of_troubles_is_one_of_the_code() -> None:
    told = re.findall(r"^#### (.+)$", text_of("docs/troubleshooting.md"), re.MULTILINE)
    assert len(told) > 30
    assert set(told) - set(literals()) == set()


def test_one_version_is_named_everywhere() -> None:
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    named = {
        *re.findall(r"sightline/\w+:(\d[\w.]*)", "\n".join(map(text_of, listed("docker/*")))),
        *re.findall(r"defaultAirflowTag: (\S+)", text_of("docker/kubernetes/values.yaml")),
        *re.findall(r"SIGHTLINE_VERSION=(\S+)", text_of("docker/.env.example")),
        *re.findall(r"^## \[(\d\S*)\]", text_of("CHANGELOG.md"), re.MULTILINE)[:1],
    }
    assert named == {version}


@pytest.mark.parametrize("file", listed(".github/*.yaml", ".github/*.yml", ".pre-commit-config.yaml"))
def test_yaml_for_github_and_pre_commit_can_be_read(file: str) -> None:
    assert isinstance(yaml.safe_load(text_of(file)), dict)


def test_github_runs_what_ci_runs_and_hooks_what_check_does() -> None:
    workflow: dict[str, Any] = yaml.safe_load(text_of(".github/workflows/ci.yaml"))
    steps = chain.from_iterable(job["steps"] for job in workflow["jobs"].values())
    scripts = "\n".join(step.get("run", "") for step in steps)
    assert re.findall(r"make \w+", scripts) == re.findall(r"make \w+", text_of(".ci/run").partition("set -eu")[2])
    hooks = [
        hook["entry"] for repo in yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]
    ]
    recipes = text_of("Makefile").replace(" \\\n\t ", "")
    for entry in hooks:
        tool = re.sub(r"(\.\./)?\.venv/bin/", "", entry.removeprefix("sh -c '").removesuffix("'"))
        assert f"\n\t{tool.removesuffix(' --force-exclude')}" in recipes, tool
