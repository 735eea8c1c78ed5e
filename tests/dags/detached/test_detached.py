"""Stages that share no disk: each in a clone of its own, meeting in a bare Git repository and a DVC remote."""

import concurrent.futures
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from tests.fixtures.airflow_stand_in import commit, git, make_repository
from tests.fixtures.detached import IMPORTS, TARGETS, Site, land
from tests.fixtures.forks import Forks, forks_of

pytestmark = pytest.mark.slow

BEFORE_EXPORT = ["doctor", "ingest", "parse", "check", "split", "tune", "train"]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forks_of(*IMPORTS) as forks:
        yield forks


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Site:
    return Site(tmp_path_factory.mktemp("site"), forks)


@pytest.fixture(scope="module")
def trained(site: Site) -> Site:
    """A run called `trained` that has come as far as train."""
    site.start("trained", train__lr0=0.02)
    for stage in BEFORE_EXPORT:
        site.do(f"run {stage}", "trained")
    return site


def test_parallel_instances_land_beside_each_other_and_the_branch_gives_the_files_elsewhere(
    trained: Site, tmp_path: Path
) -> None:
    for stage in ("export", "evaluate"):
        both = [
            subprocess.Popen(trained.command(f"run {stage}@{target}", "trained"), env=trained.environment())
            for target in TARGETS
        ]
        assert [process.wait() for process in both] == [0, 0]
    for stage in ("gate", "report", "publish"):
        trained.do(f"run {stage}", "trained")
    trained.do("record", "trained", "--status", '{"state": "SUCCEEDED"}')
    landed = trained.commits("trained")
    assert landed[:8] == ["Run trained", *BEFORE_EXPORT]
    assert set(landed[8:12]) == {f"{stage}@{target}" for stage in ("export", "evaluate") for target in TARGETS}
    assert landed[12:] == ["gate", "report", "publish", "Run trained: succeeded"]
    assert json.loads(trained.show("trained", "reports/verdict.json"))["accepted"]

    git(tmp_path, "clone", "--quiet", "--branch", "runs/trained", str(trained.repository), "elsewhere")
    dvc = Path(sys.executable).with_name("dvc")
    elsewhere = tmp_path / "elsewhere"
    settings = f"[core]\nremote = site\n['remote \"site\"']\nurl = {trained.remote}\n"
    (elsewhere / ".dvc" / "config.local").write_text(settings)
    subprocess.run([dvc, "pull", "--quiet"], cwd=elsewhere, check=True)
    assert (elsewhere / "models" / "trained" / "weights.txt").read_text() == "0.02"
    assert (elsewhere / "reports" / "report.html").read_text() == "<h1>report</h1>"
    clean = subprocess.run([dvc, "status"], cwd=elsewhere, check=True, capture_output=True, text=True).stdout
    assert "up to date" in clean


def test_stage_that_has_not_changed_is_skipped_and_nothing_lands(trained: Site) -> None:
    before = trained.commits("trained")
    assert "didn't change, skipping" in trained.do("run train", "trained", "--always=export@champion")
    assert trained.commits("trained") == before


def test_stage_that_always_runs_is_not_skipped(trained: Site) -> None:
    assert "Running stage 'train'" in trained.do("run train", "trained", "--always=train")


def test_values_left_as_shown_are_those_of_the_revision(site: Site) -> None:
    site.start("shown", seed=3, train__epochs=5)
    shown = json.dumps({"seed": 3, "train.epochs": 9})
    again = site.command("start", "again", "--revision=runs/shown", f"--shown={shown}", "--value=seed=3")
    subprocess.run([*again, "--value=train.epochs=9"], env=site.environment(), check=True)
    params = yaml.safe_load(site.show("again", "params.yaml"))
    assert (params["seed"], params["train"]["epochs"]) == (3, 5)


def test_run_begins_by_the_code_of_its_repository_whatever_the_image_holds(tmp_path: Path, forks: Forks) -> None:
    site = Site(tmp_path, forks)
    command = site.source / "dags" / "git_command.py"
    command.write_text(command.read_text().replace("user.name=Sightline", "user.name=Newer"))
    commit(site.source, "Sign otherwise")
    git(site.source, "push", "--quiet", str(site.repository), "main")
    site.start("newer")
    assert git(site.repository, "log", "-1", "--format=%an", "runs/newer") == "Newer"


