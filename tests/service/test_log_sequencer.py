"""The sequencer: every event gets one place in the log, in an order nobody can rewrite.

On both databases. Rivals are threads with connections of their own; that two processes behave the
same is in `test_log_races.py`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core import merkle
from settlement.core.checkpoint import verify_head
from settlement.core.clock import parse_time
from settlement.core.errors import CheckpointDiverged, DealNotFound, LogLagging, NoSigningKey
from settlement.core.writeset import WriteSet
from settlement.service.log import LogSettings, Sequencer
from settlement.signing import verify_ed25519
from settlement.store import log as rows
from settlement.store.database import open_database
from tests.support.logs import (
    MemorySigner,
    append_events,
    append_many,
    check_log,
    heads_of,
    naive_root,
    next_event,
    raw_sql,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Database, Tx

EAGER = LogSettings(head_interval_us=0)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    database.migrate()
    yield database
    database.close()


def entries(db: Database) -> list[rows.LogEntry]:
    return db.read(lambda tx: rows.entries_page(tx, 0, 1_000_000))


def drain(sequencer: Sequencer) -> int:
    total = 0
    while done := sequencer.run_once():
        total += done
    return total


def test_events_get_dense_indexes_in_the_order_of_their_deal(db: Database) -> None:
    sequencer = Sequencer(db, MemorySigner(), EAGER)
    for count, deal_id in ((2, "deal_a"), (1, "deal_b"), (3, "deal_a"), (1, "sys_agent_x")):
        append_events(db, deal_id, count)
    assert sequencer.run_once() == 7
    assert sequencer.run_once() == 0
    assert len(check_log(db)) == 7
    assert db.read(rows.has_pending) is False


def test_a_batch_takes_no_more_than_its_limit(db: Database) -> None:
    sequencer = Sequencer(db, MemorySigner(), LogSettings(batch=10))
    append_events(db, "deal_a", 25)
    assert [sequencer.run_once() for _ in range(4)] == [10, 10, 5, 0]
    check_log(db)


def test_a_step_asks_to_go_on_only_after_a_full_batch(db: Database) -> None:
    sequencer = Sequencer(db, MemorySigner(), LogSettings(batch=10))
    append_events(db, "deal_a", 25)
    assert [sequencer.step() for _ in range(4)] == [10, 10, 0, 0]
    assert len(entries(db)) == 25


def test_complete_subtrees_are_stored_once_and_are_the_trees_own(db: Database) -> None:
    sequencer = Sequencer(db, MemorySigner(), LogSettings(batch=100, head_interval_us=0))
    append_many(db, [f"deal_{n:04d}" for n in range(700)])
    drain(sequencer)
    leaves = check_log(db)
    nodes = db.read(lambda tx: rows.TxHashes(tx).hashes(8, 0, 2))
    assert nodes == [naive_root(leaves[:256]), naive_root(leaves[256:512])]
    head = sequencer.sign()
    assert head is not None
    assert head.root_hash == naive_root(leaves).hex()


def test_a_slow_transaction_is_not_skipped(postgres_url: str) -> None:
    """The break: a cursor that reads "seq greater than last seen" passes over what commits late."""
    db = open_database(postgres_url)
    db.migrate()
    sequencer = Sequencer(db, MemorySigner(), EAGER)
    written, go = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        tx.write(WriteSet(events=[next_event([], "deal_slow", tx.now)]))
        written.set()
        assert go.wait(30)

    thread = threading.Thread(target=lambda: db.transaction(slow))
    thread.start()
    try:
        assert written.wait(30)
        append_events(db, "deal_fast", 2)  # takes later numbers, commits first
        assert sequencer.run_once() == 2
        assert sequencer.sign() is not None
    finally:
        go.set()
        thread.join()
    assert sequencer.run_once() == 1
    assert [entry.deal_id for entry in entries(db)] == ["deal_fast", "deal_fast", "deal_slow"]
    check_log(db)
    db.close()


# --- leases --------------------------------------------------------------------------------------


def test_one_sequencer_at_a_time_writes(db: Database) -> None:
    first, second = (Sequencer(db, MemorySigner(), EAGER) for _ in range(2))
    append_events(db, "deal_a", 3)
    assert first.run_once() == 3
    append_events(db, "deal_a", 2)
    assert second.run_once() == 0
    assert second.sign() is None
    assert first.run_once() == 2


def test_a_closed_sequencer_hands_over_at_once(db: Database) -> None:
    first, second = (Sequencer(db, MemorySigner(), EAGER) for _ in range(2))
    append_events(db, "deal_a")
    assert first.run_once() == 1
    append_events(db, "deal_a")
    first.close()
    assert second.run_once() == 1


def test_a_stale_fence_writes_nothing(db: Database) -> None:
    """A is paused past its lease, B takes over and works, A resumes: none of its rows land."""
    lapsing = LogSettings(head_interval_us=0, lease_seconds=0)
    first, second = Sequencer(db, MemorySigner(), lapsing), Sequencer(db, MemorySigner(), EAGER)
    append_events(db, "deal_a", 2)
    assert first.run_once() == 2
    append_events(db, "deal_a", 2)
    assert second.run_once() == 2
    append_events(db, "deal_a", 1)
    before = entries(db)
    assert first.run_once() == 0
    assert first.sign() is None
    assert entries(db) == before
    assert second.run_once() == 1
    check_log(db)


class SlowSigner(MemorySigner):
    """Signs only after somebody else has had time to do something."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Any = None

    def sign(self, message: bytes) -> bytes:
        if self.meanwhile is not None:
            self.meanwhile()
        return super().sign(message)


