"""Fixtures every test may use, and the run-wide PostgreSQL server behind them.

`database_url` runs a test once per database; `postgres_url` and `sqlite_url` ask for one. Every
test gets an empty database of its own. The server starts with the first test that needs it and is
shared by all xdist workers; the controlling process owns the run directory, so the server's life.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.postgres import PostgresServer, RunDirectory, ServerHandle, fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = pytest.StashKey[RunDirectory]()
RUN_PATH = pytest.StashKey[Path]()
SERVER = pytest.StashKey[ServerHandle]()


def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[RUN_PATH] = Path(worker["run_directory"])
        return
    run = RunDirectory()
    config.stash[RUN] = run
    config.stash[RUN_PATH] = run.path


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the run's directory is."""
    node.workerinput["run_directory"] = str(node.config.stash[RUN_PATH])


def pytest_unconfigure(config: pytest.Config) -> None:
    run = config.stash.get(RUN, None)
    if run is not None:
        run.close()
    handle = config.stash.get(SERVER, None)
    if handle is not None and run is not None:
        handle.reap()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave `long` tests out unless the marker expression names them."""
    if "long" in config.getoption("markexpr"):
        return
    kept = [item for item in items if item.get_closest_marker("long") is None]
    left_out = [item for item in items if item.get_closest_marker("long") is not None]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    """The run's one PostgreSQL server, started on first use."""
    handle = ServerHandle(request.config.stash[RUN_PATH])
    request.config.stash[SERVER] = handle  # outlives the session, as the server does
    return handle.get()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, dropped after the test."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with fresh_database(postgres_server, label=worker) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file that does not exist yet (four slashes: the path is absolute)."""
    return f"sqlite:///{tmp_path / 'settlement.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database; a test that asks for it runs on both."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
