"""What a release was made of: code, data, params, libraries and weights."""

import json
from collections.abc import Mapping
from pathlib import Path

from tasks.contracts.bundle import Bundle
from tasks.contracts.card import Card
from tasks.contracts.digests import canonical_sha256, content_sha256
from tasks.contracts.verdict import Verdict
from tasks.execution.code_version import commit


def lineage_of(card: Card, verdict: Verdict, bundles: Mapping[str, Bundle], lock: Path) -> dict[str, str]:
    """The lineage as tags, by name. lock: dvc.lock, which names every input and output of the run."""
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
        "params_sha256": canonical_sha256(made_of.params),
        "dvc_lock_sha256": content_sha256(lock) if lock.is_file() else "none",
        "versions": json.dumps(versions, sort_keys=True),
        "model": f"{card.family} {card.architecture}",
        "weights_sha256": card.weights_sha256,
        "code_licence": card.code_licence,
        "weights_licence": card.weights_licence,
        "verdict": verdict.reason,
    }
