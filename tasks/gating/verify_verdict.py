"""Whether a verdict is that of these evaluations by the rules of today, and they are of these bundles.

Everything is looked at again: digests from the bundles up to the verdict, and then the judgement itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.bundle import CHAMPION, DESCRIPTION, PICKLED, Bundle, bundle_faults, bundle_sha256
from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.evaluation import Evaluation, evaluation_faults
from tasks.contracts.record import read_record
from tasks.contracts.verdict import Verdict
from tasks.gating.rule_faults import lacking_reference
from tasks.gating.rules import MetricRule, Rule, parse_rules
from tasks.gating.verdicts import decide, read_evaluated, verdict_faults


@dataclass(frozen=True)
class Asked:
    """Targets and rules as params have them now, to compare a verdict with."""

    target: str  # use_case.target
    targets: Sequence[str]  # export.targets
    rules: list[str]  # gate.rules
    confidence: float  # gate.confidence, percent
    measuring_sha256: str  # of the params that figures depend on, see contracts.params


@dataclass(frozen=True)
class EvidencePaths:
    """Where the files are that a verdict rests on."""

    evaluations: Path  # a folder per target in each
    exported: Path
    checkpoint_sha256: str
    trained_on: Mapping[str, str]  # sha256 of the tables that it was trained on, by file name


def judge_again(verdict: Verdict, asked: Asked, evidence: EvidencePaths) -> Verdict:
    """The verdict that the evaluations give, which is the one handed in.

    Raises PipelineError that names everything that does not belong together.
    """
    rules = parse_rules(asked.rules, asked.confidence / 100)
    faults = [*_faults_of_verdict(verdict, asked), *_faults_of_references(rules, asked)]
    evaluations: dict[str, Evaluation] = {}
    if not faults:
        for name in asked.targets:
            of_target = _faults_of_target(name, verdict, evidence, evaluations)
            faults += [f"{name}: {fault}" for fault in of_target]
        faults += _faults_of_inputs(evaluations, asked, evidence)
    if faults:
        raise _refused(faults)
    found = read_evaluated(evidence.evaluations, asked.targets)
    champion = found.pop(CHAMPION, None)
    again = decide(asked.target, rules, found, champion)
    faults = [*verdict_faults(verdict, again)]
    if faults:
        raise _refused(faults)
    of = {name: getattr(verdict, name) for name in ("rules", "confidence", "evaluations_sha256")}
    return again.model_copy(update=of)


def _refused(faults: list[str]) -> PipelineError:
    return PipelineError(
        "the verdict is not that of what would be published",
        f"\n{first_of(faults)}",
        "Make again what is not as its stage left it: dvc repro, without --single-item",
    )


def _faults_of_verdict(verdict: Verdict, asked: Asked) -> Iterator[str]:
    if not verdict.evaluations_sha256:
        yield "the verdict names no evaluations: an earlier version wrote it, or not gate"
        return
    if verdict.target != asked.target:
        yield f"the verdict decides on {verdict.target}, and use_case.target is {asked.target}"
    if verdict.rules != asked.rules or verdict.confidence != asked.confidence:
        yield (
            f"the verdict is by other rules ({'; '.join(verdict.rules)}; {verdict.confidence} %) than params have now "
            f"({'; '.join(asked.rules)}; {asked.confidence} %)"
        )
    if {*verdict.evaluations_sha256} != {*asked.targets}:
        judged = ", ".join(sorted(verdict.evaluations_sha256))
        yield f"the verdict is on {judged}, and export.targets are {', '.join(asked.targets)}"
    if asked.target not in asked.targets or asked.target == CHAMPION:
        yield f"use_case.target {asked.target!r} is none of export.targets that can be released"


def _faults_of_references(rules: Sequence[Rule], asked: Asked) -> Iterator[str]:
    """Where there is no champion yet its rules pass; where nobody looked for one they do not."""
    for rule in rules:
        if isinstance(rule, MetricRule) and (lacking := lacking_reference(rule, asked.targets)):
            yield f"{rule.text}: {lacking}"


def _faults_of_target(
    name: str, verdict: Verdict, evidence: EvidencePaths, evaluations: dict[str, Evaluation]
) -> Iterator[str]:
    """Faults from the verdict down to the bundle; the evaluation goes into `evaluations` if there is one."""
    folder, bundle_folder = evidence.evaluations / name, evidence.exported / name
    if content_sha256(folder) != verdict.evaluations_sha256[name]:
        yield "its evaluation is not the one that was judged"
        return
    evaluation = read_record(folder / "evaluation.json", Evaluation)
    yield from evaluation_faults(folder, evaluation)
    if evaluation.absent is not None:
        if name != CHAMPION or (bundle_folder / DESCRIPTION).exists():
            yield "it is here, and was not measured"
        return
    evaluations[name] = evaluation
    if evaluation.target != name:
        yield f"its evaluation is of {evaluation.target!r}"
    bundle = read_record(bundle_folder / DESCRIPTION, Bundle)
    yield from bundle_faults(bundle_folder, bundle)
    if bundle_sha256(bundle) != evaluation.bundle_sha256:
        yield "its bundle is not the one that was measured"
    if name == CHAMPION:
        if bundle.registry_version != evaluation.registry_version:
            yield f"it is version {bundle.registry_version}, and {evaluation.registry_version} was measured"
        return
    if bundle.target != name:
        yield f"its bundle is of {bundle.target!r}"
    made_of = bundle.files_sha256.get(bundle.artefact) if name in PICKLED else bundle.trained_sha256
    if made_of != evidence.checkpoint_sha256:
        yield "its bundle was not made of the trained checkpoint"


def _faults_of_inputs(evaluations: Mapping[str, Evaluation], asked: Asked, evidence: EvidencePaths) -> list[str]:
    """Figures count where all were taken on the images and labels of the training, under the params of today."""
    inputs_of = {name: evaluation.inputs_sha256 for name, evaluation in evaluations.items()}
    names = sorted({name for inputs in inputs_of.values() for name in inputs})
    apart = [name for name in names if len({inputs.get(name) for inputs in inputs_of.values()}) > 1]
    faults = [f"{', '.join(evaluations)} were measured on different {', '.join(apart)}"] if apart else []
    for name, inputs in inputs_of.items():
        other = [table for table, sha256 in sorted(evidence.trained_on.items()) if inputs.get(table) != sha256]
        if other:
            faults.append(f"{name} was measured on other {', '.join(other)} than the checkpoint was trained on")
        if inputs.get("params") != asked.measuring_sha256:
            faults.append(f"{name} was measured under another seed, use_case or evaluate than params have now")
    return faults
