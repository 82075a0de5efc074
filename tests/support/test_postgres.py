"""The PostgreSQL fixture keeps its own promises: it answers, isolates, is durable, and goes away.

The last two tests start a server of their own, so that stopping it cannot disturb the run's server.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import (
    PostgresServer,
    RunDirectory,
    ServerHandle,
    fresh_database,
    wait_for_guardian,
)

ROOT = Path(__file__).resolve().parents[2]


def names_of_tables(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [name for (name,) in rows]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_each_test_gets_an_empty_database(postgres_url: str) -> None:
    assert names_of_tables(postgres_url) == []


def test_two_databases_do_not_see_each_other(postgres_server: PostgresServer) -> None:
    with fresh_database(postgres_server) as one, fresh_database(postgres_server) as two:
        with psycopg.connect(one) as connection:
            connection.execute("CREATE TABLE only_here (n int)")
        assert names_of_tables(one) == ["only_here"]
        assert names_of_tables(two) == []


def test_a_database_is_dropped_even_while_someone_is_connected(
    postgres_server: PostgresServer,
) -> None:
    with fresh_database(postgres_server) as url:
        lingering = psycopg.connect(url)
    with lingering, pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
def test_durability_is_on(postgres_url: str, setting: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT current_setting(%s)", [setting]).fetchone()
    assert row == ("on",)


def test_the_server_has_room_for_races(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.socket_url()) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("200",)


def test_workers_share_one_server(
    postgres_server: PostgresServer, pytestconfig: pytest.Config
) -> None:
    again = ServerHandle(Path(postgres_server.directory).parent).get()
    assert again == postgres_server


def test_database_url_names_both_databases(database_url: str) -> None:
    assert database_url.startswith(("sqlite:////", "postgresql://"))


def test_the_server_stops_and_leaves_nothing_when_its_run_ends() -> None:
    run = RunDirectory()
    handle = ServerHandle(run.path)
    server = handle.get()
    assert is_running(server.pid)
    run.close()
    handle.reap()
    assert not is_running(server.pid)
    assert not run.path.exists()


def test_the_server_stops_when_its_run_is_killed() -> None:
    program = (
        "import sys\n"
        "from tests.support.postgres import RunDirectory, ServerHandle\n"
        "run = RunDirectory()\n"
        "print(run.path, ServerHandle(run.path).get().pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        assert victim.stdout is not None
        path, pid = victim.stdout.readline().split()
        assert is_running(int(pid))
        victim.send_signal(signal.SIGKILL)
    wait_for_guardian(Path(path))
    assert not is_running(int(pid))
    assert not Path(path).exists()
