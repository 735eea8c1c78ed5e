"""What several test modules share."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.fixtures.airflow_sample import add_sample
from tests.fixtures.airflow_site import Site, alone, run_first, running_site
from tests.fixtures.repository import REPOSITORY

# Git sets these for hooks and for `rebase --exec`: tests would work on this very repository instead of their own.
for name in subprocess.check_output(["git", "rev-parse", "--local-env-vars"], text=True).split():
    os.environ.pop(name, None)
# Nor may a developer's own settings hide what others meet: bytecode beside the modules, output that waits in a pipe.
for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
    os.environ.pop(name, None)
# No test is timed: on a busy machine any example may take long.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For several processes: what shares a server stays together, and what takes minutes begins first."""
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        own = f"{item.path.relative_to(REPOSITORY)}{params.get('runner', '')}"
        server = f"site-{params['site']}" if "site" in params else own
        if hasattr(getattr(item, "module", None), "probe"):
            server = "probes"  # ask one process that has imported Airflow
        item.add_marker(pytest.mark.xdist_group(server))
    ranks = {"flows": 0, "slow": 1}
    rank = dict.fromkeys((item.path for item in items), 2)  # of a file, whose tests stay in their order
    for item in items:
        rank[item.path] = min(rank[item.path], *(ranks.get(mark.name, 2) for mark in item.iter_markers()))
    # Those of the whole, which lie on top, take longer than those of pieces.
    items.sort(
        key=lambda item: (
            rank[item.path],
            item.get_closest_marker("ends_server") is not None,
            len(item.path.parts),
        )
    )


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets and genuine CVAT exports that lie beside a developer's checkout."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside this checkout: tests against genuine exports need it")
    return folder


@pytest.fixture(scope="session", params=["process", "docker"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Airflow with stages that stand in, for each way of running them; for containers with the real ones beside."""

    def prepare(repository: Path) -> None:
        alone(repository)
        if request.param == "docker":
            add_sample(repository)

    # Folders of pytest are closed to the user that containers run as.
    with (
        tempfile.TemporaryDirectory(prefix="sightline-") as folder,
        running_site(Path(folder), request.param, prepare) as site,
    ):
        yield site


@pytest.fixture(scope="session")
def first(site: Site) -> dict[str, Any]:
    """The first run, which others go on from; the container that it trained in, if any."""
    return run_first(site)
