"""One real server per module and database, and the published clients against it.

With the limits of a sandbox as they are: the clients must live with them.

A missing client package fails the run: `test_packages.py` imports them all, and every module here
imports what it drives at its top.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio.from_thread
import pytest

from tests.clients.sdk import AsyncSdk, Sdk, SyncSdk
from tests.support.postgres import fresh_database
from tests.support.server import Server, attach_logs, deployed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    report = yield
    attach_logs(item, report)
    return report


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A running server in sandbox mode, alone on an empty database."""
    directory = tmp_path_factory.mktemp(f"clients-{request.param}")
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{directory / 'settlement.db'}"
        else:
            postgres = request.getfixturevalue("postgres_server")
            url = stack.enter_context(fresh_database(postgres, label="clients"))
        deployment = stack.enter_context(deployed(directory, url, SETTLEMENT_RATE_LIMITS=""))
        yield deployment.server()


@pytest.fixture(scope="module")
def portal() -> Iterator[anyio.from_thread.BlockingPortal]:
    """An event loop in a thread, for clients that are asynchronous."""
    with anyio.from_thread.start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def sdk(server: Server) -> Iterator[SyncSdk]:
    """The synchronous SDK, not yet registered."""
    with SyncSdk(server.url) as client:
        yield client


@pytest.fixture(params=["sync", "async"])
def either_sdk(
    request: pytest.FixtureRequest, server: Server, portal: anyio.from_thread.BlockingPortal
) -> Iterator[Sdk]:
    """The synchronous and the asynchronous SDK behind one face."""
    with SyncSdk(server.url) if request.param == "sync" else AsyncSdk(server.url, portal) as client:
        yield client
