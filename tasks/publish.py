"""Put what the gate accepted into the registry, with its lineage, and make it the champion.

In:   reports/verdict.json     refused behind a rejection, with what fell short by how much
      reports/evaluation/      figures of each target
      models/trained/          the checkpoint and its card
      models/exported/         the bundles; those that the verdict releases are registered
      reports/report.html

Out:  reports/release.json     registry version, alias, locations, lineage
      MLflow                   a run with bundles, checkpoint, figures and report; a version of the registered model
                               made of it; the alias `champion` moved to that version
      the release log          who, when, why, and what was live before: in the registry, and as a file beside it

The alias moves only if every bundle came back from the registry as it went in, and if the champion is still the one
that the gate compared with. The same bundles are never registered twice, so a killed publish goes on.

Params: tracking, publish.
Example: python -m tasks.publish --verdict reports/verdict.json --evaluations reports/evaluation
           --trained models/trained --exported models/exported --report reports/report.html
           --release reports/release.json
         python -m tasks.publish --rollback 3 --why "misses cracks under the new lamp"
"""

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from tasks.clients.champion import By, change_by, check_champion, promote, roll_back, write_log
from tasks.clients.object_storage import Bucket
from tasks.clients.registry import ALIAS, BUNDLES, TARGET, TARGETS, Registry, open_registry
from tasks.clients.tracking import open_run, training_run
from tasks.contracts.bundle import Bundle, bundle_faults
from tasks.contracts.card import Card
from tasks.contracts.code import commit
from tasks.contracts.errors import PipelineError, first_of
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.params import Params, Tracking, read_params
from tasks.contracts.record import read_record, write_record
from tasks.contracts.release import Release
from tasks.contracts.stage import run
from tasks.contracts.verdict import Verdict
from tasks.contracts.work import content_sha256

log = logging.getLogger(__name__)

CHAMPION = "champion"  # the target that stands for what is live already


class PublishParams(Params):
    """Where else a release goes, and where its log is kept."""

    log: Path = Field(
        description="file that gets a line for each release and rollback, JSON; the registry has them too"
    )
    copy_to: str | None = Field(default=None, description="s3://bucket/prefix that also gets the bundles; null: none")
    endpoint_url: str | None = Field(default=None, description="its S3 endpoint; null: AWS_ENDPOINT_URL, or else AWS")


@dataclass(frozen=True)
class Candidate:
    """What the gate let through, read and checked."""

    verdict: Verdict
    card: Card
    bundles: dict[str, Bundle]  # released targets only, as all that follows
    evaluations: dict[str, Evaluation]
    lineage: dict[str, str]

    @property
    def content_sha256(self) -> str:
        """Of all released artefacts and the checkpoint: the same content is one version."""
        files = {target: bundle.files_sha256 for target, bundle in self.bundles.items()}
        return _digest({"checkpoint": self.card.weights_sha256, "bundles": files})

    @property
    def metrics(self) -> dict[str, float]:
        """Headline figures on the test split, as `target.metric`."""
        return {
            f"{target}.{name}": interval.value
            for target, evaluation in self.evaluations.items()
            for name, interval in evaluation.overall.items()
            if interval.value is not None
        }


def publish(candidate: Candidate, registry: Registry, run_id: str, copy_to: Bucket | None, by: By) -> Release:
    """Make the run's artefacts a version, see that they come back whole, and move the alias to it.

    Raises PipelineError if the registry returns other bytes, or if the champion is not the one that was compared with.
    """
    targets = sorted(candidate.bundles)
    tags = {f"sightline.{name}": value for name, value in candidate.lineage.items()}
    tags |= {TARGET: candidate.verdict.target, TARGETS: ",".join(targets)}
    version = registry.register(candidate.content_sha256, run_id, tags, candidate.verdict.reason)
    locations = {"registry": f"models:/{registry.name}/{version}", "artifacts": registry.location(version)}
    with tempfile.TemporaryDirectory() as scratch:
        for target in targets:
            # What will be served is what the registry gives back, not what was put in.
            pulled = registry.pull(version, target, Path(scratch) / target)
            assert pulled.files_sha256 == candidate.bundles[target].files_sha256, target
        if copy_to is not None:
            locations["copy"] = copy_to.upload_folder(Path(scratch), f"{registry.name}/{version}")
    return Release(
        model=registry.name,
        version=version,
        alias=ALIAS,
        target=candidate.verdict.target,
        targets=targets,
        change=promote(registry, version, candidate.verdict, by),
        run_id=run_id,
        locations=locations,
        files_sha256={target: candidate.bundles[target].files_sha256 for target in targets},
        lineage=candidate.lineage,
    )


