"""Put what the gate accepted into the registry, with its lineage, and make it the champion.

Nothing is taken on trust: bundles are compared with their evaluations, these with the verdict, and the judgement is
made again by the rules of params. The alias moves only if every bundle came back from the registry as it went in, and
if the champion is still the one that the gate compared with. What ships makes the version: the same is never registered
twice, so a killed publish goes on; anything else is a new version; and a version, once registered, is never written to.
A registry that does not know the release log's last line is refused, and so is an alias that was moved by hand.

In:
  --verdict          reports/verdict.json; refused behind a rejection, with what fell short by how much
  --evaluations      a folder for each target, with its figures
  --trained          models/trained, the checkpoint and its card
  --exported         a folder for each target, with its bundle; those that the verdict releases are registered
  --report           reports/report.html

Out:
  --release          registry version, alias, locations, lineage
  MLflow             a run with bundles, checkpoint, figures and report; a version of the registered model made of it;
                     the alias `champion` moved to that version
  publish.log        the release log: who, when, why, and what was live before; in the registry, and as a file beside it

Params: use_case, export.targets, gate, tracking, publish

Example:
  python -m tasks.publish --verdict reports/verdict.json --evaluations reports/evaluation \\
    --trained models/trained --exported models/exported --report reports/report.html --release reports/release.json
  python -m tasks.publish --rollback 3 --why "misses cracks under the new lamp"
"""

import logging
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ConfigDict, Field

from tasks.clients.object_storage import Bucket
from tasks.clients.sqlite_lock import one_at_a_time
from tasks.clients.tracking import open_run, training_run
from tasks.contracts.bundle import CHAMPION, DESCRIPTION, PICKLED, Bundle, bundle_sha256
from tasks.contracts.card import Card
from tasks.contracts.digests import canonical_sha256, content_sha256
from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.params import Params, Releases, Tracking, measuring_sha256, read_params, read_targets
from tasks.contracts.record import read_record, write_record
from tasks.contracts.release import Release
from tasks.contracts.use_case import UseCase
from tasks.contracts.verdict import Verdict
from tasks.execution.stage_command import run
from tasks.gating.verify_verdict import Asked, EvidencePaths, judge_again
from tasks.releases.champion import By, change_by, check_champion, check_measured, promote, roll_back
from tasks.releases.known_releases import logged_champion
from tasks.releases.lineage import lineage_of
from tasks.releases.registry import ALIAS, BUNDLES, Registry, open_registry
from tasks.releases.release_log import hold_log, open_signer, write_log
from tasks.releases.shipped import PREFIX, Shipped

log = logging.getLogger(__name__)


class PublishParams(Releases):
    """Where else a release goes, where its log is kept, and who signs for it."""

    sign_with: str | None = Field(
        default=None,
        description="Ed25519 private key that signs releases and rollbacks: a PEM file, or env:NAME for a variable "
        "that holds the PEM; null: unsigned",
    )
    copy_to: str | None = Field(default=None, description="s3://bucket/prefix that also gets the bundles; null: none")
    endpoint_url: str | None = Field(default=None, description="its S3 endpoint; null: AWS_ENDPOINT_URL, or else AWS")


@dataclass(frozen=True)
class Files:
    """Where the stage finds its inputs."""

    evaluations: Path
    trained: Path
    exported: Path
    report: Path
    lock: Path

    def to_store(self, bundles: Iterable[str]) -> list[tuple[Path, str]]:
        """Files and folders of a release, each with the folder of the run that its content goes to."""
        figures = [(self.evaluations / target / "evaluation.json", f"evaluation/{target}") for target in bundles]
        shipped = [(self.exported / target, f"{BUNDLES}/{target}") for target in bundles]
        return [*shipped, (self.report, ""), *figures, (self.trained, "trained")]


@dataclass(frozen=True)
class Candidate:
    """What the gate let through, read and checked."""

    verdict: Verdict
    card: Card
    bundles: dict[str, Bundle]  # of the released targets
    evaluations: dict[str, Evaluation]  # of all that was judged, the champion's among them
    lineage: dict[str, str]

    @property
    def shipped(self) -> Shipped:
        """What makes it the version that it is."""
        digests = {target: bundle_sha256(bundle) for target, bundle in self.bundles.items()}
        return Shipped(self.verdict.target, digests, self.card.weights_sha256)

    @property
    def metrics(self) -> dict[str, float]:
        """Headline figures on the test split, as `target.metric`."""
        return {
            f"{target}.{name}": interval.value
            for target in self.bundles
            for name, interval in self.evaluations[target].overall.items()
            if interval.value is not None
        }


