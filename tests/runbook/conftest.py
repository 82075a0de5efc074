"""The runbook's incidents each start servers of their own, which takes a while."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def database_url(request: pytest.FixtureRequest) -> str:
    """SQLite in every run; the other database with the evidence that takes minutes."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
