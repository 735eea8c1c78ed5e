"""The champion, checked by the release log: looked at before anything is trained, and brought out of the registry."""

import logging
from pathlib import Path

from tasks.clients.sqlite_lock import database_path
from tasks.contracts.bundle import PICKLED
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Releases, Tracking
from tasks.releases.registry import Registry, open_registry
from tasks.releases.release_log import check_log, read_log
from tasks.releases.shipped import TARGET, TARGETS

log = logging.getLogger(__name__)


def release_fault(tracking: Tracking, releases: Releases, target: str) -> str:
    """What keeps the champion from being pulled for `target`: log and registry disagree, or its files are gone.

    Empty where nothing does, where nothing was released yet, and where the registry begins afresh.
    """
    try:
        if not read_log(releases.log):
            return ""
        database = database_path(tracking.uri)
        if database is not None and not database.is_file():
            # Asking would make it.
            check_log(releases, f"{tracking.experiment} at {tracking.uri}", None, [])
            return ""
        with open_registry(tracking) as registry:
            version = _vouched_champion(registry, releases)
            if version is not None:
                registry.check_whole(version, _pulled_as(registry, version, target))
    except PipelineError as error:
        return str(error)
    return ""


def pull_champion(tracking: Tracking, target: str, to: Path, releases: Releases | None = None) -> str | None:
    """Bring the champion's bundle of `target` to the folder `to`, whole or not at all, checked against its release.

    Returns its registry version, or None where there is no champion yet. A champion that was not released for `target`
    comes as the artefact that went live with it, since that is what a challenger has to beat.
    releases: the log that the registry must agree with, and who must have signed.
    """
    with open_registry(tracking) as registry:
        version = registry.champion() if releases is None else _vouched_champion(registry, releases)
        if version is not None:
            registry.pull(version, _pulled_as(registry, version, target), to)
        return version


def logged_champion(registry: Registry, releases: Releases) -> str | None:
    """The champion's version, compared with the log's file and the registry's own lines; None where nothing is live.

    Raises PipelineError if they disagree, or if the alias was moved by hand.
    """
    version, changes = registry.champion(), registry.changes()
    check_log(releases, registry.where, version, changes)
    if version is not None and changes:
        registry.check_logged(version)
    return version


def _vouched_champion(registry: Registry, releases: Releases) -> str | None:
    """The champion's version, compared with the log and with who must have signed."""
    version = logged_champion(registry, releases)
    if version is not None and releases.verify_with:
        registry.check_signed(version, releases.verify_with)
    return version


def _pulled_as(registry: Registry, version: str, target: str) -> str:
    """The target that the version is pulled as where `target` is asked for; says so where it is another."""
    tags = registry.versions()[version].tags
    targets = tags.get(TARGETS, target).split(",")
    if target not in targets:
        log.warning("champion %s was not released as %s; taking its %s", version, target, tags[TARGET])
        target = tags[TARGET]
    wanted = _not_pickled(registry, version, target, targets)
    if wanted != target:
        log.warning("champion %s is a pickle as %s, which is not read; taking its %s", version, target, wanted)
    return wanted


def _not_pickled(registry: Registry, version: str, target: str, targets: list[str]) -> str:
    """The target itself, or else another of the version's that can be read without running what is in it."""
    # Where it is one, first another of the same arithmetic; a TorchScript program can read and write files.
    for other in (target, "onnx", "openvino-fp32", "torchscript", *targets):
        if other in targets and other not in PICKLED:
            return other
    raise PipelineError(
        f"the champion was released as {target} alone",
        f"{registry.name} version {version}: that is a pickle, which can run code, so it is never read from a registry",
        "Roll back to a version with another bundle; or take the alias champion off it in MLflow, set "
        "publish.new_registry: true for one release, and add onnx to export.targets for the next ones",
    )
