"""What publish reads, small: two bundles, a checkpoint, their figures, a verdict and a page."""

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tasks.contracts.bundle import Bundle, Output, Preprocessing
from tasks.contracts.card import Card, Lineage
from tasks.contracts.evaluation import Evaluation, Interval
from tasks.contracts.params import Tracking
from tasks.contracts.record import write_record
from tasks.contracts.release import Change
from tasks.contracts.verdict import Outcome, RuleResult, TargetVerdict, Verdict
from tasks.contracts.work import content_sha256
from tasks.publish import main

TARGETS = ("onnx", "openvino-int8")


@dataclass(frozen=True)
class Workspace:
    """A folder in which publish can run."""

    root: Path

    @property
    def release(self) -> Path:
        return self.root / "release.json"

    def write(self, model: str, champion: str | None = None, outcome: Outcome = "accepted") -> "Workspace":
        """The results of training `model`, judged against the registry's version `champion`."""
        trained = self.root / "trained"
        trained.mkdir(parents=True, exist_ok=True)
        (trained / "best.pt").write_text(f"weights of {model}")
        write_record(_card(trained / "best.pt"), trained / "card.json")
        for target in TARGETS:
            self._write_bundle(model, target)
            figures = Evaluation(target=target, overall={"map50": Interval(value=0.9, low=0.86, high=0.94)})
            write_record(figures, self.root / "evaluation" / target / "evaluation.json")
        write_record(_verdict(model, champion, outcome), self.root / "verdict.json")
        (self.root / "report.html").write_text("<html></html>")
        return self

    def _write_bundle(self, model: str, target: str) -> None:
        folder = self.root / "exported" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.bin").write_text(f"{model} as {target}")
        bundle = Bundle(
            target=target,
            artefact="model.bin",
            family="ultralytics",
            architecture="yolo-micro",
            code_licence="AGPL-3.0",
            weights_licence="none",
            classes=["crack"],
            precision="fp32",
            preprocessing=Preprocessing(input_wh=(160, 160)),
            output=Output(layout="yolo"),
            versions={"onnx": "1.23.2"},
            files_sha256={"model.bin": content_sha256(folder / "model.bin")},
            size_bytes=10,
            trained_sha256="0" * 64,
        )
        write_record(bundle, folder / "bundle.json")

    def params(self, tracking: Tracking, copy_to: str = "null") -> Path:
        path = self.root / "params.yaml"
        log = self.root / "releases.jsonl"
        path.write_text(
            f"tracking: {tracking.model_dump_json()}\n"
            f"publish: {{log: '{log}', copy_to: {copy_to}, endpoint_url: null}}\n"
        )
        return path

    def publish(self, tracking: Tracking, copy_to: str = "null") -> "Workspace":
        main(
            verdict=self.root / "verdict.json",
            evaluations=self.root / "evaluation",
            trained=self.root / "trained",
            exported=self.root / "exported",
            report=self.root / "report.html",
            release=self.release,
            params=self.params(tracking, copy_to),
        )
        return self


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


def _verdict(model: str, champion: str | None, outcome: Outcome) -> Verdict:
    accepted = outcome == "accepted"
    rule = RuleResult(
        rule='recall of "crack" >= 0.95 at 95 % confidence',
        metric='recall of "crack"',
        outcome=outcome,
        value=0.96,
        low=0.91,
        high=0.99,
        bound=0.95,
        unit="",
        shortfall=None if accepted else 0.04,
        more_objects=120 if outcome == "undecided" else None,
        reason="it is 0.96, but surely only at least 0.91: about 120 more test objects could decide it",
    )
    judged = TargetVerdict(outcome=outcome, rules=[rule])
    return Verdict(
        accepted=accepted,
        target="openvino-int8",
        outcome=outcome,
        reason=f"{model} is {outcome}",
        targets=dict.fromkeys((*TARGETS, "champion"), judged),
        released=[*TARGETS, "champion"] if accepted else [],
        champion_version=champion,
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


def roll_back(workspace: Workspace, tracking: Tracking, version: str, why: str = "misses cracks") -> None:
    main(rollback=version, why=why, params=workspace.params(tracking))