def publish(candidate: Candidate, registry: Registry, run_id: str, copy_to: Bucket | None, by: By) -> Release:
    """Make the run's artefacts a version, see that they come back whole, and move the alias to it.

    Raises PipelineError if the registry returns other bytes, or if the champion is not the one that was compared with.
    """
    shipped = candidate.shipped
    tags = {f"{PREFIX}{name}": value for name, value in candidate.lineage.items()}
    version = registry.register(shipped, run_id, tags, candidate.verdict.reason)
    locations = {"registry": f"models:/{registry.name}/{version}", "artifacts": registry.location(version)}
    with tempfile.TemporaryDirectory() as scratch:
        for target in shipped.bundles:
            # What will be served is what the registry gives back, not what was put in.
            registry.pull(version, target, Path(scratch) / target)
        if copy_to is not None:
            key = f"{registry.name}/{version}"
            copy_to.claim(key, shipped.content_sha256)
            locations["copy"] = copy_to.upload_folder(Path(scratch), key)
    there = registry.versions()[version]
    return Release(
        model=registry.name,
        version=version,
        alias=ALIAS,
        target=shipped.target,
        targets=sorted(shipped.bundles),
        change=promote(registry, version, candidate.verdict, by),
        run_id=there.run_id,
        locations=locations,
        files_sha256={target: bundle.files_sha256 for target, bundle in sorted(candidate.bundles.items())},
        bundles_sha256=shipped.bundles,
        content_sha256=shipped.content_sha256,
        # Of a version that was there before, as it was then.
        lineage={name: there.tags[f"{PREFIX}{name}"] for name in candidate.lineage if f"{PREFIX}{name}" in there.tags},
    )


def refuse_unless_accepted(verdict: Verdict, report: Path) -> None:
    """Raises PipelineError that says rule by rule what fell short by how much."""
    if verdict.accepted:
        return
    deciding = verdict.targets.get(verdict.target)
    short = [rule for rule in deciding.rules if rule.outcome != "accepted"] if deciding else []
    lines = [f"{rule.rule}: {rule.outcome}; {rule.reason}" for rule in short]
    raise PipelineError(
        f"{verdict.target} is {verdict.outcome} and not published",
        f"\n{first_of(lines)}",
        f"See {report} for where it fails; then add labels, train longer, or change gate.rules",
    )


def read_candidate(verdict: Verdict, asked: Asked, files: Files) -> Candidate:
    """Read what the verdict releases, once the verdict agrees with all that it rests on.

    Raises PipelineError if anything is missing, damaged, or not what was judged.
    """
    card = read_record(files.trained / "card.json", Card)
    weights = files.trained / card.weights
    if not weights.is_file() or content_sha256(weights) != card.weights_sha256:
        raise PipelineError("weights are missing or not those of card.json", str(weights), "Run train again")
    evidence = EvidencePaths(files.evaluations, files.exported, card.weights_sha256, card.lineage.data_sha256)
    verdict = judge_again(verdict, asked, evidence)
    # The champion is judged as one more target, but it is out already.
    targets = [target for target in verdict.released if target != CHAMPION]
    bundles = {target: read_record(files.exported / target / DESCRIPTION, Bundle) for target in targets}
    evaluations = {
        target: read_record(files.evaluations / target / "evaluation.json", Evaluation)
        for target in verdict.evaluations_sha256
    }
    return Candidate(verdict, card, bundles, evaluations, lineage_of(card, verdict, bundles, files.lock))


def upload(candidate: Candidate, files: Files, tracking: Tracking) -> str:
    """Write the release's MLflow run and return its run_id; the run of a killed publish is gone on with.

    What was killed with other figures or another page left a run of its own: nothing is ever written over.
    """
    stored = files.to_store(candidate.bundles)
    key = [(folder, content_sha256(path)) for path, folder in stored]
    run_log = open_run(tracking, "publish", canonical_sha256([candidate.shipped.content_sha256, key]))
    run_log.log_params(candidate.card.lineage.params)
    run_log.set_tags({f"{PREFIX}{name}": value for name, value in candidate.lineage.items()})
    run_log.log_metrics(candidate.metrics, step=0, wait=True)
    for path, folder in stored:
        run_log.log_artifact(path, folder)
    run_log.end()
    return run_log.run_id