def test_run_started_again_goes_on_with_what_has_landed(trained: Site) -> None:
    before = trained.commits("trained")
    trained.start("trained", train__lr0=0.03)
    assert trained.commits("trained") == [*before, "Run trained"]
    assert yaml.safe_load(trained.show("trained", "params.yaml"))["train"]["lr0"] == 0.03


# Runs from here on remember the stages of the one above, and need not run what they do not change.


def test_stopped_and_killed_training_goes_on_from_progress_kept_beside(trained: Site, tmp_path: Path) -> None:
    trained.start("killed", train__epochs=100)
    keeping = ["--progress", str(tmp_path)]
    epochs = tmp_path / "killed" / "train" / "epochs.txt"

    def train_until(count: int) -> subprocess.Popen[bytes]:
        command = trained.command("run train", "killed", *keeping)
        training = subprocess.Popen(command, env=trained.environment(), start_new_session=True)
        deadline = time.monotonic() + 100
        while len(epochs.read_text().split() if epochs.is_file() else []) < count:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return training

    training = train_until(3)
    training.terminate()
    assert training.wait(timeout=20) == 128 + signal.SIGTERM
    seen = epochs.read_text()
    time.sleep(0.5)
    assert epochs.read_text() == seen

    training = train_until(len(seen.split()) + 3)
    os.killpg(training.pid, signal.SIGKILL)
    training.wait()
    assert trained.commits("killed")[-1] == "Run killed"

    trained.do("run train", "killed", *keeping)
    done = [line.split(":") for line in epochs.read_text().split()]
    assert [int(epoch) for epoch, _ in done] == list(range(100))
    assert len({process for _, process in done}) == 3
    assert trained.commits("killed")[-1] == "train"
    trained.do("record", "killed", "--status", '{"state": "SUCCEEDED"}', *keeping)
    assert not (tmp_path / "killed").exists()


def test_rejection_ends_with_the_code_of_the_stage(trained: Site) -> None:
    trained.start("rejected", gate__rules=["impossible"])
    trained.do("run gate", "rejected")
    refused = trained.call("run publish", "rejected")
    assert refused.returncode == 2
    assert "short by 0.2" in refused.stderr
    assert trained.commits("rejected")[1:] == ["gate"]


def test_search_is_shared_only_through_a_database(trained: Site, tmp_path: Path) -> None:
    sharing = ["--output=--tuned", "--worker=worker-1"]
    assert "the stage will search alone" in trained.do("share tune", "trained", *sharing)
    study = tmp_path / "study.txt"
    trained.start("shared", tune__storage=str(study))
    trained.do("share tune", "shared", *sharing)
    assert len(study.read_text().split()) == 1
    assert trained.commits("shared") == ["Run shared"]


def test_next_run_keeps_the_sides_of_the_one_before(trained: Site) -> None:
    (trained.source / "samples" / "a-new-one.zip").write_text("labels")
    trained.start("next")
    for stage in ("ingest", "parse", "split"):
        assert "Running stage" in trained.do(f"run {stage}", "next")
    lock = yaml.safe_load(trained.show("next", "dvc.lock"))["stages"]["split"]
    md5 = next(out["md5"] for out in lock["outs"] if out["path"] == "data/split.parquet")
    held = Path(trained.remote, "files", "md5", md5[:2], md5[2:])
    assert json.loads(held.read_text()) == {"belt.zip": 0, "a-new-one.zip": 1}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"train__epochs": -3}, "train.epochs: -3 is less than the minimum of 1"),
        ({"trian__epochs": 3}, "params.yaml has no section trian"),
        ({"ingest__source": "samples"}, "ingest.source is samples: machines share no disk that has it"),
        ({"tracking__uri": "sqlite:///mlflow.db"}, "tracking.uri: machines share no disk for 'sqlite:///mlflow.db'"),
    ],
    ids=["out of range", "unknown section", "labels of one machine", "store of one machine"],
)
def test_value_that_cannot_be_is_refused_at_the_start(site: Site, values: dict[str, object], said: str) -> None:
    refused = site.call("start", "bad", *site.form(**values))
    assert refused.returncode == 2
    assert said in refused.stderr
    assert not git(site.repository, "branch", "--list", "runs/bad")


