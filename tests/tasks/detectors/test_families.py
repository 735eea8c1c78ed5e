"""A family of detectors from another package goes through all stages: it needs a module and its declaration."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tasks.contracts.bundle import Bundle
from tasks.contracts.card import Card
from tasks.contracts.errors import PipelineError
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.record import read_record
from tasks.contracts.tuned import Tuned
from tasks.detectors.families import FAMILIES, code_beside_ours, load_family, read_recipe
from tasks.execution.code_version import modules_sha256
from tests.fixtures.forks import Forks, forks_of
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.training import LABELS, prepare

pytestmark = pytest.mark.slow

TRAIN = {"family": "tiny", "device": "cpu", "threads": 1, "image_size": 64, "epochs": 50, "batch": 4, "lr0": 0.005}
IMPORTS = [f"tasks.{name}" for name in ("doctor", "tune", "train", "export", "evaluate")]
IMPORTS += ["torch", "mlflow.store.tracking.sqlalchemy_store", "optuna.importance", "sklearn.ensemble"]
TARGETS = ["pytorch", "torchscript", "onnx", "openvino-fp32", "openvino-int8"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled drawings, params for the family, and the package that declares it."""
    folder = prepare(tmp_path_factory.mktemp("project") / "data", images=60)
    declare("tiny", "tests.fixtures.tiny_family:TinyDetector", folder / "packages")
    write_params(folder)
    return folder


def declare(name: str, place: str, packages: Path) -> None:
    """What pip leaves of a package that declares a family."""
    installed = packages / f"{name}_family-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-family\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[sightline.families]\n{name} = {place}\n")


def write_params(folder: Path, **train: Any) -> Path:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["tracking"] = {"uri": f"sqlite:///{folder}/mlflow.db", "experiment": "test"}
    params["use_case"]["target"] = "onnx"
    params["train"] = TRAIN | train
    params["tune"] |= {"trials": 2, "epochs": 3, "space": {"width": [8, 16], "lr0": {"low": 0.005, "high": 0.01}}}
    params["export"] |= {"targets": TARGETS, "golden_images": 4, "calibration_images": 12}
    params["evaluate"] |= {"resamples": 100, "latency_images": 20, "device": "cpu", "threads": 1}
    params["gate"]["rules"] = ["map50 >= 0.5"]
    params["ingest"]["source"] = str(folder)
    params["check"]["suites"] = str(folder / "packages")  # none, and no matter here
    path = folder / f"params{len(list(folder.glob('params*')))}.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


def words(stage: str, folder: Path, params: str = "params0.yaml", **options: object) -> list[str]:
    named = {"params": folder / params, **options}
    if stage != "doctor":
        named |= {"raw": folder / "raw", "annotations": folder / "annotations", "split": folder / "split.parquet"}
    return ["-m", f"tasks.{stage}", *(f"--{name}={value}" for name, value in named.items())]


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{folder / 'packages'}{os.pathsep}{REPOSITORY}"}


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forks_of(*IMPORTS) as forks:
        yield forks


def run(forks: Forks, stage: str, folder: Path, **options: object) -> str:
    """What the command says, which has to end well."""
    done = forks.run(words(stage, folder, **options), folder, environment(folder))  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def trained(project: Path, forks: Forks) -> Path:
    """Searched and trained by the commands; the training was killed on its way."""
    run(forks, "tune", project, tuned=project / "found", work=project / "work")
    into: dict[str, Any] = {"tuned": project / "found", "trained": project / "trained", "work": project / "work"}
    training = forks.start(words("train", project, **into), project, environment(project))
    while not any(len(json.loads(path.read_text() or "[]")) > 4 for path in project.glob("work/train/*/epochs.json")):
        assert training.is_running(), training.wait()
        time.sleep(0.01)
    training.end(signal.SIGKILL)
    run(forks, "train", project, **into)
    return project / "trained"


