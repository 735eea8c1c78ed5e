"""Accept or reject each target, with reasons.

Rules are sentences in the use case's words. A rule on a metric passes when its lower bound clears the bar, not when
the measured value happens to; one that the value clears and the bound does not is undecided, and says how many more
test objects and scenes could decide it. So is one whose objects are in fewer scenes than evaluate.fewest_groups. The
release follows the verdict on use_case.target; other accepted targets go with it.
Against the champion, figures over all classes are taken, for both, over those of them that the champion knows: for
a class that is new or has a new name it is no bar, and the reason names what was left out.
A judgement is a result: this stage ends well whatever the verdict, and publish refuses behind a rejection.

In:
  --evaluations    a folder for each target, as evaluate writes it; pytorch is the checkpoint, champion the live model

Out:
  --verdict        outcome per target and rule, with value, interval, bound and reason; and what it rests on: the rules'
                   texts and a digest of each evaluation
  --metrics        headline figures by target, flat, for `dvc metrics`

Params: use_case, gate, export.targets, parse.rename

Rules:
  recall of "crack" >= 0.95 at 95 % confidence
  ap50 of each class >= 0.5
  recall of "crack" where size = small >= 0.8
  recall of "5\\" pipe" >= 0.8                   (a label is quoted as in JSON)
  drop of map50 <= 0.02                          (below the checkpoint)
  map50 not worse than champion by 0.01
  latency p95 <= 50 ms
  size <= 10 MB
  peak memory <= 500 MB

Example:
  python -m tasks.gate --evaluations reports/evaluation --verdict reports/verdict.json --metrics reports/metrics.json
"""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from tasks.contracts.bundle import CHAMPION
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.params import Params, read_params, read_rename, read_targets
from tasks.contracts.quoting import written
from tasks.contracts.record import write_record
from tasks.contracts.use_case import UseCase
from tasks.contracts.verdict import Verdict
from tasks.contracts.whole_output import whole_output
from tasks.execution.stage_command import run
from tasks.gating.judgement import Evaluated
from tasks.gating.renames import NO_RENAME, Rename
from tasks.gating.rule_faults import lacking_reference, recall_alone, too_few_resamples
from tasks.gating.rules import MetricRule, Rule, parse_rules
from tasks.gating.verdicts import decide, read_evaluated, references_of
from tasks.metrics.figures import headline_row
from tasks.metrics.slices import MOST_PARTS, SIZES

log = logging.getLogger(__name__)


class GateParams(Params):
    """What a release must reach, and how sure that must be."""

    confidence: float = Field(ge=50, lt=100, description="percent, one-sided, of rules on metrics that name none")
    rules: list[str] = Field(
        min_length=1,
        description='what every target is held to, one rule a line: map50 >= 0.6, recall of "crack" >= 0.95 at 95 % '
        "confidence, drop of map50 <= 0.05, map50 not worse than champion by 0.05, latency p95 <= 50 ms, "
        "size <= 10 MB; the manual of gate has all forms",
    )


def gate(
    use_case: UseCase,
    params: GateParams,
    targets: dict[str, Evaluated],
    champion: Evaluated | None,
    rename: Rename = NO_RENAME,
) -> Verdict:
    """Judge every target by every rule; the champion is only compared with: None if it is no target of this run.
    rename: parse.rename, named where it is why the champion knows a class by another name.

    Raises PipelineError if a rule is not understood, names a class or a slice that does not exist, is too sure for the
    resamples, or needs a checkpoint or champion that was not evaluated, if use_case.target was not, or if targets were
    evaluated on different test splits.
    """
    rules = parse_rules(params.rules, params.confidence / 100)
    _check(use_case, targets, references_of(targets, champion))
    _check_rules(rules, targets, set(targets) if champion is None else {*targets, CHAMPION})
    return decide(use_case.target, rules, targets, champion, rename)


def _check(use_case: UseCase, targets: dict[str, Evaluated], references: dict[str, Evaluated]) -> None:
    if use_case.target not in targets:
        raise PipelineError(
            f"target {use_case.target!r} was not evaluated",
            "params.yaml: use_case.target",
            f"Evaluated are {', '.join(targets) or 'none'}; choose one of them, or add it to export.targets",
        )
    everyone = targets | references
    if len({target.evaluation.test_sha256 for target in everyone.values()}) > 1:
        raise PipelineError(
            "targets were evaluated on different test splits, seeds or resamples, and cannot be compared",
            ", ".join(everyone),
            "Run evaluate again for all of them: dvc repro evaluate",
        )


