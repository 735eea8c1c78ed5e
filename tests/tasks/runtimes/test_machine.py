"""A network gets the processors that its container may use, and the device that params name."""

from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.contracts.params import read_params
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe
from tasks.evaluating.run_bundle import Running
from tasks.runtimes.machine import machine_name, processors

RUNNING = "latency_images: 20\n  latency_warm_up: 1\n  threads: null"


def test_machine_is_named_with_its_processors() -> None:
    assert machine_name()
    assert processors() >= 1


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        pytest.param("0::/", {"cpu.max": "100000 100000"}, 1, id="one processor"),
        pytest.param("0::/", {"cpu.max": "20000 100000"}, 1, id="a fifth of one"),
        pytest.param("0::/", {"cpu.max": "110000 100000"}, 2, id="a little more than one"),
        pytest.param("0::/", {"cpu.max": "max 100000"}, None, id="no limit"),
        pytest.param("0::/pod/box", {"pod/cpu.max": "50000 100000", "pod/box/cpu.max": "max 1"}, 1, id="of the pod"),
        pytest.param("0::/not/mounted", {"cpu.max": "100000 100000"}, 1, id="mounted from the container on"),
        pytest.param(
            "7:cpu,cpuacct:/box\n3:memory:/x",
            {"cpu/box/cpu.cfs_quota_us": "100000", "cpu/box/cpu.cfs_period_us": "100000"},
            1,
            id="version 1",
        ),
        pytest.param(
            "7:cpu,cpuacct:/",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "1"},
            None,
            id="none in version 1",
        ),
        pytest.param(None, {}, None, id="no control groups"),
    ],
)
def test_processors_are_no_more_than_the_container_is_given(
    group: str | None, files: dict[str, str], expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(8)))
    if group is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(group)
    for name, content in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert processors(tmp_path) == (expected or 8)


@pytest.mark.parametrize(
    ("written", "device"), [("auto", "auto"), ("0", "0"), ("12", "12"), ("0,1", "0,1"), ("cpu", "cpu")]
)
def test_a_device_is_read_as_people_write_it(written: str, device: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"train:\n  device: {written}\nevaluate:\n  device: {written}\n  {RUNNING}\n")
    assert read_params(path, "train", UltralyticsRecipe).device == device
    assert read_params(path, "evaluate", Running).device == device


@pytest.mark.parametrize("written", ["cpus", "gpu7x", "0,1,", "true", "-1", "1.5"])
def test_a_device_that_cannot_be_is_refused(written: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"train:\n  device: {written}\n")
    with pytest.raises(PipelineError, match=r"train\.device"):
        read_params(path, "train", UltralyticsRecipe)
