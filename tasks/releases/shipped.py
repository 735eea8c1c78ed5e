"""What a version of the registered model ships, in its tags."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.contracts.digests import canonical_sha256

PREFIX = "sightline."  # of our tags
CONTENT = "sightline.content_sha256"  # of all that it ships: the same content is registered once
TARGET = "sightline.target"  # the artefact that goes live
TARGETS = "sightline.targets"  # every bundle that it holds, comma-separated
BUNDLES_SHA256 = "sightline.bundles_sha256"  # of each whole bundle by target, JSON; earlier versions have none
CHECKPOINT_SHA256 = "sightline.weights_sha256"  # of the checkpoint that its bundles were made of


@dataclass(frozen=True)
class Shipped:
    """All that a version ships: two that differ in any of it are two versions.

    Figures, verdict and card are kept with a version and are no part of it: timings differ each time, and the same
    bundles judged again are the same bundles.
    """

    target: str  # the artefact that goes live
    bundles: dict[str, str]  # target -> digest of the whole bundle
    checkpoint_sha256: str

    @property
    def content_sha256(self) -> str:
        """One digest of target, bundles and checkpoint."""
        return canonical_sha256({"target": self.target, "bundles": self.bundles, "checkpoint": self.checkpoint_sha256})

    def tags(self) -> dict[str, str]:
        """The tags by which a registry version is found again."""
        return {
            TARGET: self.target,
            TARGETS: ",".join(sorted(self.bundles)),
            BUNDLES_SHA256: json.dumps(self.bundles, sort_keys=True),
            CHECKPOINT_SHA256: self.checkpoint_sha256,
        }

    @classmethod
    def of_tags(cls, tags: Mapping[str, str]) -> "Shipped":
        """Raises KeyError or ValueError if a tag is not there, or not as `tags` writes it."""
        shipped = cls(tags[TARGET], json.loads(tags[BUNDLES_SHA256]), tags[CHECKPOINT_SHA256])
        if {name: tags.get(name) for name in shipped.tags()} != shipped.tags():
            raise ValueError(TARGETS)
        return shipped
