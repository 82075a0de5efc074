"""What a directory of claims promises: one holder, results that last, fences that only grow."""

from __future__ import annotations

import multiprocessing
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import CanonicalForm, LeaseLost
from settlement.service.claims import EPOCH, IDEMPOTENCY_RESULT_TTL, FileLockBackend
from settlement.store.lease_clock import machine_uptime

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000
HOUR = 3600 * SECOND


class Machine:
    """A clock that can be set, and an uptime that only runs on."""

    def __init__(self) -> None:
        self.wall_us = 1_800_000_000 * SECOND
        self.up_us = 77 * SECOND
        self.boot = "first"

    def now_us(self) -> int:
        return self.wall_us

    def uptime(self) -> tuple[str, int] | None:
        return (self.boot, self.up_us) if self.boot else None

    def wait(self, seconds: int) -> None:
        self.wall_us += seconds * SECOND
        self.up_us += seconds * SECOND


@pytest.fixture(params=["uptime known", "clock only"])
def machine(request: pytest.FixtureRequest) -> Machine:
    found = Machine()
    if request.param == "clock only":
        found.boot = ""
    return found


@pytest.fixture
def backend(tmp_path: Path, machine: Machine) -> FileLockBackend:
    return opened(tmp_path, machine)


def opened(directory: Path, machine: Machine) -> FileLockBackend:
    return FileLockBackend(directory, clock=machine, uptime=machine.uptime)


def fence_of(backend: FileLockBackend, key: str) -> int:
    fence = backend.fence_of(key)
    assert fence is not None
    return fence


# --- claims --------------------------------------------------------------------------------------


def test_a_claim_is_won_once_then_held_then_done(backend: FileLockBackend) -> None:
    """Broken build: claim_or_get does not look at what is there."""
    assert backend.claim_or_get("k") == (True, None)
    held = {"key": "k", "_claimed": True, "_claimed_at": "2027-01-15T08:00:00.000000Z", "fence": 1}
    assert backend.claim_or_get("k") == (False, held)
    assert backend.get("k") == held
    backend.put("k", {"n": [1, None, "é"]}, {"by": "me"})
    done = {
        "key": "k",
        "result": {"n": [1, None, "é"]},
        "metadata": {"by": "me"},
        "stored_at": "2027-01-15T08:00:00.000000Z",
    }
    assert backend.claim_or_get("k") == (False, done)
    assert backend.get("k") == done
    assert backend.has("k")
    assert not backend.has("other")


def test_a_claim_given_back_is_free_at_once(backend: FileLockBackend) -> None:
    """Broken build: release leaves the claim to its ttl; a fence is used twice."""
    backend.claim_or_get("k")
    backend.release("k")
    assert backend.get("k") is None
    assert backend.claim_or_get("k") == (True, None)
    assert backend.fence_of("k") == 2


def test_a_claim_ends_with_its_ttl_and_not_before(
    backend: FileLockBackend, machine: Machine
) -> None:
    """Broken build: the ttl is not kept, or is read in other units."""
    backend.claim_or_get("k", 300)
    machine.wait(299)
    assert backend.claim_or_get("k")[0] is False
    machine.wait(1)
    assert backend.get("k") is None
    assert backend.claim_or_get("k") == (True, None)


def test_who_was_taken_over_stores_and_releases_nothing(
    backend: FileLockBackend, machine: Machine
) -> None:
    """Broken build: put and release look at the key only."""
    backend.claim_or_get("k", 10)
    mine = fence_of(backend, "k")
    machine.wait(10)
    backend.claim_or_get("k", 10)
    for act in (backend.release, lambda key, fence: backend.put(key, 1, fence=fence)):
        with pytest.raises(LeaseLost):
            act("k", fence=mine)
    with pytest.raises(LeaseLost), backend.guarded("k", fence=mine):
        pytest.fail("the guard let an old holder in")
    assert (backend.get("k") or {})["fence"] == mine + 1
    backend.put("k", 2)
    assert (backend.get("k") or {})["result"] == 2


def test_who_never_claimed_stores_and_releases_nothing(backend: FileLockBackend) -> None:
    """Broken build: without a fence, the current one is assumed."""
    thread = threading.Thread(target=backend.claim_or_get, args=("k",))
    thread.start()
    thread.join()
    with pytest.raises(LeaseLost):
        backend.put("k", 1)
    with pytest.raises(LeaseLost):
        backend.release("k")
    with pytest.raises(LeaseLost):
        backend.release("nobody's", fence=1)


def test_a_result_stands_the_same_again_is_fine_another_is_not(backend: FileLockBackend) -> None:
    """Broken build: the second put wins."""
    backend.claim_or_get("k")
    backend.put("k", {"a": 1})
    backend.put("k", {"a": 1})
    for result, metadata in (({"a": 2}, None), ({"a": 1}, "more"), ({"a": True}, None)):
        with pytest.raises(LeaseLost):
            backend.put("k", result, metadata)
    with pytest.raises(LeaseLost):
        backend.release("k")
    assert (backend.get("k") or {})["result"] == {"a": 1}


