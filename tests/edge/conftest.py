"""Worlds for the edge's tests: one per module that only reads or is refused, one per database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edge.world import World, settle_in, world
from tests.support.postgres import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A peopled world on SQLite in which only requests write."""
    directory = tmp_path_factory.mktemp("edge")
    with world(directory, f"sqlite:///{directory / 'settlement.db'}") as live:
        settle_in(live)
        live.quiet()
        yield live


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def either(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A peopled, running world on each database."""
    directory = tmp_path_factory.mktemp(f"edge-{request.param}")
    if request.param == "sqlite":
        with world(directory, f"sqlite:///{directory / 'settlement.db'}") as live:
            settle_in(live)
            yield live
        return
    server = request.getfixturevalue("postgres_server")
    with fresh_database(server, label="edge") as url, world(directory, url) as live:
        settle_in(live)
        yield live


@pytest.fixture(scope="module")
def live_mode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in live mode, where nothing is pretended but the rail."""
    directory = tmp_path_factory.mktemp("edge-live")
    key = directory / "keys" / "log_signing.key"
    from settlement.signing import create_key_file

    create_key_file(key)
    with world(
        directory, f"sqlite:///{directory / 'settlement.db'}", SETTLEMENT_MODE="live"
    ) as served:
        for name in ("seller", "buyer", "stranger"):
            served.register(name)
        yield served
