"""Leases over both keepers, and the lock for the length of a block: what its owner is told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import DatabaseUnavailable, LeaseLost, LockUnavailable, StoreCorrupt
from settlement.service.claims import (
    FileLockBackend,
    HeldLock,
    Lease,
    TTLClaimAdapter,
    distributed_lock,
)
from settlement.service.leases import LeaseTable
from settlement.store.database import SystemClock, open_database
from tests.support.claimants import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_SECONDS = 30
HOUR_US = 3600 * 1_000_000
FAR = "2999-01-01T00:00:00.000000Z"


@pytest.fixture(params=["directory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "directory":
        where = str(tmp_path / "claims")
    else:
        where = request.getfixturevalue(f"{request.param}_url")
        db = open_database(where)
        db.migrate()
        db.close()
    found = Place(where)
    yield found
    found.close()


# --- leases --------------------------------------------------------------------------------------


def test_a_lease_has_one_holder_whose_fence_grows(place: Place) -> None:
    """Broken build: the same owner is let in twice; a fence is used twice."""
    adapter = TTLClaimAdapter(place.backend, 60)
    first = adapter.acquire("k", "me")
    assert first is not None
    assert (first.key, first.owner, first.fence) == ("k", "me", 1)
    assert adapter.acquire("k", "me") is None
    assert adapter.acquire("k", "you") is None
    renewed = adapter.renew(first)
    assert renewed.expires_at >= first.expires_at
    adapter.release(renewed)
    second = adapter.acquire("k", "you")
    assert second is not None
    assert (second.owner, second.fence) == ("you", 2)
    other = adapter.acquire("other", "me")
    assert other is not None
    assert other.fence == 1


@pytest.mark.parametrize("wrong", [{"key": "j"}, {"owner": "you"}, {"fence": 2}, {"fence": 0}])
def test_renew_and_release_need_key_owner_and_fence(place: Place, wrong: dict[str, Any]) -> None:
    """Broken build: one of the three is not compared."""
    adapter = TTLClaimAdapter(place.backend, 60)
    lease = adapter.acquire("k", "me")
    assert lease is not None
    members = {"key": "k", "owner": "me", "fence": lease.fence, "expires_at": lease.expires_at}
    forged = Lease(**{**members, **wrong})
    for act in (adapter.renew, adapter.release):
        with pytest.raises(LeaseLost):
            act(forged)
    adapter.renew(lease)
    assert adapter.acquire("k", "you") is None


def test_a_lease_that_is_over_is_not_renewed(place: Place) -> None:
    """Broken build: renew does not look at the time, so a lease rises again."""
    over = TTLClaimAdapter(place.backend, 0)
    lease = over.acquire("k", "me")
    assert lease is not None
    with pytest.raises(LeaseLost):
        TTLClaimAdapter(place.backend, 60).renew(lease)
    assert over.acquire("k", "you") is not None


def test_a_guarded_write_lands_under_the_current_fence_only(place: Place) -> None:
    """Broken build: the guard is outside the transaction, or finds no row and says nothing."""
    adapter = TTLClaimAdapter(place.backend, 60)
    first = adapter.acquire("k", "me")
    assert first is not None
    place.write(first, "by the first")
    adapter.release(first)
    second = adapter.acquire("k", "me")
    assert second is not None
    with pytest.raises(LeaseLost):
        place.write(first, "late")
    place.write(second, "by the second")
    assert place.written("by the first")
    assert place.written("by the second")
    assert not place.written("late")


# --- the database's clock ------------------------------------------------------------------------


class Jumping(SystemClock):
    """The machine's clock, set wrong."""

    def __init__(self) -> None:
        self.off_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.off_us


def test_a_process_clock_means_nothing_to_leases_in_a_database(database_url: str) -> None:
    """Broken build: expires_us is reckoned from the clock of the process, so a jump ahead ends
    leases early, and one back keeps the dead alive."""
    clock = Jumping()
    db = open_database(database_url, clock)
    db.migrate()
    table = LeaseTable(db)
    held, over = table.acquire("held", "me", 60), table.acquire("over", "me", 0)
    assert held is not None
    assert over is not None
    for off_us in (HOUR_US, -HOUR_US):
        clock.off_us = off_us
        assert table.acquire("held", "you", 60) is None
        held = table.renew(held, 60)
        with pytest.raises(LeaseLost):
            table.renew(over, 60)
    assert table.acquire("over", "you", 60) is not None
    db.close()


