"""Leases and claims under fire: rivals, killed holders, torn lines, holders that overslept.

Each test runs where leases are kept: in a directory, in SQLite, in PostgreSQL. The holders are
programs of their own, killed by SIGKILL or stopped by SIGSTOP at a step they have reported.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import DatabaseUnavailable, LockUnavailable
from settlement.service.claims import FileLockBackend, TTLClaimAdapter, distributed_lock
from settlement.store.database import open_database
from tests.support.claimants import Place, claimants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.chaos

KEY = "nightly"
PROCESSES = 16


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


def claim_by_all(where: str, keys: int) -> list[dict[str, int]]:
    plans = [
        {"where": where, "do": "claim_all", "keys": keys, "seed": seed} for seed in range(PROCESSES)
    ]
    with claimants(*plans) as programs:
        assert [program.read() for program in programs] == ["ready"] * PROCESSES
        for program in programs:
            program.go_on()
        won: list[dict[str, int]] = [program.read() for program in programs]
        assert [program.end()[0] for program in programs] == [0] * PROCESSES
    return won


def check_each_won_once(won: list[dict[str, int]], keys: int) -> None:
    winners = [key for wins in won for key in wins]
    assert sorted(winners) == sorted(f"key-{n}" for n in range(keys))
    assert {fence for wins in won for fence in wins.values()} == {1}


def test_sixteen_processes_claim_each_key_once(place: Place) -> None:
    """Broken build: the journal is read before the lock is taken; the take-over has no condition
    on expires_us."""
    check_each_won_once(claim_by_all(place.where, 60), 60)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_sixteen_processes_claim_each_of_a_thousand_keys_once(place: Place) -> None:
    """Broken build: as above, and a compaction that loses what rivals wrote."""
    check_each_won_once(claim_by_all(place.where, 1000), 1000)


def test_a_killed_holder_is_replaced_within_ttl_and_a_second(place: Place) -> None:
    """Broken build: an expired lease counts as held."""
    with claimants({"where": place.where, "do": "lock", "key": KEY, "ttl": 2, "wait": 0}) as [
        first
    ]:
        fence = first.read()["fence"]
        first.process.kill()
        first.process.wait()
        with pytest.raises(LockUnavailable), distributed_lock(KEY, 2, 0, backend=place.backend):
            pass
        with distributed_lock(KEY, 2, 2 + 1, backend=place.backend) as held:
            assert held.fence == fence + 1
            place.write(held.lease, "by the second")
    assert place.written("by the second")


def test_a_holder_stopped_past_its_ttl_writes_nothing_when_it_wakes(place: Place) -> None:
    """Broken build: the guard looks at name and owner but not at the fence, and a take-over keeps
    the fence; release does not look at the fence."""
    with claimants({"where": place.where, "do": "hold", "key": KEY, "ttl": 1}) as [first]:
        fence = first.read()["fence"]
        os.kill(first.process.pid, signal.SIGSTOP)
        with distributed_lock(KEY, 60, 1 + 1, backend=place.backend) as held:
            assert held.fence > fence
            os.kill(first.process.pid, signal.SIGCONT)
            first.go_on()
            assert first.read() == {"write": "lost", "renew": "lost", "release": "lost"}
            assert first.end()[0] == 0
            # It released nothing of ours: nobody else gets in, and our own writes land.
            other = TTLClaimAdapter(place.backend, 60)
            assert other.acquire(KEY, "a third") is None
            place.write(held.lease, "by the second")
    assert place.written("by the second")
    assert not place.written(f"late {fence}")


def test_a_holder_that_renews_but_was_stopped_is_told_that_it_lost(place: Place) -> None:
    """Broken build: the lock trusts its last renewal: nobody watches the time, and a renewal that
    finds the lease lost is tried again."""
    plan = {"where": place.where, "do": "lock", "key": KEY, "ttl": 2, "wait": 0}
    with claimants(plan) as [first]:
        fence = first.read()["fence"]
        os.kill(first.process.pid, signal.SIGSTOP)
        with distributed_lock(KEY, 60, 2 + 1, backend=place.backend):
            os.kill(first.process.pid, signal.SIGCONT)
            first.go_on()
            told = {"lost": True, "on_lost": True, "check": "lost", "write": "lost", "end": "lost"}
            assert first.read() == told
            assert first.end()[0] == 0
    assert not place.written(f"late {fence}")


def test_a_lock_is_kept_beyond_its_ttl_by_renewing(place: Place) -> None:
    """Broken build: nothing renews, so a rival gets in after the ttl."""
    plan = {"where": place.where, "do": "lock", "key": KEY, "ttl": 1, "wait": 0}
    with claimants(plan) as [first]:
        fence = first.read()["fence"]
        with pytest.raises(LockUnavailable), distributed_lock(KEY, 1, 3, backend=place.backend):
            pass
        first.go_on()
        kept = {"lost": False, "on_lost": False, "check": "done", "write": "done", "end": "alone"}
        assert first.read() == kept
        assert first.end()[0] == 0
        with distributed_lock(KEY, 1, 0, backend=place.backend) as held:  # given back, not expired
            assert held.fence == fence + 1
    assert place.written(f"late {fence}")


# --- killed inside the journal -------------------------------------------------------------------

# The first line a new journal gets is the boot's; the claim is the second, its result the third.
NOT_WRITTEN = ["claims.before_append", "claims.mid_append"]
WRITTEN = ["claims.before_fsync", "claims.after_fsync"]


@pytest.mark.parametrize("point", [*NOT_WRITTEN, *WRITTEN])
def test_a_claim_killed_while_writing_is_there_or_is_not(point: str, tmp_path: Path) -> None:
    """Broken build: a torn line is taken for damage, or is continued by the next writer."""
    plan = {"where": str(tmp_path), "do": "claim_one", "key": KEY, "ttl": 1}
    with claimants(plan, faults=f"{point}:kill@2") as [first]:
        assert first.read() is None
        code, said = first.end()
    assert (code, said.splitlines()) == (-signal.SIGKILL, [f"fault {point}: kill"])
    torn = not (tmp_path / "claims.jsonl").read_bytes().endswith(b"\n")
    assert torn == (point == "claims.mid_append")

    backend = FileLockBackend(tmp_path)
    entry = backend.get(KEY)
    assert (entry is not None) == (point in WRITTEN)
    with distributed_lock(KEY, 60, 1 + 1, backend=backend) as held:
        assert held.fence == (2 if point in WRITTEN else 1)
    assert FileLockBackend(tmp_path).stats()["lines"] == (4 if point in WRITTEN else 3)


@pytest.mark.parametrize("point", [*NOT_WRITTEN, *WRITTEN])
def test_a_result_killed_while_writing_is_there_or_is_not(point: str, tmp_path: Path) -> None:
    """Broken build: put finishes the claim in one line and stores the result in another."""
    plan = {"where": str(tmp_path), "do": "claim_one", "key": KEY, "ttl": 1}
    with claimants(plan, faults=f"{point}:kill@3") as [first]:
        assert first.read() == {"won": True, "fence": 1}
        first.go_on()
        assert first.read() is None
        assert first.end()[0] == -signal.SIGKILL
    backend = FileLockBackend(tmp_path)
    adapter = TTLClaimAdapter(backend, 60)
    if point in WRITTEN:
        entry = backend.get(KEY)
        assert entry is not None
        assert entry["result"] == {"by": "first"}
        assert adapter.acquire(KEY, "second") is None
    else:
        with distributed_lock(KEY, 60, 1 + 1, backend=backend) as held:
            assert held.fence == 2


def test_a_compaction_killed_before_its_rename_loses_nothing(tmp_path: Path) -> None:
    """Broken build: the journal is emptied, then written anew."""
    backend = FileLockBackend(tmp_path)
    for n in range(5):
        backend.claim_or_get(f"done {n}")
        backend.put(f"done {n}", n)
        backend.claim_or_get(f"free {n}")
        backend.release(f"free {n}")
    before = (tmp_path / "claims.jsonl").read_bytes()
    plan = {"where": str(tmp_path), "do": "tidy"}
    with claimants(plan, faults="claims.before_rename:kill") as [program]:
        assert program.end()[0] == -signal.SIGKILL
    assert (tmp_path / "claims.jsonl").read_bytes() == before
    assert backend.cleanup_expired() == 5
    reopened = FileLockBackend(tmp_path)
    results = [(reopened.get(f"done {n}") or {})["result"] for n in range(5)]
    assert results == [0, 1, 2, 3, 4]
    assert reopened.claim_or_get("free 1") == (True, None)
    assert reopened.fence_of("free 1") == 2


def test_a_process_stopped_inside_the_lock_makes_others_give_up(tmp_path: Path) -> None:
    """Broken build: a blocking flock, which waits for ever."""
    plan = {"where": str(tmp_path), "do": "claim_one", "key": KEY, "ttl": 60}
    with claimants(plan, faults="claims.mid_append:sleep=60000@2") as [first]:
        assert first.process.stderr is not None
        assert first.process.stderr.readline() == "fault claims.mid_append: sleep=60000\n"
        with pytest.raises(DatabaseUnavailable, match=r"claims\.lock is held"):
            FileLockBackend(tmp_path, lock_wait_seconds=1).get(KEY)
        first.process.kill()
        first.process.wait()
        assert FileLockBackend(tmp_path).claim_or_get(KEY) == (True, None)