def _check_rules(rules: list[Rule], targets: dict[str, Evaluated], evaluated: set[str]) -> None:
    evaluations = [target.evaluation for target in targets.values()]
    resamples = min(len(target.resamples) for target in targets.values())
    faults = []
    for rule in rules:
        if isinstance(rule, MetricRule):
            found = [*_faults_of_subject(rule, evaluations), *_faults_of_means(rule, resamples, evaluated)]
            faults += [f"{rule.text}: {fault}" for fault in found]
    if faults:
        raise PipelineError(
            "rules cannot be applied", f"params.yaml: gate.rules\n{first_of(faults)}\n", "Correct the rules"
        )


def _faults_of_subject(rule: MetricRule, evaluations: list[Evaluation]) -> Iterator[str]:
    """What a rule asks about: is there such a class, and such a slice?"""
    if rule.label is not None and not any(rule.label in evaluation.classes for evaluation in evaluations):
        yield f"no class {rule.label!r}; classes are {', '.join(map(written, evaluations[0].classes))}"
    if rule.where is None:
        return
    by, part = rule.where
    slices = {(sliced.by, sliced.part) for evaluation in evaluations for sliced in evaluation.slices}
    known = sorted({name for name, _ in slices} | {"size"})
    left_out = max(evaluation.left_out.get(by, 0) for evaluation in evaluations)
    if by not in known:
        yield f"no slices by {by!r}; there are {', '.join(known)}; see evaluate.slice_attributes"
    elif by == "size" and part not in SIZES:
        yield f"no size {part!r}; sizes are {', '.join(SIZES)}"
    elif left_out and (by, part) not in slices:
        measured = f"of {by!r} only the {MOST_PARTS} most frequent values are, and {left_out} more are left out"
        yield f"{part!r} is not measured; {measured}: name one that is, or give {by!r} fewer values in CVAT"


def _faults_of_means(rule: MetricRule, resamples: int, evaluated: set[str]) -> Iterator[str]:
    """What a rule takes to be judged: resamples in its tail, and somebody to compare with."""
    yield from filter(None, (too_few_resamples(rule, resamples), lacking_reference(rule, evaluated)))


def main(
    evaluations: Annotated[Path, typer.Option(help="folder with one folder per target")],
    verdict: Annotated[Path, typer.Option(help="file to write")],
    metrics: Annotated[Path, typer.Option(help="file of figures to write")],
    params: Annotated[Path, typer.Option(help="params.yaml")] = Path("params.yaml"),
) -> None:
    """Read all evaluations, judge, write."""
    start = time.perf_counter()
    use_case, settings = read_params(params, "use_case", UseCase), read_params(params, "gate", GateParams)
    found = read_evaluated(evaluations, read_targets(params))
    present = {name: target.evaluation for name, target in found.items() if target.evaluation.absent is None}
    figures = {name: headline_row(evaluation, use_case.metric) for name, evaluation in present.items()}
    champion = found.pop(CHAMPION, None)
    log.info("judging %s by %d rules", ", ".join(found), len(settings.rules))
    of = {
        "rules": settings.rules,
        "confidence": settings.confidence,
        "evaluations_sha256": {name: content_sha256(evaluations / name) for name in read_targets(params)},
    }
    for doubt in recall_alone(parse_rules(settings.rules, settings.confidence / 100)):
        log.warning(doubt)
    judged = gate(use_case, settings, found, champion, read_rename(params)).model_copy(update=of)
    with whole_output(metrics) as partial:
        partial.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_record(judged, verdict)
    for line in _table(judged):
        log.info(line)
    log.info("%s in %.1f s", judged.reason, time.perf_counter() - start)


def _table(verdict: Verdict) -> list[str]:
    """One line per target, and under it the rules that it does not pass."""
    width = max(map(len, verdict.targets))
    lines = []
    for name, judged in verdict.targets.items():
        passed = sum(result.outcome == "accepted" for result in judged.rules)
        lines.append(f"  {name:<{width}}  {judged.outcome:<9}  {passed} of {len(judged.rules)} rules passed")
        lines += [f"    {r.outcome}: {r.reason}" for r in judged.rules if r.outcome != "accepted"]
    return lines


if __name__ == "__main__":
    run(main)
