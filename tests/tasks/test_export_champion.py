"""The live bundle comes out of the registry as one more target."""

from pathlib import Path

import pytest
import yaml

from tasks.contracts.bundle import NoChampion
from tasks.contracts.params import Tracking
from tasks.contracts.record import read_record
from tasks.export import main
from tasks.runtimes.protocol import read_bundle
from tests.fixtures.release import TARGETS, Workspace

pytest_plugins = ["tests.fixtures.mlflow_store"]


def pull_champion(tracking: Tracking, folder: Path, target: str) -> Path:
    use_case = {"target": target, "metric": "map50"}
    releases = {"log": str(folder / "releases.jsonl")}
    params = {"use_case": use_case, "tracking": tracking.model_dump(), "publish": releases}
    (folder / "champion.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    nowhere = folder / "nowhere"
    main(
        target="champion",
        raw=nowhere,
        annotations=nowhere,
        split=nowhere,
        trained=nowhere,
        bundle=folder / "champion",
        params=folder / "champion.yaml",
    )
    return folder / "champion"


@pytest.mark.slow
def test_without_a_champion_the_bundle_says_so(tmp_path: Path, tracking: Tracking) -> None:
    folder = pull_champion(tracking, tmp_path, "onnx")
    assert [file.name for file in folder.iterdir()] == ["absent.json"]
    assert read_record(folder / "absent.json", NoChampion).reason.startswith("the registry has no champion")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "pulled"),
    [
        pytest.param(TARGETS[0], TARGETS[0], id="as released"),
        pytest.param("torchscript", "openvino-int8", id="never released as this: what is live"),
    ],
)
def test_champion_is_the_live_bundle_with_its_version(
    wanted: str, pulled: str, tmp_path: Path, tracking: Tracking
) -> None:
    Workspace(tmp_path).write("first").publish(tracking)
    folder = pull_champion(tracking, tmp_path, wanted)
    bundle = read_bundle(folder)
    assert (bundle.target, bundle.registry_version) == (pulled, "1")
    assert {file.name for file in folder.iterdir()} == {"bundle.json", *bundle.files_sha256}