def test_family_is_searched_and_trained_by_its_own_params(trained: Path) -> None:
    found = read_record(trained.parent / "found" / "best.json", Tuned)
    assert found.params.keys() == {"width", "lr0"}
    card, history = read_record(trained / "card.json", Card), pd.read_csv(trained / "history.csv")
    assert (card.family, card.code_licence, card.classes, card.epochs) == ("tiny", "Apache-2.0", LABELS, 50)
    assert card.architecture == f"tiny-{found.params['width']}"
    assert card.lineage.params["train.width"] == found.params["width"]
    assert card.lineage.versions.keys() == {"torch", "numpy", "opencv-python-headless"}
    assert history["epoch"].tolist() == list(range(1, 51))
    assert history["box"].iloc[-1] < history["box"].iloc[0] / 2
    assert card.best_value is not None
    assert card.best_value > 0.5


@pytest.mark.parametrize("target", TARGETS)
def test_family_is_exported_and_measured_on_every_kind_of_runtime(target: str, trained: Path, forks: Forks) -> None:
    folder, bundle = trained.parent, trained.parent / "exported" / target
    run(forks, "export", folder, target=target, trained=trained, bundle=bundle)
    described = read_record(bundle / "bundle.json", Bundle)
    assert (described.family, described.code_licence) == ("tiny", "Apache-2.0")
    assert "ultralytics" not in described.versions
    if target != "pytorch":
        assert described.parity is not None
        assert described.parity.matched >= 0.7 * described.parity.boxes > 3
    measured = folder / "evaluation" / target
    run(forks, "evaluate", folder, bundle=bundle, evaluation=measured, target=target)
    evaluation = read_record(measured / "evaluation.json", Evaluation)
    assert (evaluation.overall["map50"].value or 0) > 0.5


def test_doctor_reads_the_params_of_the_family_and_what_it_lacks(project: Path, forks: Forks) -> None:
    said = run(forks, "doctor", project)
    assert "nothing stands in the way" in said
    assert "code of tiny is under Apache-2.0" in said
    wrong = write_params(project, width=3, mosaic=1.0, model="yolo26n.pt")
    done = forks.run(words("doctor", project, wrong.name), project, environment(project))
    assert done.returncode == 2
    assert "train.width: Input should be greater than or equal to 4" in done.stderr
    assert re.search(r"train.mosaic is unknown \(known: family, model, device.*width\)", done.stderr)
    assert "train.model: there is one network, and it has no name" in done.stderr


def test_family_that_nobody_declares_is_answered_with_those_that_are(project: Path) -> None:
    with pytest.raises(PipelineError, match=r"train.family: .*no family 'tiny'. Take one of ultralytics, or install"):
        read_recipe(project / "params0.yaml")
    with pytest.raises(PipelineError, match=r"no family 'os': card.json. Take one of ultralytics, or install"):
        load_family("os", "card.json")


def test_code_of_a_family_from_elsewhere_is_its_whole_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare("other", "other_package.family:OtherDetector", tmp_path)
    package = tmp_path / "other_package"
    (package / "layers").mkdir(parents=True)
    (package / "family.py").write_text(
        "from tests.fixtures.tiny_family import TinyDetector\nclass OtherDetector(TinyDetector): pass\n"
    )
    layer = package / "layers" / "head.py"
    layer.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert code_beside_ours("other") == [package]
    before = modules_sha256(code_beside_ours("other"))
    layer.write_text("WIDTH = 16\n")
    assert modules_sha256(code_beside_ours("other")) != before
    assert code_beside_ours("ultralytics") == []


def test_a_family_that_lacks_methods_is_refused_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare("half", "half:Half", tmp_path)
    (tmp_path / "half.py").write_text("from tasks.detectors.protocol import Detector\nclass Half(Detector): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PipelineError, match=r"'half' cannot be loaded: half:Half: .* write_onnx.*Install what"):
        load_family("half")


@pytest.mark.parametrize(
    "code", ["raise ValueError('no licence')", "x = (", "class Broken: recipe = None", "class Broken: recipe = int"]
)
def test_a_family_that_breaks_as_it_is_loaded_is_refused_by_name(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare("broken", "broken:Broken", tmp_path)
    (tmp_path / "broken.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    with pytest.raises(PipelineError, match="'broken' cannot be loaded: broken:Broken: "):
        load_family("broken")


def test_nobody_takes_the_name_of_a_family_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare("ultralytics", "tests.fixtures.tiny_family:TinyDetector", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    load_family.cache_clear()
    assert type(load_family("ultralytics")).__module__ == FAMILIES["ultralytics"].partition(":")[0]