def main(
    *,
    verdict: Annotated[Path | None, typer.Option(help="what the gate said")] = None,
    evaluations: Annotated[Path | None, typer.Option(help="folder of each target's figures")] = None,
    trained: Annotated[Path | None, typer.Option(help="folder of the checkpoint")] = None,
    exported: Annotated[Path | None, typer.Option(help="folder of the bundles")] = None,
    report: Annotated[Path | None, typer.Option(help="the page for people")] = None,
    release: Annotated[Path | None, typer.Option(help="file to write: what went live")] = None,
    rollback: Annotated[
        str | None, typer.Option(help="version to make live again; needs --why, and nothing else")
    ] = None,
    why: Annotated[str, typer.Option(help="reason for the log; a release's own is the verdict's")] = "",
    lock: Annotated[Path, typer.Option(help="DVC's record of this run, hashed into the lineage")] = Path("dvc.lock"),
    params: Annotated[Path, typer.Option(help="YAML file of all params")] = Path("params.yaml"),
) -> None:
    """Release what was accepted, or roll back."""
    tracking = read_params(params, "tracking", Tracking)
    settings = read_params(params, "publish", PublishParams)
    by = change_by(why, open_signer(settings.sign_with, settings.verify_with))
    if rollback is not None:
        with open_registry(tracking) as registry:
            hold_log(settings.log, registry.where, registry.changes())
            change = roll_back(registry, rollback, by)
            write_log(settings.log, registry.changes())
        log.info("rolled %s back to version %s (it was at %s): %s", tracking.experiment, rollback, change.before, why)
        log.info("release.json still tells of the last publish; what is live stands last in %s", settings.log)
        return
    if not (verdict and evaluations and trained and exported and report and release):
        raise typer.BadParameter(
            "give --verdict, --evaluations, --trained, --exported, --report, --release; or --rollback"
        )
    started = time.perf_counter()
    judged = read_record(verdict, Verdict)
    refuse_unless_accepted(judged, report)
    log.info("publishing %s: %s", judged.target, judged.reason)
    files = Files(evaluations, trained, exported, report, lock)
    candidate = read_candidate(judged, asked_by(params), files)
    run_of_training = training_run(tracking, candidate.card.weights_sha256)
    candidate = replace(candidate, lineage={**candidate.lineage, "training_run": run_of_training or "none"})
    copy_to = Bucket(settings.copy_to, settings.endpoint_url) if settings.copy_to else None
    # Another publish would write the run's files again while this one reads them back.
    with one_at_a_time(tracking.uri, "publish"):
        with open_registry(tracking) as registry:
            run_id = _look_first(candidate, registry, settings) or upload(candidate, files, tracking)
        with open_registry(tracking) as registry:
            done = publish(candidate, registry, run_id, copy_to, by)
            write_log(settings.log, registry.changes())
    write_record(done, release)
    log.info(
        "published %s version %s (%s) in %.1f s; live before: %s",
        done.model,
        done.version,
        ", ".join(done.targets),
        time.perf_counter() - started,
        done.change.before or "none",
    )


def asked_by(params: Path) -> Asked:
    """What params have judged now, and by which rules."""

    class Section(Params):
        model_config = ConfigDict(extra="ignore")
        rules: list[str]
        confidence: float

    gate, use_case = read_params(params, "gate", Section), read_params(params, "use_case", UseCase)
    return Asked(use_case.target, read_targets(params), gate.rules, gate.confidence, measuring_sha256(params))


def _look_first(candidate: Candidate, registry: Registry, settings: PublishParams) -> str | None:
    """Whether it may go live, before a version is made of it; the run of the version that it is already, if any.

    Looked at again when the alias moves.
    """
    logged_champion(registry, settings)
    known = registry.holding(candidate.shipped.content_sha256)
    check_champion(registry, known, candidate.verdict)
    measured = candidate.evaluations.get(CHAMPION)
    if measured is not None and measured.registry_version is not None:
        check_measured(registry, measured.registry_version, measured.bundle_sha256)
    if PICKLED.issuperset(candidate.bundles):
        log.warning(
            "only %s is released, which is never read from a registry: no later model can be compared with it; add "
            "onnx to export.targets",
            ", ".join(candidate.bundles),
        )
    return None if known is None else str(registry.versions()[known].run_id)


if __name__ == "__main__":
    run(main)
