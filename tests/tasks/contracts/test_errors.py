"""The error that users see."""

import pytest

from tasks.contracts.errors import PipelineError


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://u:secret@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("postgresql+psycopg://u:sec/r@et@host/db", "postgresql+psycopg://u:***@host/db"),
        ("postgresql://host/db?user=u&password=secret&x=1", "postgresql://host/db?user=u&password=***&x=1"),
        ("http://:secret@host: refused, ask a@b", "http://:***@host: refused, ask a@b"),
        ("http://u@host:5000: refused", "http://u@host:5000: refused"),
        ("http://host:5000: refused", "http://host:5000: refused"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_passwords_in_urls_are_masked_wherever_they_stand(written: str, shown: str) -> None:
    error = PipelineError("a", f"{written} b", f"run `c {written}`")
    assert str(error) == f"a: {shown} b. run `c {shown}`"
    assert error.args == ("a", f"{shown} b", f"run `c {shown}`")