def test_one_who_was_taken_over_writes_nothing_whatever_its_clock_says(database_url: str) -> None:
    """Broken build: the guard looks at the time and not at the fence."""
    clock = Jumping()
    db = open_database(database_url, clock)
    db.migrate()
    adapter, table = TTLClaimAdapter(LeaseTable(db), 60), LeaseTable(db)
    assert table.acquire("k", "me", 0) is not None
    first = Lease(key="k", owner="me", fence=1, expires_at=FAR)
    second = adapter.acquire("k", "you")
    assert second is not None
    assert second.fence == 2
    for off_us in (HOUR_US, 0, -HOUR_US):
        clock.off_us = off_us
        with pytest.raises(LeaseLost):
            adapter.renew(first)
        with pytest.raises(LeaseLost):
            db.transaction(lambda tx: adapter.guard(tx, first))
        db.transaction(lambda tx: adapter.guard(tx, second))
    db.close()


# --- the lock ------------------------------------------------------------------------------------


def test_a_lock_shows_its_lease_and_is_given_back(place: Place) -> None:
    """Broken build: the lease is left to its ttl."""
    with distributed_lock("k", backend=place.backend) as held:
        assert (held.key, held.fence, held.lost) == ("k", 1, False)
        assert held.owner
        assert held.expires_at == held.lease.expires_at
        held.check()
        with (
            pytest.raises(LockUnavailable),
            distributed_lock("k", wait=0, backend=place.backend),
        ):
            pytest.fail("two holders")
    with distributed_lock("k", wait=0, backend=place.backend) as held:
        assert held.fence == 2


def test_a_lock_waits_for_the_one_before(place: Place) -> None:
    """Broken build: a held lease is refused at once."""
    taken, fences = threading.Event(), []

    def second() -> None:
        taken.wait(WAIT_SECONDS)
        with distributed_lock("k", wait=WAIT_SECONDS, backend=place.backend) as held:
            fences.append(held.fence)

    thread = threading.Thread(target=second)
    thread.start()
    with distributed_lock("k", backend=place.backend) as held:
        taken.set()
        thread.join(0.3)
        assert thread.is_alive()
        fences.append(held.fence)
    thread.join(WAIT_SECONDS)
    assert fences == [1, 2]


def test_what_is_raised_in_the_block_comes_out_and_the_lock_is_given_back(place: Place) -> None:
    """Broken build: the lock is released only at the end of a block that went well."""
    with pytest.raises(ZeroDivisionError), distributed_lock("k", backend=place.backend):
        raise ZeroDivisionError
    with distributed_lock("k", wait=0, backend=place.backend) as held:
        assert held.fence == 2


def test_the_blocks_own_error_matters_more_than_a_lost_lease(place: Place) -> None:
    """Broken build: LeaseLost from the release hides what went wrong."""

    def fail_after_losing() -> None:
        with distributed_lock("k", backend=place.backend) as held:
            TTLClaimAdapter(place.backend, 60).release(held.lease)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_losing()


def test_a_block_that_was_not_alone_ends_with_lease_lost(place: Place) -> None:
    """Broken build: the refusal to release a lost lease is swallowed."""
    adapter = TTLClaimAdapter(place.backend, 60)

    def not_alone() -> None:
        with distributed_lock("k", renew=False, backend=place.backend) as held:
            adapter.release(held.lease)
            assert adapter.acquire("k", "you") is not None

    with pytest.raises(LeaseLost):
        not_alone()
    assert adapter.acquire("k", "me") is None


class Failing(FileLockBackend):
    """A keeper whose renewals fail, hang or come late, as told."""

    fails: Exception | None = None
    hangs: threading.Event | None = None
    renewals = 0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.entered = threading.Event()

    def extend(self, key: str, owner: str, fence: int, ttl_seconds: int) -> int:
        self.renewals += 1
        self.entered.set()
        if self.hangs is not None:
            self.hangs.wait(WAIT_SECONDS)
        if self.fails is not None:
            raise self.fails
        return super().extend(key, owner, fence, ttl_seconds)


def lost_within(backend: FileLockBackend, ttl: int = 1, *, renew: bool = True) -> list[bool]:
    """Hold a lock until its owner is told that it is lost; what it then sees."""
    told = threading.Event()
    calls: list[None] = []

    def on_lost() -> None:
        calls.append(None)
        told.set()

    with distributed_lock("k", ttl, renew=renew, backend=backend, on_lost=on_lost) as held:
        assert not held.lost
        assert told.wait(WAIT_SECONDS)
        with pytest.raises(LeaseLost):
            held.check()
        return [held.lost, len(calls) == 1]