def refuse_unless_accepted(verdict: Verdict, report: Path) -> None:
    """Raises PipelineError that says rule by rule what fell short by how much."""
    if verdict.accepted:
        return
    short = [rule for rule in verdict.targets[verdict.target].rules if rule.outcome != "accepted"]
    lines = [f"{rule.rule}: {rule.outcome}; {rule.reason}" for rule in short]
    raise PipelineError(
        f"{verdict.target} is {verdict.outcome} and not published",
        f"\n{first_of(lines)}",
        f"See {report} for where it fails; then add labels, train longer, or change gate.rules",
    )


def read_candidate(verdict: Verdict, evaluations: Path, trained: Path, exported: Path, lock: Path) -> Candidate:
    """Read what the verdict releases.

    Raises PipelineError if a bundle is missing or damaged.
    """
    # The champion is judged as one more target, but it is out already.
    targets = [target for target in verdict.released if target != CHAMPION]
    bundles = {target: read_record(exported / target / "bundle.json", Bundle) for target in targets}
    faults = [f"{target}: {fault}" for target in targets for fault in bundle_faults(exported / target, bundles[target])]
    if faults:
        raise PipelineError("bundles are not whole", f"{exported}\n{first_of(faults)}", "Run export again")
    card = read_record(trained / "card.json", Card)
    return Candidate(
        verdict=verdict,
        card=card,
        bundles=bundles,
        evaluations={target: read_record(evaluations / target / "evaluation.json", Evaluation) for target in targets},
        lineage=_lineage(card, verdict, bundles, lock),
    )


def _lineage(card: Card, verdict: Verdict, bundles: Mapping[str, Bundle], lock: Path) -> dict[str, str]:
    made_of = card.lineage
    versions = dict(made_of.versions)
    for bundle in bundles.values():
        versions |= bundle.versions
    # DVC has found all that comes before to be what this code makes.
    at, dirty = commit()
    return {
        "commit": at or "none",
        "dirty": str(dirty).lower(),
        "code_sha256": made_of.code_sha256 or "none",
        **{f"data.{name}": sha256 for name, sha256 in sorted(made_of.data_sha256.items())},
        "params_sha256": _digest(made_of.params),
        "dvc_lock_sha256": content_sha256(lock) if lock.is_file() else "none",
        "versions": json.dumps(versions, sort_keys=True),
        "model": f"{card.family} {card.architecture}",
        "weights_sha256": card.weights_sha256,
        "code_licence": card.code_licence,
        "weights_licence": card.weights_licence,
        "verdict": verdict.reason,
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def upload(candidate: Candidate, paths: Mapping[str, Path], exported: Path, tracking: Tracking) -> str:
    """Write the release's MLflow run and return its run_id; the run of a killed publish is gone on with.

    `paths` are files and folders that are stored under the names of their keys' folders.
    """
    run_log = open_run(tracking, "publish", candidate.content_sha256)
    run_log.log_params(candidate.card.lineage.params)
    run_log.set_tags({f"sightline.{name}": value for name, value in candidate.lineage.items()})
    run_log.log_metrics(candidate.metrics, step=0, wait=True)
    for target in candidate.bundles:
        run_log.log_artifact(exported / target, f"{BUNDLES}/{target}")
    for name, path in paths.items():
        run_log.log_artifact(path, name)
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
    by = change_by(why)
    if rollback is not None:
        with open_registry(tracking) as registry:
            change = roll_back(registry, rollback, by)
            write_log(settings.log, registry.changes())
        log.info("rolled %s back to version %s (it was at %s): %s", tracking.experiment, rollback, change.before, why)
        return
    if not (verdict and evaluations and trained and exported and report and release):
        raise typer.BadParameter(
            "give --verdict, --evaluations, --trained, --exported, --report, --release; or --rollback"
        )
    started = time.perf_counter()
    judged = read_record(verdict, Verdict)
    refuse_unless_accepted(judged, report)
    log.info("publishing %s: %s", judged.target, judged.reason)
    candidate = read_candidate(judged, evaluations, trained, exported, lock)
    run_of_training = training_run(tracking, candidate.card.weights_sha256)
    candidate = replace(candidate, lineage={**candidate.lineage, "training_run": run_of_training or "none"})
    figures = {f"evaluation/{target}": evaluations / target / "evaluation.json" for target in candidate.bundles}
    with open_registry(tracking) as registry:
        # Looked at again when the alias moves; this look spares a version that would not go live.
        check_champion(registry, registry.holding(candidate.content_sha256), judged)
    run_id = upload(candidate, {"": report, **figures, "trained": trained}, exported, tracking)
    copy_to = Bucket(settings.copy_to, settings.endpoint_url) if settings.copy_to else None
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


if __name__ == "__main__":
    run(main)
