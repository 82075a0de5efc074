"""Where the chaos tests run: real servers on SQLite and PostgreSQL, or the one AME_BASE names.

With `AME_BASE` set, the tests that only need a server (races over HTTP) drive that one; what needs
its database, its rail's book or its process id starts its own, as always.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.site import Site
from tests.support.postgres import fresh_database
from tests.support.server import Deployment, attach_logs, deployed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

AME_BASE = os.environ.get("AME_BASE", "").rstrip("/")
#: Links in answers name the service, not the process that answered: replays are equal to the byte.
PUBLIC_URL = "http://settlement.test"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    report = yield
    attach_logs(item, report)
    return report


@contextmanager
def on_database(request: pytest.FixtureRequest, kind: str, directory: Path) -> Iterator[Deployment]:
    """A deployment on an empty database of that kind; no server yet."""
    with ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{directory / 'settlement.db'}"
        else:
            postgres = request.getfixturevalue("postgres_server")
            url = stack.enter_context(fresh_database(postgres, label="chaos"))
        yield stack.enter_context(deployed(directory, url, SETTLEMENT_PUBLIC_URL=PUBLIC_URL))


@pytest.fixture(params=["sqlite", "postgres"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """An empty database and a directory; the test starts, kills and restarts servers on it."""
    with on_database(request, request.param, tmp_path) as made:
        yield made


@pytest.fixture(scope="module", params=["AME_BASE"] if AME_BASE else ["sqlite", "postgres"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Two servers on one database, or the server that AME_BASE names."""
    if AME_BASE:
        yield Site(bases=[AME_BASE])
        return
    directory = tmp_path_factory.mktemp(f"site-{request.param}")
    with on_database(request, request.param, directory) as made:
        bases = [made.server().url for _ in range(2)]
        yield Site(bases=bases, deployment=made)
