"""An embedded MLflow store for all tests, as its tables take seconds to make; each test has its own experiment."""

from pathlib import Path
from uuid import uuid4

import pytest

from tasks.clients.tracking import connected
from tasks.contracts.params import Tracking


@pytest.fixture(scope="session")
def store_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    with connected(Tracking(uri=uri, experiment="none")):
        return uri


@pytest.fixture
def tracking(store_uri: str, tmp_path: Path) -> Tracking:
    """An experiment, and a registered model, that nobody has used yet."""
    return Tracking(uri=store_uri, experiment=f"belt-{uuid4().hex[:8]}", artifacts=str(tmp_path / "artifacts"))
