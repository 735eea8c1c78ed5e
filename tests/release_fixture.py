"""What publish reads, small and true: bundles, their evaluations, the verdict that gate gives on them, and a page."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tasks.clients.known_releases import pull_champion
from tasks.clients.registry import CHANGE
from tasks.contracts.bundle import Bundle, bundle_sha256
from tasks.contracts.card import Card, Lineage
from tasks.contracts.evaluation import Evaluation, Interval, Latency, figures_sha256
from tasks.contracts.params import Releases, Tracking, measuring_sha256
from tasks.contracts.record import read_record, write_record
from tasks.contracts.release import Change
from tasks.contracts.verdict import Outcome, Verdict
from tasks.contracts.work import content_sha256
from tasks.gate import main as judge
from tasks.publish import Candidate, Files, asked_by, main, read_candidate
from tests.bundle_fixture import describe_files

TARGETS = ("onnx", "openvino-int8")
INPUTS = dict.fromkeys(("images.parquet", "objects.parquet", "split.parquet", "pixels"), "1" * 64)
RULES: dict[Outcome, str] = {"accepted": "size <= 1 MB", "undecided": "map50 >= 0.8", "rejected": "size <= 0.000001 MB"}


@dataclass(frozen=True)
class Workspace:
    """A folder in which publish can run."""

    root: Path

    @property
    def release(self) -> Path:
        return self.root / "release.json"

    @property
    def params_file(self) -> Path:
        return self.root / "params.yaml"

    def write(
        self,
        model: str,
        champion: str | None = None,
        outcome: Outcome = "accepted",
        target: str = "openvino-int8",
    ) -> "Workspace":
        """The results of training `model`, judged against the registry's version `champion`."""
        trained = self.root / "trained"
        trained.mkdir(parents=True, exist_ok=True)
        (trained / "best.pt").write_text(f"weights of {model}")
        write_record(_card(trained / "best.pt"), trained / "card.json")
        self.set_params(use_case={"target": target, "metric": "map50"})
        for each in TARGETS:
            self.write_bundle(model, each)
            self.measure(each)
        self._write_champion(champion)
        (self.root / "report.html").write_text("<html></html>")
        self.set_params(export={"targets": [*TARGETS, "champion"]})
        self.set_params(gate={"confidence": 95, "rules": [RULES[outcome]]})
        return self.judge()

    def write_bundle(self, model: str, target: str, as_target: str | None = None, **changes: object) -> None:
        folder = self.root / "exported" / (as_target or target)
        folder.mkdir(parents=True, exist_ok=True)
        artefact = folder / "model.bin"
        artefact.write_text(f"{model} as {target}")
        fields: dict[str, object] = {
            "target": target,
            "artefact": "model.bin",
            "architecture": "yolo-micro",
            "classes": ["crack"],
            "versions": {"onnx": "1.23.2"},
            "trained_sha256": hashlib.sha256(f"weights of {model}".encode()).hexdigest(),
        }
        describe_files(folder, **fields | changes)

    def bundle(self, target: str) -> Bundle:
        return read_record(self.root / "exported" / target / "bundle.json", Bundle)

    def measure(self, target: str, value: float = 0.9, **changes: object) -> None:
        """What evaluate would say of the bundle that is there."""
        bundle = self.bundle(target)
        figures = Evaluation(
            target=target,
            overall={"map50": Interval(value=value, low=value - 0.04, high=value + 0.04)},
            resamples=100,
            latency=Latency(p50_ms=1, p95_ms=2, p99_ms=3, images=20, machine="bench", threads=1, device="cpu"),
            peak_memory_mb=1,
            size_bytes=bundle.size_bytes,
            bundle_sha256=bundle_sha256(bundle),
            inputs_sha256={**INPUTS, "params": measuring_sha256(self.params_file)},
        )
        resamples = pd.DataFrame({"map50": value + np.linspace(-0.04, 0.04, 100)})
        self._write_evaluation(figures.model_copy(update=changes), resamples)

    def _write_evaluation(self, figures: Evaluation, resamples: pd.DataFrame) -> None:
        folder = self.root / "evaluation" / figures.target
        folder.mkdir(parents=True, exist_ok=True)
        resamples.to_parquet(folder / "resamples.parquet")
        files = {"resamples.parquet": content_sha256(folder / "resamples.parquet")}
        write_evaluation(figures.model_copy(update={"files_sha256": files}), folder / "evaluation.json")

    def _write_champion(self, version: str | None) -> None:
        (self.root / "exported" / "champion").mkdir(parents=True, exist_ok=True)
        if version is None:
            (self.root / "exported" / "champion" / "bundle.json").unlink(missing_ok=True)
            self._write_evaluation(Evaluation(target="champion", absent="no champion yet"), pd.DataFrame())
            return
        # As it comes out of the registry, where tests release "first" as version 1 and "second" as version 2.
        model = {"1": "first", "2": "second"}.get(version, "first")
        self.write_bundle(model, "openvino-int8", "champion", registry_version=version)
        self.measure("champion", registry_version=version)

    def judge(self) -> "Workspace":
        judge(self.root / "evaluation", self.root / "verdict.json", self.root / "metrics.json", self.params_file)
        return self

    def set_params(self, **sections: object) -> Path:
        held = yaml.safe_load(self.params_file.read_text()) if self.params_file.exists() else {}
        self.params_file.write_text(yaml.safe_dump({**held, **sections}))
        return self.params_file

    def params(self, tracking: Tracking, **publish: object) -> Path:
        publish = {"log": str(self.root / "releases.jsonl"), **publish}
        return self.set_params(tracking=tracking.model_dump(), publish=publish)

    @property
    def files(self) -> Files:
        root = self.root
        return Files(root / "evaluation", root / "trained", root / "exported", root / "report.html", root / "dvc.lock")

    def candidate(self, tracking: Tracking) -> Candidate:
        judged = read_record(self.root / "verdict.json", Verdict)
        return read_candidate(judged, asked_by(self.params(tracking)), self.files)

    def publish(self, tracking: Tracking, **publish: object) -> "Workspace":
        main(
            verdict=self.root / "verdict.json",
            evaluations=self.root / "evaluation",
            trained=self.root / "trained",
            exported=self.root / "exported",
            report=self.root / "report.html",
            release=self.release,
            params=self.params(tracking, **publish),
        )
        return self


