"""/ready tells the truth: each thing it checks is broken here, and mended again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from settlement.config import Mode, load
from settlement.core.errors import BehindCheckpoint
from settlement.core.rail import RailSilent
from settlement.edge.http.rail_watch import RailWatch
from settlement.edge.rails.simulated import Behaviour, SimulatedRail
from settlement.service import health
from tests.edge.world import World, world
from tests.support.raw import open_raw
from tests.support.raw import sql as sql_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import PostgresServer


@pytest.fixture
def live(tmp_path: Path, database_url: str) -> Iterator[World]:
    with world(tmp_path, database_url) as served:
        served.app.state["rail_watch"] = RailWatch(
            "simulated", lambda: served.services.rails, fresh_seconds=0
        )
        yield served


def failing(live: World) -> dict[str, str]:
    """What /ready names, with what it says."""
    answer = live.call("GET", "/ready")
    body = answer.json()
    bad = {name: check["detail"] for name, check in body["checks"].items() if not check["ok"]}
    assert answer.status_code == (503 if bad else 200)
    assert body["ok"] is not bool(bad)
    return bad


def test_a_rail_that_does_not_answer_is_named_until_it_does(live: World) -> None:
    """Broken build: /ready looks only whether an adapter is there."""
    rail = live.services.rails["simulated"]
    assert isinstance(rail, SimulatedRail)
    assert failing(live) == {}
    rail.program([Behaviour(does="outage")])
    assert "simulated" in failing(live)["rail"]
    rail.program([])
    assert failing(live) == {}


def test_a_log_behind_its_checkpoint_is_named(live: World) -> None:
    live.services.behind = BehindCheckpoint(promised=9, reached=4)
    assert set(failing(live)) == {"checkpoint"}


def test_a_live_server_without_a_signing_key_is_not_ready(live: World) -> None:
    """Broken build: deals are settled whose proofs can never be anchored."""
    live.services.signer = None
    assert failing(live) == {}
    env = {"SETTLEMENT_MODE": "live", "SETTLEMENT_RAIL": "simulated"}
    live.services.settings = load({**env, "SETTLEMENT_DATABASE": live.services.settings.database})
    assert live.services.settings.mode is Mode.LIVE
    assert "signing_key" in failing(live)


def test_a_database_of_an_earlier_release_is_named(live: World) -> None:
    """Broken build: a server that started before a downgrade goes on as if nothing were."""
    last = _forget_last_migration(live.services.settings.database)
    assert last in failing(live)["migrations"]


def _forget_last_migration(url: str) -> str:
    with open_raw(url) as raw:
        last = "SELECT number, name FROM schema_migration ORDER BY number DESC LIMIT 1"
        number, name = raw.rows(last)[0]
        raw.run([sql_of("DELETE FROM schema_migration WHERE number = :number", number=number)])
    return f"{number:04d}_{name}"


def test_a_full_disk_is_named(live: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken build: the disk fills up, and the balancer sends work until commits fail."""
    monkeypatch.setattr(health.disk_check, "__defaults__", (2**62,))
    assert "make room" in failing(live)["disk"]


def test_a_database_that_is_away_is_named_and_comes_back(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Broken build: /ready is a 500, or says yes from a pooled connection that is dead."""
    with world(tmp_path, postgres_url) as live:
        live.quiet()
        name = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
        with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
            allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
            admin.execute(allow.format(sql.Identifier(str(name)), sql.SQL("false")))
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            admin.execute(end, [name])
            assert set(failing(live)) == {"database", "migrations"}
            assert live.call("GET", "/health").status_code == 200
            admin.execute(allow.format(sql.Identifier(str(name)), sql.SQL("true")))
        # A pool that was refused tries again after a pause of its own, longer each time.
        until = time.monotonic() + 60
        while failing(live) and time.monotonic() < until:
            threading.Event().wait(0.2)
        assert failing(live) == {}


class Stuck:
    """A rail that takes its time."""

    name = "stuck"

    def __init__(self) -> None:
        self.asked = 0
        self.go_on = threading.Event()

    def check(self) -> None:
        self.asked += 1
        self.go_on.wait(20)
        raise RailSilent("nothing came")


def test_a_rail_is_asked_by_one_at_a_time_and_nobody_waits_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Broken build: every monitor's question is one more hanging connection to the rail."""
    monkeypatch.setattr("settlement.edge.http.rail_watch.WAIT_SECONDS", 0.05)
    rail = Stuck()
    watch = RailWatch("stuck", lambda: {"stuck": rail}, fresh_seconds=0)
    for _ in range(5):
        assert not watch.look().ok
    assert rail.asked == 1
    rail.go_on.set()
    assert not RailWatch("other", lambda: {"stuck": rail}).look().ok
