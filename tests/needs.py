"""What tests take that a user's machine may lack and CI's has: tests skip there, and fail here."""

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip the test, saying what is lacking; in CI fail it, since nobody reads what is skipped there."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