def test_a_head_signed_under_a_lost_lease_is_never_kept(db: Database, tmp_path: Any) -> None:
    signer = SlowSigner()
    path = tmp_path / "checkpoint.json"
    lapsing = LogSettings(head_interval_us=0, lease_seconds=0, checkpoint_file=path)
    first, second = Sequencer(db, signer, lapsing), Sequencer(db, MemorySigner(), EAGER)
    append_events(db, "deal_a", 2)
    first.run_once()

    def take_over() -> None:
        signer.meanwhile = None
        append_events(db, "deal_b", 1)
        assert second.run_once() == 1
        assert second.sign() is not None

    signer.meanwhile = take_over
    assert first.sign() is None
    assert not path.exists()
    head = db.read(rows.find_head)
    assert head is not None
    assert head.tree_size == 3
    assert db.read(rows.count_heads) == 1


# --- heads ---------------------------------------------------------------------------------------


def test_heads_verify_and_extend_each_other(db: Database) -> None:
    signer = MemorySigner()
    sequencer = Sequencer(db, signer, EAGER)
    sizes = []
    for step in range(1, 40):
        append_events(db, f"deal_{step % 5}", step)
        drain(sequencer)
        head = sequencer.sign()
        assert head is not None
        sizes.append(head.tree_size)
    leaves = check_log(db)
    heads = heads_of(db, sizes)
    for head in heads:
        assert verify_head(head, signer.public_key, verify_ed25519)
        assert head.root_hash == naive_root(leaves[: head.tree_size]).hex()
    with_reader = db.read(
        lambda tx: [
            (old, new, merkle.consistency(old.tree_size, new.tree_size, rows.TxHashes(tx)))
            for new in heads
            for old in heads
            if old.tree_size <= new.tree_size
        ]
    )
    for old, new, proof in with_reader:
        roots = bytes.fromhex(old.root_hash), bytes.fromhex(new.root_hash)
        assert merkle.verify_consistency(old.tree_size, new.tree_size, *roots, proof)
    times = [parse_time(head.timestamp) for head in heads]
    assert times == sorted(times)


def test_an_empty_log_has_a_head_too_and_an_unchanged_one_no_second(db: Database) -> None:
    sequencer = Sequencer(db, MemorySigner(), EAGER)
    head = sequencer.sign()
    assert head is not None
    assert (head.tree_size, head.root_hash) == (0, naive_root([]).hex())
    assert sequencer.sign() is None
    append_events(db, "deal_a")
    sequencer.step()
    assert db.read(rows.count_heads) == 2


def test_heads_keep_their_interval(db: Database) -> None:
    sequencer = Sequencer(db, MemorySigner(), LogSettings(head_interval_us=3_600_000_000))
    append_events(db, "deal_a")
    sequencer.step()
    append_events(db, "deal_a")
    sequencer.step()
    assert sequencer.sign() is None
    assert len(entries(db)) == 2
    assert db.read(rows.count_heads) == 1


class SetClock:
    """A clock that says what it is told."""

    def __init__(self, now_us: int) -> None:
        self.us = now_us

    def now_us(self) -> int:
        return self.us