def test_results_live_a_day(backend: FileLockBackend, machine: Machine) -> None:
    """Broken build: results end with their claim's ttl, or never."""
    backend.claim_or_get("k", 1)
    backend.put("k", 1)
    machine.wait(IDEMPOTENCY_RESULT_TTL - 1)
    assert backend.claim_or_get("k")[0] is False
    machine.wait(1)
    assert backend.claim_or_get("k") == (True, None)
    assert backend.fence_of("k") == 2


def test_a_result_is_a_copy_both_ways(backend: FileLockBackend) -> None:
    """Broken build: the caller's own object is kept, and handed out."""
    result: dict[str, Any] = {"a": [1]}
    backend.claim_or_get("k")
    backend.put("k", result)
    result["a"].append(2)
    got = backend.get("k")
    assert got is not None
    got["result"]["a"].append(3)
    assert (backend.get("k") or {})["result"] == {"a": [1]}


@pytest.mark.parametrize("result", [0.5, {"é": 1}, 2**53, "\ud800", {1: 2}, b"x"])
def test_what_has_no_exact_form_is_refused_and_the_claim_stays(result: Any, tmp_path: Path) -> None:
    """Broken build: the line is written before its form is checked."""
    backend = opened(tmp_path, Machine())
    backend.claim_or_get("k")
    with pytest.raises(CanonicalForm):
        backend.put("k", result)
    with pytest.raises(CanonicalForm):
        backend.claim_or_get("\ud800")
    backend.put("k", None)
    assert opened(tmp_path, Machine()).has("k")


# --- fences --------------------------------------------------------------------------------------


def test_fences_grow_across_restart_compaction_and_restore(
    tmp_path: Path, machine: Machine
) -> None:
    """Broken build: a forgotten name starts anew at 1; a restore leaves the epoch as it was."""
    backend = opened(tmp_path, machine)
    for _ in range(3):
        backend.claim_or_get("k")
        backend.release("k")
    copy = (tmp_path / "claims.jsonl").read_bytes()

    assert backend.cleanup_expired() == 1
    assert backend.stats()["lines"] == 1
    assert backend.cleanup_expired() == 0
    backend = opened(tmp_path, machine)
    backend.claim_or_get("k")
    backend.claim_or_get("other")
    assert (backend.fence_of("k"), backend.fence_of("other")) == (4, 4)

    (tmp_path / "claims.jsonl").write_bytes(copy)
    backend = opened(tmp_path, machine)
    assert backend.recover() == 1
    backend.claim_or_get("k")
    assert backend.fence_of("k") == EPOCH + 1
    assert opened(tmp_path, machine).recover(at_least=7) == 7
    backend.claim_or_get("k")
    assert backend.fence_of("k") == 7 * EPOCH + 1


def test_a_restore_voids_claims_and_keeps_results(
    backend: FileLockBackend, machine: Machine
) -> None:
    """Broken build: who held a claim when the copy was made still holds it."""
    backend.claim_or_get("held", 10_000)
    backend.claim_or_get("done", 10_000)
    backend.put("done", 1)
    mine = fence_of(backend, "held")
    backend.recover()
    with pytest.raises(LeaseLost):
        backend.put("held", 1, fence=mine)
    assert backend.claim_or_get("held") == (True, None)
    assert backend.claim_or_get("done")[0] is False


def test_cleanup_forgets_what_is_over_and_nothing_else(tmp_path: Path, machine: Machine) -> None:
    """Broken build: cleanup forgets whoever holds a claim; a backend beside it goes on reading the
    old file."""
    backend, beside = opened(tmp_path, machine), opened(tmp_path, machine)
    beside.claim_or_get("old result")
    beside.put("old result", 1)
    machine.wait(IDEMPOTENCY_RESULT_TTL)
    for key in ("expired", "freed", "held", "done"):
        backend.claim_or_get(key, 5 if key == "expired" else 1000)
    backend.release("freed")
    backend.put("done", 1)
    machine.wait(5)
    counts = backend.stats()
    assert (counts["held"], counts["done"], counts["expired"]) == (1, 1, 3)
    assert backend.cleanup_expired() == 3
    counts = beside.stats()
    assert (counts["held"], counts["done"], counts["expired"], counts["lines"]) == (1, 1, 0, 3)
    assert beside.get("held") == opened(tmp_path, machine).get("held")
    backend.release("held")
    assert beside.claim_or_get("held") == (True, None)


