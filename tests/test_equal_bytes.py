"""Equal inputs give equal bytes: what DVC hashes knows no clock, no folder, no order of arrival."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import check, ingest, parse, split, train, tune
from tasks.contracts.digests import content_sha256
from tasks.sample.__main__ import main as draw_sample
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.training import prepare, write_params

ANNOTATIONS, CHECKS, RAW = Path("data/annotations"), Path("data/checks"), Path("data/raw")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    draw_sample(to=folder / "samples", images=72, seed=3)
    return folder


def data_stages(folder: Path, source: Path) -> None:
    """Run them in `folder`, as DVC does."""
    shutil.copytree(source / "samples", folder / "samples")
    shutil.copy(REPOSITORY / "params.yaml", folder)
    (folder / "tasks" / "checks" / "suites").mkdir(parents=True)
    ingest.main(raw=RAW)
    parse.main(raw=RAW, annotations=ANNOTATIONS)
    check.main(raw=RAW, annotations=ANNOTATIONS, checks=CHECKS)
    report = (CHECKS / "report.json").read_text()
    (CHECKS / "report.json").write_text(report.replace('"passed": false', '"passed": true'))
    split.main(
        annotations=ANNOTATIONS,
        checks=CHECKS,
        split_file=Path("data/split.parquet"),
        leakage=Path("reports/leakage.json"),
    )


def files_of(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), content_sha256(path)


@pytest.mark.slow
def test_data_stages_give_the_same_bytes_in_another_folder_at_another_time(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = []
    for name, zone in (("first", "UTC"), ("second/deeper", "Asia/Tokyo")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        data_stages(folder, source)
        outputs.append({**dict(files_of(folder / "data")), **dict(files_of(folder / "reports"))})
        for path in (source / "samples").iterdir():
            os.utime(path, (1_000_000_000, 1_000_000_000))
    assert {"manifest.json", "report.json", "split.parquet"} <= {Path(name).name for name in outputs[0]}
    assert [name for name in outputs[0] if outputs[0][name] != outputs[1].get(name)] == []
    assert outputs[0] == outputs[1]


@pytest.mark.slow
def test_search_and_training_give_the_same_bytes_in_another_folder_at_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(tmp_path / "prepared")
    outputs = []
    for name in ("first", "second/deeper"):
        folder = tmp_path / name
        shutil.copytree(prepared, folder)
        monkeypatch.chdir(folder)
        space = {"lr0": {"low": 0.001, "high": 0.01, "log": True}}
        params = write_params(folder, tune={"trials": 2, "epochs": 1, "space": space}, model="tiny.yaml", epochs=2)
        params.write_text(params.read_text().replace(str(folder), "."))
        tables = {"raw": Path("raw"), "annotations": Path("annotations"), "split": Path("split.parquet")}
        shutil.rmtree("tuned")
        tune.main(**tables, tuned=Path("tuned"))
        train.main(**tables, tuned=Path("tuned"), trained=Path("trained"))
        outputs.append({**dict(files_of(folder / "tuned")), **dict(files_of(folder / "trained"))})
    assert {"best.json", "trials.parquet", "study.journal", "weights.pt", "card.json"} <= set(outputs[0])
    assert [name for name in outputs[0] if outputs[0][name] != outputs[1].get(name)] == []
