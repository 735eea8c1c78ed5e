"""Say at once what in params, stores and machine cannot work, before anything runs.

All of params.yaml is read as its stages will read it, and what can be known now is looked at: names that nobody knows,
rules, their targets, slices and classes (where parse.classes lists them; else a line says that split looks once labels
are read), whether there are resamples enough, the search space, a team's own expectations, whether stores answer,
whether the registry knows what the release log names as live and has its files, weights, devices and space on the disk.
All faults are told at once; what works but is probably unintended (recall asked for without precision) is warned of.
Nothing is changed, but that the MLflow store of a moved project follows it. DVC runs it again when params.yaml or the
code has changed.

In:
  --params         params.yaml, every section

Out:
  --report         what was looked at: the same whatever the params say, so that nothing behind runs again for it
  --targets        a folder with a file for each target that there may be: champion's lists those asked for, the others
                   are empty lists

Params: all of them

Example:
  python -m tasks.doctor
  python -m tasks.doctor --report reports/doctor.json --targets reports/targets
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, get_args

import typer
from pydantic import Field

from tasks.checks.team_suites import suite_faults
from tasks.clients.answers import (
    Question,
    bucket_answers,
    database_answers,
    disk_faults,
    faults,
    folder_answers,
    source_answers,
    tracking_answers,
)
from tasks.command.params_classes import params_classes
from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.params import Params, Releases, Target, Tracking, read_sections, read_targets, seed_faults
from tasks.contracts.record import Record, write_record
from tasks.contracts.sections import AllParams
from tasks.contracts.use_case import UseCase
from tasks.contracts.whole_output import whole_output
from tasks.detectors.families import load_family
from tasks.detectors.presence import device_faults, recipe_faults
from tasks.detectors.recipe import Recipe
from tasks.detectors.search_space import Space, check_space
from tasks.execution.stage_command import run
from tasks.gating.rule_faults import (
    class_faults,
    classes_unchecked,
    metric_without_rule,
    point_faults,
    recall_alone,
    resample_faults,
    slice_faults,
    target_faults,
    understood,
)
from tasks.gating.rules import Rule
from tasks.runtimes.kinds import libraries_of, not_installed
from tasks.runtimes.machine import Device

log = logging.getLogger(__name__)

LOOKED_AT = ["params", "rules", "search space", "suites", "stores", "release log", "weights", "devices", "disk"]


class DoctorParams(Params):
    """How long stores may take to answer, and what a run needs of the disk."""

    timeout_seconds: float = Field(default=10, gt=0, le=60, description="within which each store must answer")
    min_free_gigabytes: float = Field(default=2, ge=0, description="less free space on the disk is told")


class Report(Record):
    """reports/doctor.json; it exists only where nothing was wrong."""

    passed: bool = True
    looked_at: list[str] = LOOKED_AT


class _Some(Params, extra="ignore"):
    """What the doctor needs of a section, as its stage has read it."""


class _Ingest(_Some):
    source: str
    endpoint_url: str | None


class _Parse(_Some):
    classes: list[str]
    drop: list[str]
    rename: dict[str, str]


class _Check(_Some):
    suites: Path


class _Tune(_Some):
    trials: int
    storage: str | None
    space: Space


class _Export(_Some):
    targets: list[str]


class _Evaluate(_Some):
    resamples: int
    slice_attributes: list[str]
    device: Device


class _Gate(_Some):
    confidence: float
    rules: list[str]


class _Publish(Releases, extra="ignore"):
    copy_to: str | None
    endpoint_url: str | None


def doctor(asked: AllParams, params: DoctorParams) -> list[str]:
    """All that cannot work, a line each."""
    return [
        *asked.faults,
        *_rules(asked),
        *_search(asked),
        *_suites(asked),
        *_outside(asked, params.timeout_seconds),
        *_machine(asked),
        *disk_faults(Path(), params.min_free_gigabytes),
    ]


def doubts(asked: AllParams) -> list[str]:
    """What can work and is probably unintended, a line each."""
    gate, use_case = asked.read("gate", _Gate), asked.read("use_case", UseCase)
    rules = [] if gate is None else understood(gate.rules, gate.confidence / 100)[0]
    return [*recall_alone(rules), *metric_without_rule(rules, use_case)]


def notes(asked: AllParams) -> Iterator[str]:
    """The licence that a model will be under, and what cannot be looked at yet, a line each."""
    if recipe := asked.read("train", Recipe, {"family"}):
        licence = load_family(recipe.family).code_licence
        yield f"train.family: code of {recipe.family} is under {licence}, which cards, bundles and the report will say"
    gate, use_case, parse = asked.read("gate", _Gate), asked.read("use_case", UseCase), asked.read("parse", _Parse)
    if gate is not None and use_case is not None and parse is not None and not parse.classes:
        yield from classes_unchecked(understood(gate.rules, gate.confidence / 100)[0], use_case)


def _rules(asked: AllParams) -> Iterator[str]:
    """Rules, and the targets, resamples, slices and classes that they take."""
    gate, use_case = asked.read("gate", _Gate), asked.read("use_case", UseCase)
    evaluate, export = asked.read("evaluate", _Evaluate), asked.read("export", _Export)
    parse = asked.read("parse", _Parse)
    rules: list[Rule] = []
    if gate is not None:
        rules, unread = understood(gate.rules, gate.confidence / 100)
        yield from unread
    if evaluate is not None:
        yield from resample_faults(rules, evaluate.resamples)
        yield from slice_faults(rules, evaluate.slice_attributes)
    if export is not None:
        twice = sorted({target for target in export.targets if export.targets.count(target) > 1})
        yield from (f"export.targets: {target} stands there twice" for target in twice)
    if use_case is None:
        return
    yield from point_faults(use_case)
    if export is not None:
        yield from target_faults(rules, use_case, export.targets)
    if parse is not None:
        classes = [label for label in parse.classes if label not in parse.drop] if parse.classes else None
        yield from class_faults(rules, use_case, classes, parse.rename)


def _search(asked: AllParams) -> Iterator[str]:
    tune, recipe = asked.read("tune", _Tune), asked.read("train", Recipe)
    if tune is None or recipe is None or not tune.trials:
        return
    try:
        check_space(tune.space, recipe)
    except PipelineError as error:
        yield from (f"tune.space: {fault}" for fault in error.faults)


def _suites(asked: AllParams) -> list[str]:
    """A team's own expectations: files, and the tables and columns that they name."""
    check = asked.read("check", _Check)
    return [] if check is None else [f"check.suites: {fault}" for fault in suite_faults(check.suites)]