def test_a_clock_set_back_neither_stops_the_log_nor_turns_its_times_back(sqlite_url: str) -> None:
    clock = SetClock(1_800_000_000_000_000)
    db = open_database(sqlite_url, clock)
    db.migrate()
    sequencer = Sequencer(db, MemorySigner(), LogSettings())
    append_events(db, "deal_a")
    sequencer.step()
    clock.us -= 3_600_000_000
    other = Sequencer(db, MemorySigner(), LogSettings())
    sequencer.close()
    append_events(db, "deal_a")
    other.step()
    first, second = heads_of(db, [1, 2])
    assert second.timestamp == first.timestamp
    db.close()


def test_without_a_key_events_get_indexes_and_no_head(db: Database) -> None:
    sequencer = Sequencer(db, None, EAGER)
    append_events(db, "deal_a")
    sequencer.step()
    assert len(entries(db)) == 1
    assert db.read(rows.count_heads) == 0
    with pytest.raises(NoSigningKey):
        sequencer.ensure_covered("deal_a")


# --- what was signed stays signed ----------------------------------------------------------------


def signed_log(db: Database, count: int = 700) -> Sequencer:
    sequencer = Sequencer(db, MemorySigner(), EAGER)
    append_many(db, [f"deal_{n:04d}" for n in range(count)])
    drain(sequencer)
    assert sequencer.sign() is not None
    return sequencer


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE log_entry SET leaf_hash = '{zeros}' WHERE log_index = 699",
        "UPDATE log_entry SET leaf_hash = '{zeros}' WHERE log_index = 600",
        "UPDATE log_node SET hash = '{zeros}' WHERE level = 8 AND idx = 0",
        "UPDATE tree_head SET root_hash = '{zeros}'",
        "UPDATE tree_head SET timestamp = '2020-01-01T00:00:00.000000Z'",
        "UPDATE tree_head SET log_id = 'another'",
        "UPDATE tree_head SET tree_size = 698",
        "DELETE FROM log_entry WHERE log_index >= 650",
    ],
)
def test_tampered_rows_stop_the_signing(database_url: str, tampering: str) -> None:
    db = open_database(database_url)
    db.migrate()
    sequencer = signed_log(db)
    raw_sql(database_url, tampering.format(zeros="0" * 64), without_triggers=True)
    append_events(db, "deal_more", 3)
    sequencer.run_once()
    with pytest.raises(CheckpointDiverged):
        sequencer.sign()
    assert db.read(rows.count_heads) == 1
    db.close()


# --- exports wait for heads ----------------------------------------------------------------------


def test_covering_runs_the_log_at_once(db: Database) -> None:
    sequencer = Sequencer(db, MemorySigner(), EAGER)
    append_events(db, "deal_a", 3)
    head = sequencer.ensure_covered("deal_a")
    assert head.tree_size == 3
    assert sequencer.ensure_covered("deal_a") == head
    with pytest.raises(DealNotFound):
        sequencer.ensure_covered("deal_none")


def test_covering_waits_until_the_next_head_is_due(db: Database) -> None:
    sequencer = Sequencer(db, MemorySigner(), LogSettings(head_interval_us=300_000))
    append_events(db, "deal_a")
    sequencer.step()
    append_events(db, "deal_b")
    head = sequencer.ensure_covered("deal_b")
    assert head.tree_size == 2
    first, second = heads_of(db, [1, 2])
    assert parse_time(second.timestamp) - parse_time(first.timestamp) >= 300_000


def test_covering_gives_up_when_another_holds_the_log_and_does_nothing(db: Database) -> None:
    holder = Sequencer(db, MemorySigner(), LogSettings(lease_seconds=60))
    append_events(db, "deal_a")
    holder.run_once()
    append_events(db, "deal_b")
    with pytest.raises(LogLagging):
        Sequencer(db, MemorySigner(), EAGER).ensure_covered("deal_b", timeout_seconds=0)


def test_many_waiters_share_the_heads(db: Database) -> None:
    sequencer = Sequencer(db, MemorySigner(), LogSettings(head_interval_us=200_000))
    covered: list[tuple[str, int]] = []

    def wait_for(deal_id: str) -> None:
        append_events(db, deal_id)
        covered.append((deal_id, sequencer.ensure_covered(deal_id).tree_size))

    threads = [threading.Thread(target=wait_for, args=(f"deal_{n}",)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(covered) == 20
    index_of = {entry.deal_id: entry.log_index for entry in entries(db)}
    assert all(index_of[deal_id] < size for deal_id, size in covered)
    assert db.read(rows.count_heads) < 20