@pytest.mark.parametrize(
    ("what", "run", "said"),
    [
        ("run ingest", "nowhere", "has no branch runs/nowhere: `start` makes it"),
        ("run ingest", "../up", "'../up' is no name of a run"),
        ("run oven", "trained", "dvc.yaml has no stage oven"),
        ("run export", "trained", "export has instances, and one runs at a time: export@pytorch, export@onnx"),
    ],
)
def test_what_cannot_run_is_told_in_one_line(trained: Site, what: str, run: str, said: str) -> None:
    refused = trained.call(what, run)
    assert refused.returncode == 2
    assert said in refused.stderr.splitlines()[-1]


def test_stage_before_its_time_is_not_taken_for_unchanged(site: Site) -> None:
    git(site.repository, "branch", "runs/bare", "main")
    refused = site.call("run parse", "bare")
    assert refused.returncode == 2
    assert "parse lacks what it reads: data/raw" in refused.stderr.splitlines()[-1]


def test_volume_that_belongs_to_somebody_else_is_told_with_its_mend(site: Site, tmp_path: Path) -> None:
    git(site.repository, "branch", "runs/closed", "main")
    tmp_path.chmod(0o555)
    # Not even root may write there without its privileges.
    without = ["setpriv", "--bounding-set=-all"] if os.getuid() == 0 else []
    command = [*without, *site.command("run train", "closed", "--progress", str(tmp_path))]
    refused = subprocess.run(command, env=site.environment(), capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert f"may not write to the volume of progress: {tmp_path}. Run the Job of" in refused.stderr.splitlines()[-1]


def test_many_that_land_at_the_same_time_leave_each_others_entries_alone(tmp_path: Path) -> None:
    make_repository(tmp_path / "repository")
    bare, stages = tmp_path / "bare.git", [f"export@{number}" for number in range(6)]
    git(tmp_path, "clone", "--quiet", "--bare", "repository", str(bare))
    git(bare, "branch", "runs/one")
    for stage in stages:
        git(tmp_path, "clone", "--quiet", "--depth=1", "--branch=runs/one", bare.as_uri(), stage)
    with concurrent.futures.ProcessPoolExecutor(len(stages), multiprocessing.get_context("spawn")) as pool:
        list(pool.map(land, [tmp_path / stage for stage in stages]))
    assert set(yaml.safe_load(git(bare, "show", "runs/one:dvc.lock"))["stages"]) == set(stages)
    held = git(bare, "ls-tree", "--name-only", "runs/one", "reports/").split()
    assert held == [f"reports/{stage}.json" for stage in stages]
    assert sorted(git(bare, "log", "--format=%s", "main..runs/one").splitlines()) == stages


def test_text_in_the_way_of_a_shell_arrives_as_it_is(site: Site) -> None:
    text = '\'; touch /tmp/broken-out; $(touch /tmp/broken-out) "`touch /tmp/broken-out`" = --run=x.pt'
    site.start("quoted", train__model=text)
    assert yaml.safe_load(site.show("quoted", "params.yaml"))["train"]["model"] == text
    assert not Path("/tmp/broken-out").exists()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of a local S3 server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a key",
        "AWS_SECRET_ACCESS_KEY": "a secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="store")
    yield "s3://store/sightline"
    server.stop()


def test_data_goes_from_machine_to_machine_through_s3(bucket: str, tmp_path: Path, forks: Forks) -> None:
    site = Site(tmp_path, forks, bucket)
    # Labels that Git holds, as the source of S3 is for the real stage to read.
    (site.source / "labels").mkdir()
    (site.source / "labels" / "belt.zip").write_text("labels")
    commit(site.source, "Hold labels")
    git(site.source, "push", "--quiet", str(site.repository), "main")
    site.start("in-s3", ingest__source="labels")
    for stage in ("doctor", "ingest", "parse"):
        site.do(f"run {stage}", "in-s3")
    lock = yaml.safe_load(site.show("in-s3", "dvc.lock"))["stages"]
    assert list(lock) == ["doctor", "ingest", "parse"]
    keys = [entry["Key"] for entry in boto3.client("s3").list_objects_v2(Bucket="store")["Contents"]]
    md5 = next(out["md5"] for out in lock["parse"]["outs"] if out["path"] == "data/annotations")
    assert f"sightline/files/md5/{md5[:2]}/{md5[2:]}" in keys
