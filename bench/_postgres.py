"""A PostgreSQL server for a benchmark, when none is named.

Guarantees: `SETTLEMENT_BENCH_POSTGRES_URL` wins: figures can be taken on a database of your own,
which must be empty and is left as it is. Otherwise the test suite's server is started, with the
same durable settings, and a fresh database on it is handed out; both are gone when the block ends.
Does not: tune anything. A figure taken here is a figure with fsync on.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.postgres import PostgresServer, fresh_database, temporary_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL_SETTING = "SETTLEMENT_BENCH_POSTGRES_URL"


@contextmanager
def postgres_server(directory: Path | None = None) -> Iterator[PostgresServer]:
    """A temporary server; `directory` chooses the disk that is measured."""
    with temporary_server(directory) as server:
        yield server


@contextmanager
def postgres_database(directory: Path | None = None) -> Iterator[str]:
    """The URL of an empty database, on the named server or on a temporary one."""
    named = os.environ.get(URL_SETTING)
    if named:
        yield named
        return
    with postgres_server(directory) as server, fresh_database(server, label="bench") as url:
        yield url
