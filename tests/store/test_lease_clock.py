"""Lease time on SQLite: what it is on one boot, on the next, and where no uptime is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import LeaseLost
from settlement.service.jobs import JobQueue
from settlement.service.leases import LeaseTable
from settlement.store.lease_clock import machine_uptime, shown
from settlement.store.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.store.database import Tx

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
START_US = 1_767_225_600_000_000


class Machine:
    """A machine whose clock and uptime a test sets."""

    def __init__(self) -> None:
        self.wall_us = START_US
        self.boot: str | None = "boot-1"
        self.age_us = 5 * MINUTE_US

    def now_us(self) -> int:
        return self.wall_us

    def uptime(self) -> tuple[str, int] | None:
        return (self.boot, self.age_us) if self.boot else None

    def pass_time(self, us: int) -> None:
        self.wall_us += us
        self.age_us += us

    def reboot(self, name: str, wall_us: int) -> None:
        """It is off for a while, and comes up with whatever its clock says."""
        self.boot, self.age_us, self.wall_us = name, MINUTE_US, wall_us


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "settlement.db")


@pytest.fixture
def db(path: str, machine: Machine) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(path, machine, machine.uptime)
    database.migrate()
    yield database
    database.close()


def lease_us(db: SqliteDatabase) -> int:
    return db.transaction(lambda tx: tx.lease_us)


def test_lease_time_starts_as_wall_time_and_then_follows_the_uptime(
    db: SqliteDatabase, machine: Machine
) -> None:
    """Broken build: it is the wall clock, or starts anew with each process."""
    assert lease_us(db) == START_US
    machine.pass_time(MINUTE_US)
    assert lease_us(db) == START_US + MINUTE_US
    machine.wall_us += HOUR_US
    assert lease_us(db) == START_US + MINUTE_US
    machine.wall_us -= 2 * HOUR_US
    machine.age_us += 1
    assert lease_us(db) == START_US + MINUTE_US + 1


def test_processes_with_different_clocks_agree(
    db: SqliteDatabase, path: str, machine: Machine
) -> None:
    """Broken build: each process has an offset of its own."""
    first = lease_us(db)
    other = Machine()
    other.wall_us += HOUR_US
    second = SqliteDatabase(path, other, other.uptime)
    assert (lease_us(second), second.read(lambda tx: tx.lease_us)) == (first, first)
    assert second.transaction(lambda tx: tx.now_us) == START_US + HOUR_US
    second.close()
    assert machine.wall_us == START_US


def test_an_offset_that_was_rolled_back_is_forgotten(
    db: SqliteDatabase, path: str, machine: Machine
) -> None:
    """Broken build: the process keeps an offset that no other process can see."""

    def fail(tx: Tx) -> None:
        assert tx.lease_us == START_US
        raise RuntimeError

    with pytest.raises(RuntimeError):
        db.transaction(fail)
    other = Machine()
    other.wall_us += HOUR_US
    second = SqliteDatabase(path, other, other.uptime)
    assert lease_us(second) == START_US + HOUR_US
    assert lease_us(db) == START_US + HOUR_US
    second.close()
    assert machine.wall_us == START_US


@pytest.mark.parametrize("clock_us", [-HOUR_US, 0, HOUR_US])
def test_after_a_boot_nothing_is_held_by_the_dead_whatever_the_clock_says(
    db: SqliteDatabase, machine: Machine, clock_us: int
) -> None:
    """Broken build: leases end by the wall clock, which came up an hour behind: everything stands
    still for an hour. Or the fence starts again, and one who comes back may write."""
    queue, table = JobQueue(db), LeaseTable(db)
    db.transaction(lambda tx: queue.enqueue(tx, "verify", "deal_a"))
    (job,) = queue.claim(["verify"], 1, "before")
    lease = table.acquire("nightly", "before", 3600)
    assert lease is not None
    machine.reboot("boot-2", START_US + MINUTE_US + clock_us)
    again = table.acquire("nightly", "after", 60)
    assert again is not None
    assert again.fence == lease.fence + 1
    with pytest.raises(LeaseLost):
        table.renew(lease, 60)
    assert queue.renew([job]) == 0
    (taken,) = queue.claim(["verify"], 1, "after")
    assert taken.lease_fence > job.lease_fence
    assert lease_us(db) == machine.wall_us


def test_a_boot_is_begun_once(db: SqliteDatabase, path: str, machine: Machine) -> None:
    """Broken build: each process that opens the file after a boot voids what the others hold."""
    lease_us(db)
    machine.reboot("boot-2", START_US + HOUR_US)
    assert LeaseTable(db).acquire("nightly", "first", 60) is not None
    second = SqliteDatabase(path, machine, machine.uptime)
    assert LeaseTable(second).acquire("nightly", "second", 60) is None
    second.close()
    assert lease_us(db) == START_US + HOUR_US


def test_a_reader_before_the_first_writer_takes_the_wall_clock(
    db: SqliteDatabase, machine: Machine
) -> None:
    """Broken build: looking at a list fails, or writes."""
    machine.wall_us += 7
    assert db.read(lambda tx: tx.lease_us) == START_US + 7
    assert lease_us(db) == START_US + 7


def test_without_an_uptime_lease_time_is_wall_time(db: SqliteDatabase, machine: Machine) -> None:
    """Broken build: such a system cannot lease at all."""
    machine.boot = None
    machine.wall_us += HOUR_US
    assert lease_us(db) == START_US + HOUR_US


def test_people_see_wall_time(db: SqliteDatabase, machine: Machine) -> None:
    """Broken build: after a step of the clock lists say that work was due an hour ago."""
    lease_us(db)
    machine.wall_us += HOUR_US
    seen = db.read(lambda tx: shown(tx, tx.lease_us + MINUTE_US))
    assert seen == "2026-01-01T01:01:00.000000Z"


def test_the_machine_tells_its_boot_and_uptime() -> None:
    """Broken build: CLOCK_REALTIME under another name, or a boot id that changes."""
    one, two = machine_uptime(), machine_uptime()
    assert one is not None
    assert two is not None
    assert one[0] == two[0]
    assert 0 < one[1] <= two[1] < START_US