def test_the_owner_is_told_when_renewals_cannot_land(tmp_path: Path) -> None:
    """Broken build: a failed renewal ends the thread, and nobody watches the time."""
    backend = Failing(tmp_path)
    backend.fails = DatabaseUnavailable(reason="away")
    assert lost_within(backend) == [True, True]
    assert backend.renewals > 2  # it was tried again while there was time


def test_the_owner_is_told_when_a_renewal_hangs(tmp_path: Path) -> None:
    """Broken build: the thread that renews also watches the time."""
    backend = Failing(tmp_path)
    backend.hangs = threading.Event()
    told = threading.Event()
    with distributed_lock("k", 1, backend=backend, on_lost=told.set) as held:
        assert told.wait(WAIT_SECONDS)
        assert held.lost
        # A renewal that lands after all does not bring the lock back.
        backend.hangs.set()
        assert held.lost


def test_the_owner_is_told_when_the_lease_is_over_unrenewed(tmp_path: Path) -> None:
    """Broken build: without renewal there is no watch."""
    assert lost_within(FileLockBackend(tmp_path), renew=False) == [True, True]


def test_the_owner_is_told_at_once_when_another_took_over(tmp_path: Path) -> None:
    """Broken build: LeaseLost in the renewal is tried again until the ttl is over."""
    backend = Failing(tmp_path)
    backend.fails = LeaseLost(name="k")
    assert lost_within(backend, 3) == [True, True]
    assert backend.renewals == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_nobody_foresaw_in_a_renewal_loses_the_lock_too(tmp_path: Path) -> None:
    """Broken build: the renewing thread dies and takes the watch with it."""
    backend = Failing(tmp_path)
    backend.fails = StoreCorrupt(where="claims.jsonl", reason="test")
    assert lost_within(backend) == [True, True]


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_nobody_is_told_after_the_block(tmp_path: Path) -> None:
    """Broken build: the watch goes on after the block and calls on_lost."""
    told = threading.Event()
    with distributed_lock("k", 1, backend=FileLockBackend(tmp_path), on_lost=told.set):
        assert {"watch k", "renew k"} <= {*names_of_threads()}
    assert not {"watch k", "renew k"} & {*names_of_threads()}
    assert not told.is_set()


def test_the_block_ends_after_a_renewal_that_is_under_way(tmp_path: Path) -> None:
    """Broken build: the thread is left behind, and uses a database that was closed meanwhile."""
    backend = Failing(tmp_path)
    backend.hangs = threading.Event()
    with distributed_lock("k", 3, backend=backend):
        assert backend.entered.wait(WAIT_SECONDS)
        threading.Timer(0.2, backend.hangs.set).start()
    assert "renew k" not in names_of_threads()


def test_the_time_left_is_counted_from_before_the_request(tmp_path: Path) -> None:
    """Broken build: it is counted from the answer, which may come when the lease is over."""
    ttl = 1

    class Slow(FileLockBackend):
        def hold(self, key: str, owner: str, ttl_seconds: int) -> tuple[int, int] | None:
            taken = super().hold(key, owner, ttl_seconds)
            threading.Event().wait(ttl)
            return taken

    with distributed_lock("k", ttl, renew=False, backend=Slow(tmp_path)) as held:
        assert held.lost


def test_a_lock_is_lost_when_its_time_is_up_though_no_thread_has_said_so() -> None:
    """Broken build: `lost` and `check` wait for a thread that was stopped with the process."""
    lease = Lease(key="k", owner="me", fence=1, expires_at="2026-01-01T00:00:00.000000Z")
    held = HeldLock(lease, 0, None)
    assert held.lost
    with pytest.raises(LeaseLost):
        held.check()
    held.renewed(lease, 2**63)
    assert held.lost


def test_rivals_look_often_enough_to_replace_the_dead_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: rivals look every two seconds."""
    pauses: list[Any] = []
    monkeypatch.setattr("settlement.service.claims.locks.time.sleep", pauses.append)
    backend = FileLockBackend(tmp_path)
    with (
        distributed_lock("k", backend=backend),
        pytest.raises(LockUnavailable),
        distributed_lock("k", wait=1, backend=backend),
    ):
        pytest.fail("two holders")
    assert len(pauses) > 3
    assert max(pauses) <= 0.25