def write_evaluation(figures: Evaluation, path: Path) -> None:
    """With the digest that it has as it will be read."""
    read = Evaluation.model_validate_json(figures.model_dump_json())
    write_record(read.model_copy(update={"figures_sha256": figures_sha256(read)}), path)


def _card(weights: Path) -> Card:
    return Card(
        family="ultralytics",
        architecture="yolo-micro",
        code_licence="AGPL-3.0",
        weights_licence="none",
        classes=["crack"],
        image_size=160,
        weights=weights.name,
        weights_sha256=content_sha256(weights),
        metric="map50",
        best_epoch=1,
        best_value=0.9,
        epochs=2,
        parameters=300_000,
        batch=16,
        device="cpu",
        lineage=Lineage(
            code_sha256="a1b2c3",
            data_sha256={"images.parquet": "1" * 64},
            params={"train.epochs": 2},
            versions={"torch": "2.13.0"},
        ),
    )


def live(tracking: Tracking) -> str | None:
    """The version that the alias stands on, asked of MLflow itself."""
    try:
        return str(MlflowClient(tracking.uri).get_model_version_by_alias(tracking.experiment, "champion").version)
    except MlflowException:
        return None


def versions(tracking: Tracking) -> list[str]:
    return sorted(
        str(version.version)
        for version in MlflowClient(tracking.uri).search_model_versions(f"name = '{tracking.experiment}'")
    )


def logged(workspace: Workspace) -> list[tuple[str, str | None, str]]:
    lines = (workspace.root / "releases.jsonl").read_text().splitlines()
    changes = [Change.model_validate_json(line) for line in lines]
    return [(change.action, change.before, change.version) for change in changes]


def roll_back(
    workspace: Workspace, tracking: Tracking, version: str, why: str = "misses cracks", **publish: object
) -> None:
    main(rollback=version, why=why, params=workspace.params(tracking, **publish))


def pull(workspace: Workspace, tracking: Tracking, *public: Path) -> str | None:
    """The champion's version, pulled as export does, held to the log and to these keys."""
    releases = Releases(log=workspace.root / "releases.jsonl", verify_with=list(public))
    return pull_champion(tracking, "onnx", workspace.root / "pulled", releases)


def of_the_log(tracking: Tracking) -> tuple[MlflowClient, str, Change]:
    """The last line in the registry, and its key."""
    client = MlflowClient(tracking.uri)
    tags = client.get_registered_model(tracking.experiment).tags
    key = max(key for key in tags if key.startswith(CHANGE))
    return client, key, Change.model_validate_json(tags[key])