def _outside(asked: AllParams, seconds: float) -> list[str]:
    """Stores; and once all answer, the registry, where the log tells of a release that it has to know."""
    found = [*faults(_stores(asked, seconds), seconds)]
    tracking, releases = asked.read("tracking", Tracking), asked.read("publish", _Publish)
    if found or tracking is None or releases is None or not releases.log.exists():
        return found
    from tasks.releases.known_releases import release_fault  # noqa: PLC0415  # takes seconds

    use_case = asked.read("use_case", UseCase)
    fault = release_fault(tracking, releases, "onnx" if use_case is None else use_case.target)
    return [f"publish.log: {fault}"] if fault else []


def _stores(asked: AllParams, seconds: float) -> Mapping[str, Question]:
    """A question for each param that names one."""
    questions: dict[str, Question] = {}
    tracking, ingest = asked.read("tracking", Tracking), asked.read("ingest", _Ingest)
    tune = asked.read("tune", _Tune)
    publish = asked.read("publish", _Publish, {"log", "copy_to", "endpoint_url"})
    if ingest is not None:
        questions["ingest.source"] = partial(source_answers, ingest.source, ingest.endpoint_url, seconds)
    if tracking is not None:
        questions["tracking.uri"] = partial(tracking_answers, tracking.uri, seconds)
        if tracking.artifacts.startswith("s3://"):
            questions["tracking.artifacts"] = partial(bucket_answers, tracking.artifacts, None, seconds)
        elif "://" not in tracking.artifacts and not tracking.uri.startswith("http"):
            questions["tracking.artifacts"] = partial(folder_answers, Path(tracking.artifacts))
    if tune is not None and tune.storage is not None and tune.trials:
        questions["tune.storage"] = partial(database_answers, tune.storage, seconds)
    if publish is not None:
        questions["publish.log"] = partial(folder_answers, publish.log.parent)
        if publish.copy_to is not None:
            questions["publish.copy_to"] = partial(bucket_answers, publish.copy_to, publish.endpoint_url, seconds)
    return questions


def _machine(asked: AllParams) -> Iterator[str]:
    """Weights, devices and the libraries of each target."""
    recipe, evaluate = asked.read("train", Recipe, Recipe.LOOKED_FOR), asked.read("evaluate", _Evaluate)
    export = asked.read("export", _Export)
    of_family = () if recipe is None else load_family(recipe.family).onnx_libraries
    if recipe is not None and asked.read("train", Recipe, recipe.LOOKED_FOR):
        yield from recipe_faults(recipe)
    targets = [] if export is None else export.targets
    # To OpenVINO a number is a GPU of Intel's.
    if evaluate is not None and any(not target.startswith(("openvino-", "champion")) for target in targets):
        yield from device_faults("evaluate.device", evaluate.device)
    for target in targets:
        if lacking := not_installed(libraries_of(target, of_family)):
            yield f"export.targets: {target} needs {', '.join(lacking)}, not installed here"


def main(
    report: Annotated[Path | None, typer.Option(help="file to write where all is well; without it none")] = None,
    targets: Annotated[Path | None, typer.Option(help="folder to write where all is well; without it none")] = None,
    params: Annotated[Path, typer.Option(help="params.yaml")] = Path("params.yaml"),
) -> None:
    """Read all params, look at everything, tell all faults at once."""
    start = time.perf_counter()
    sections = read_sections(params)
    log.info("looking at %s: %d sections", params, len(sections))
    asked = AllParams(sections, params_classes(sections.get("train")))
    found = [*seed_faults(params), *doctor(asked, asked.read("doctor", DoctorParams) or DoctorParams())]
    if found:
        things = f"{len(found):,} thing{'s' * (len(found) != 1)} cannot work"
        raise PipelineError(things, f"{params}\n{first_of(found)}\n", "Correct it and run again; nothing has run yet")
    for doubt in doubts(asked):
        log.warning(doubt)
    for note in notes(asked):
        log.info(note)
    if report is not None:
        write_record(Report(), report)
    if targets is not None:
        _write_targets(read_targets(params), targets)
    log.info("nothing stands in the way, seen in %.1f s", time.perf_counter() - start)


def _write_targets(asked: list[Target], folder: Path) -> None:
    with whole_output(folder) as partial:
        partial.mkdir()
        for target in get_args(Target):
            listed = sorted(asked) if target == "champion" else []
            (partial / f"{target}.json").write_text(json.dumps(listed) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
