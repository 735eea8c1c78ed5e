"""Checkpoints themselves as artefacts: each is opened by the family that its bundle names."""

from pathlib import Path

from tasks.contracts.bundle import Bundle
from tasks.detectors.families import load_family
from tasks.runtimes.protocol import Network


def open_network(bundle: Bundle, artefact: Path, threads: int | None, device: str) -> Network:
    """See `Detector.open_network`; raises PipelineError for a family that is not declared here."""
    return load_family(bundle.family, str(artefact)).open_network(bundle, artefact, threads, device)
