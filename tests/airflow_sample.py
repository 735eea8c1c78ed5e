"""The real stages and the sample scene, on a branch of a repository whose own stages stand in."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.airflow_server import REPOSITORY
from tests.airflow_stand_in import commit, git

BRANCH, SOURCE = "sample", "scene"


def add_sample(repository: Path) -> None:
    """Add branch `sample`, what Git would hold of this working tree, and draw the sample scene into folder `scene`.

    Not into `samples`: runs on the same labels go on from one another.
    """
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        git(repository, "clone", "--quiet", str(repository), str(clone))
        # The site's remote, and the values that its form shows: what is left as shown is taken from the branch.
        own = {name: (clone / name).read_text() for name in (".dvc/config", "params.yaml")}
        git(clone, "checkout", "--quiet", "--orphan", BRANCH)
        git(clone, "rm", "-r", "--quiet", "--force", ".")
        for name in git(REPOSITORY, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
            if (REPOSITORY / name).is_file() and name != "dvc.lock" and not name.startswith("reports/"):
                (clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, clone / name)
        for name, text in own.items():
            (clone / name).write_text(text)
        commit(clone, "Working tree")
        git(clone, "push", "--quiet", "origin", BRANCH)
    draw = [str(REPOSITORY / ".venv" / "bin" / "python"), "-m", "tasks.sample", "--to", str(repository / SOURCE)]
    subprocess.run([*draw, "--images", "96"], cwd=REPOSITORY, check=True, capture_output=True)
