"""A site's key says who released what is live."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mlflow import MlflowClient

from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Tracking
from tests.fixtures.release import Workspace, of_the_log, pull, roll_back, versions

pytest_plugins = ["tests.fixtures.mlflow_store"]
pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Two pairs of Ed25519 keys, of the site and a foreign one, and a private key of another kind."""
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    for name in ("site", "foreign"):
        key = Ed25519PrivateKey.generate()
        (tmp_path / f"{name}.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pub").write_bytes(public)
    other = generate_private_key(SECP256R1())
    (tmp_path / "other.pem").write_bytes(other.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return tmp_path


@pytest.mark.parametrize("kept", ["file", "variable"])
def test_signed_release_is_pulled_where_signatures_are_asked_for(
    kept: str, workspace: Workspace, tracking: Tracking, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_KEY", (keys / "site.pem").read_text())
    sign_with = str(keys / "site.pem") if kept == "file" else "env:SITE_KEY"
    workspace.write("first").publish(tracking, sign_with=sign_with, verify_with=[str(keys / "site.pub")])
    assert pull(workspace, tracking, keys / "foreign.pub", keys / "site.pub") == "1"


@pytest.mark.parametrize("sign_with", [None, "foreign.pem"])
def test_release_that_its_own_site_would_refuse_is_not_made(
    sign_with: str | None, workspace: Workspace, tracking: Tracking, keys: Path
) -> None:
    signing = sign_with and str(keys / sign_with)
    with pytest.raises(PipelineError, match="what is released here would be refused here"):
        workspace.write("first").publish(tracking, sign_with=signing, verify_with=[str(keys / "site.pub")])
    assert versions(tracking) == []


@pytest.mark.parametrize(
    ("sign_with", "said"),
    [(None, "release is not signed"), ("foreign.pem", "release is signed by a foreign key")],
)
def test_release_without_the_sites_signature_is_not_pulled_until_somebody_vouches_for_it(
    sign_with: str | None, said: str, workspace: Workspace, tracking: Tracking, keys: Path
) -> None:
    workspace.write("first").publish(tracking, sign_with=sign_with and str(keys / sign_with))
    with pytest.raises(PipelineError, match=said) as refused:
        pull(workspace, tracking, keys / "site.pub")
    assert "--rollback 1 --why REASON" in refused.value.hint
    assert not (workspace.root / "pulled").exists()
    roll_back(workspace, tracking, "1", "looked at", sign_with=str(keys / "site.pem"))
    assert pull(workspace, tracking, keys / "site.pub") == "1"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"why": "better"}, "signed by a foreign key"),
        ({"content_sha256": "0" * 64}, "signed by a foreign key"),
        ({"signature": "AAAA"}, "signed by a foreign key"),
        ({"signature": "not base64"}, "signed by a foreign key"),
        ({"signature": None}, "not signed"),
    ],
    ids=["reason", "content", "signature", "no base64", "no signature"],
)
def test_signature_covers_all_of_its_line(
    changed: dict[str, str | None], said: str, workspace: Workspace, tracking: Tracking, keys: Path
) -> None:
    workspace.write("first").publish(tracking, sign_with=str(keys / "site.pem"))
    client, key, line = of_the_log(tracking)
    client.set_registered_model_tag(tracking.experiment, key, line.model_copy(update=changed).model_dump_json())
    (workspace.root / "releases.jsonl").unlink()  # a fresh clone of before the release
    with pytest.raises(PipelineError, match=said):
        pull(workspace, tracking, keys / "site.pub")


def test_signed_line_of_another_model_vouches_for_nothing_here(
    workspace: Workspace, tracking: Tracking, keys: Path, tmp_path: Path
) -> None:
    elsewhere = tracking.model_copy(update={"experiment": f"{tracking.experiment}-elsewhere"})
    Workspace(tmp_path / "elsewhere").write("second").publish(elsewhere, sign_with=str(keys / "site.pem"))
    workspace.write("first").publish(tracking)
    client, key, _ = of_the_log(tracking)
    signed = of_the_log(elsewhere)[2]
    client.set_registered_model_tag(tracking.experiment, key, signed.model_dump_json())
    (workspace.root / "releases.jsonl").unlink()
    with pytest.raises(PipelineError, match="the signature does not cover what is live"):
        pull(workspace, tracking, keys / "site.pub")


def test_version_that_was_made_live_by_hand_has_nobodys_signature(
    workspace: Workspace, tracking: Tracking, keys: Path
) -> None:
    sign_with = str(keys / "site.pem")
    workspace.write("first").publish(tracking, sign_with=sign_with)
    workspace.write("second", champion="1").publish(tracking, sign_with=sign_with)
    MlflowClient(tracking.uri).set_registered_model_alias(tracking.experiment, "champion", "1")
    with pytest.raises(PipelineError, match="the alias stands on version 1, and was moved by hand"):
        pull(workspace, tracking, keys / "site.pub")


@pytest.mark.parametrize("sign_with", ["none.pem", "site.pub", "other.pem", "env:NOWHERE"])
def test_what_is_no_private_key_is_named_and_nothing_of_it_is_quoted(
    sign_with: str, workspace: Workspace, tracking: Tracking, keys: Path
) -> None:
    named = sign_with if sign_with.startswith("env:") else str(keys / sign_with)
    with pytest.raises(PipelineError, match=r"no Ed25519 key is there: publish\.sign_with") as refused:
        workspace.write("first").publish(tracking, sign_with=named)
    assert "openssl genpkey -algorithm ed25519" in refused.value.hint
    assert "PRIVATE KEY" not in str(refused.value)