def test_a_long_journal_tidies_itself(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: nothing compacts but cleanup_expired, which nobody calls."""
    monkeypatch.setattr("settlement.service.claims.file_backend._LINES_KEPT", 40)
    backend = opened(tmp_path, machine)
    backend.claim_or_get("held", 10_000)
    longest = 0
    for n in range(100):
        backend.claim_or_get(f"key {n}")
        backend.release(f"key {n}")
        longest = max(longest, backend.stats()["lines"])
    assert longest <= 1024
    backend = opened(tmp_path, machine)
    for n in range(100):
        backend.claim_or_get(f"key {n}")
        backend.release(f"key {n}")
        assert backend.stats()["lines"] <= 45
    assert backend.has("held")


# --- time ----------------------------------------------------------------------------------------


def test_a_clock_that_jumps_neither_ends_nor_revives_a_claim(tmp_path: Path) -> None:
    """Broken build: time is the clock's, or max(clock, last written) where uptime is known."""
    machine = Machine()
    backend = opened(tmp_path, machine)
    backend.claim_or_get("held", 60)
    backend.claim_or_get("short", 1)
    machine.wait(1)
    for jump in (HOUR, -2 * HOUR, HOUR):
        machine.wall_us += jump
        for each in (backend, opened(tmp_path, machine)):
            assert each.claim_or_get("held")[0] is False
            assert not each.has("short")
    # Nor does the jump delay anybody: the dead are replaced when their ttl is over.
    machine.wall_us += HOUR
    backend.claim_or_get("taken meanwhile", 60)
    machine.wall_us -= HOUR
    machine.wait(60)
    assert backend.claim_or_get("held") == (True, None)
    assert backend.claim_or_get("taken meanwhile") == (True, None)


def test_without_an_uptime_the_clock_going_back_revives_nothing(tmp_path: Path) -> None:
    """Broken build: now is the clock's, without the last time written."""
    machine = Machine()
    machine.boot = ""
    backend = opened(tmp_path, machine)
    backend.claim_or_get("over", 60)
    machine.wall_us += HOUR
    backend.claim_or_get("witness", 60)  # writes the time
    machine.wall_us -= HOUR
    for each in (backend, opened(tmp_path, machine)):
        assert not each.has("over")
        assert each.has("witness")
    assert backend.claim_or_get("over") == (True, None)


def test_time_goes_on_over_a_boot_and_never_back(tmp_path: Path) -> None:
    """Broken build: the uptime of another boot is used."""
    machine = Machine()
    backend = opened(tmp_path, machine)
    backend.claim_or_get("k", 60)
    backend.claim_or_get("done")
    backend.put("done", 1)
    machine.wait(30)
    machine.boot, machine.up_us = "second", 0
    backend = opened(tmp_path, machine)
    assert backend.claim_or_get("k")[0] is False
    machine.wait(30)
    assert backend.claim_or_get("k", 60) == (True, None)
    machine.wait(1)
    machine.boot, machine.up_us = "third", 0
    machine.wall_us -= HOUR  # a machine that forgot the time
    assert opened(tmp_path, machine).claim_or_get("k")[0] is False
    assert opened(tmp_path, machine).has("done")


def test_this_machine_tells_its_uptime_or_says_that_it_cannot() -> None:
    known = machine_uptime()
    again = machine_uptime()
    assert (known is None) == (again is None)
    if known is not None and again is not None:
        assert known[0] == again[0] != ""
        assert known[1] <= again[1]


def test_a_backend_that_is_dropped_keeps_no_descriptor(tmp_path: Path) -> None:
    """Broken build: a journal leaves its file open; whoever opens many runs out of descriptors."""
    FileLockBackend(tmp_path).claim_or_get("first")
    before = len(os.listdir("/dev/fd"))
    for n in range(20):
        FileLockBackend(tmp_path).claim_or_get(f"key {n}")
    assert len(os.listdir("/dev/fd")) < before + 20


# --- threads and forks ---------------------------------------------------------------------------


def test_threads_that_share_a_backend_win_each_key_once(tmp_path: Path) -> None:
    """Broken build: the lock file is opened once, so threads share its lock."""
    backend = FileLockBackend(tmp_path)
    start = threading.Barrier(8)
    won: list[str] = []

    def claim_all(seed: int) -> None:
        start.wait()
        for n in range(40):
            key = f"key {(n * 7 + seed) % 40}"
            if backend.claim_or_get(key)[0]:
                won.append(key)

    threads = [threading.Thread(target=claim_all, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(won) == sorted(f"key {n}" for n in range(40))
    assert FileLockBackend(tmp_path).stats()["held"] == 40


FORK_KEYS = 200


def claim_in_fork(backend: FileLockBackend, start: Any, answers: Any) -> None:
    start.wait()
    answers.put([backend.claim_or_get(f"key {n}")[0] for n in range(FORK_KEYS)])
    answers.close()
    answers.join_thread()
    os._exit(0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forks_that_share_a_backend_win_each_key_once(tmp_path: Path) -> None:
    """Broken build: the lock file is opened once, so a fork has its parent's lock."""
    backend = FileLockBackend(tmp_path)
    backend.claim_or_get("before")
    context = multiprocessing.get_context("fork")
    answers, start = context.Queue(), context.Barrier(5)
    args = (backend, start, answers)
    forks = [context.Process(target=claim_in_fork, args=args) for _ in range(4)]
    for fork in forks:
        fork.start()
    start.wait(60)
    won = [[backend.claim_or_get(f"key {n}")[0] for n in range(FORK_KEYS)]]
    won += [answers.get(timeout=60) for _ in forks]
    for fork in forks:
        fork.join(60)
    assert [sum(column) for column in zip(*won, strict=True)] == [1] * FORK_KEYS
