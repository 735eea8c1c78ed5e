"""`dvc repro` with nothing changed, against an empty pipeline of as many stages."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from tests.bench.ratios import ENVIRONMENT, Ratio, at_most, interleaved
from tests.fixtures.repository import REPOSITORY


def measure() -> list[Ratio]:
    """Needs a finished pipeline in this checkout, as `make demo` leaves it."""
    stages = _stage_count()
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder)
        _empty_pipeline(empty, stages)
        ours, other = interleaved(5, lambda: _repro(REPOSITORY), lambda: _repro(empty))
    return [at_most(f"dvc repro, nothing changed, over an empty pipeline of {stages} stages", ours, other, 2.0)]


def _stage_count() -> int:
    listed = subprocess.run(
        ["dvc", "stage", "list", "--name-only"], cwd=REPOSITORY, env=ENVIRONMENT, check=True, capture_output=True
    )
    return len(listed.stdout.split())


def _empty_pipeline(folder: Path, stages: int) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    shutil.copytree(REPOSITORY / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "*.local"))
    declared = {
        f"stage_{number}": {
            "cmd": f"echo {number} > {number}.txt",
            "deps": [f"{number - 1}.txt"] if number else [],
            "outs": [f"{number}.txt"],
        }
        for number in range(stages)
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": declared}, sort_keys=False))
    _repro(folder)


def _repro(folder: Path) -> None:
    done = subprocess.run(["dvc", "repro"], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"dvc repro failed in {folder}; run `make demo` first:\n{done.stdout}{done.stderr}")
