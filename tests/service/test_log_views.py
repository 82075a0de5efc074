"""What the log shows: heads, leaves and proofs at signed sizes, keys, statistics and daily roots.

On both databases. Proofs are judged by the definition and by our own checker: the published
`verify_consistency` refuses correct proofs and accepts anything from size 0 (contract §7).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import aigentsy_verify
import pytest

from settlement.core import merkle
from settlement.core.errors import InvalidField, NoSigningKey, TreeSizeUnknown
from settlement.core.writeset import WriteSet
from settlement.service.bundles import Bundles
from settlement.service.log import LogSettings, Sequencer
from settlement.service.log_views import LogViews
from settlement.store import log as rows
from settlement.store.database import open_database
from settlement.store.events import load_chain
from tests.support.logs import (
    MemorySigner,
    append_events,
    append_many,
    check_log,
    make_deal,
    naive_leaf,
    naive_root,
    next_event,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Database

SIZE = 300


class Log:
    """A log of 300 leaves, signed at 200 and 300, with two events beyond the last head."""

    def __init__(self, url: str) -> None:
        self.db = open_database(url)
        self.db.migrate()
        self.signer = MemorySigner()
        self.sequencer = Sequencer(self.db, self.signer, LogSettings(head_interval_us=0))
        self.views = views_of(self.db, self.sequencer, self.signer)
        for start, stop in ((0, 200), (200, SIZE)):
            append_many(self.db, [f"deal_{n:04d}" for n in range(start, stop)])
            self.sequencer.step()
        append_events(self.db, "deal_unsigned", 2)
        self.sequencer.run_once()
        self.leaves = check_log(self.db)


def views_of(db: Database, sequencer: Sequencer, signer: MemorySigner | None) -> LogViews:
    return LogViews(db, Bundles(db, sequencer, signer), signer, LogSettings().log_id)


@pytest.fixture
def log(database_url: str) -> Iterator[Log]:
    made = Log(database_url)
    yield made
    made.db.close()


def test_the_latest_head_verifies_with_the_published_verifier(log: Log) -> None:
    head = log.views.latest()
    assert head["ok"] is head["finalized"] is True
    assert head["tree_size"] == SIZE
    assert head["merkle_root"] == head["root_hash"] == naive_root(log.leaves[:SIZE]).hex()
    key = log.views.public_key()
    assert aigentsy_verify.verify_sth_signature(head, key["public_key_base64"])
    assert not aigentsy_verify.verify_sth_signature(
        {**head, "tree_size": SIZE + 1}, key["public_key_base64"]
    )


def test_heads_are_found_by_their_exact_size(log: Log) -> None:
    assert log.views.by_size(200)["root_hash"] == naive_root(log.leaves[:200]).hex()
    for size in (-1, 0, 199, 302, 1000):
        with pytest.raises(TreeSizeUnknown):
            log.views.by_size(size)


def test_inclusion_proofs_hold_at_any_signed_size(log: Log) -> None:
    for index, size in ((0, 1), (0, 300), (299, 300), (255, 256), (256, 257), (150, 200)):
        view = log.views.inclusion(index, size)
        root = naive_root(log.leaves[:size])
        assert view["root_hash"] == root.hex()
        assert view["leaf_hash"] == log.leaves[index].hex()
        proof = [bytes.fromhex(one) for one in view["proof"]]
        assert merkle.verify_inclusion(log.leaves[index], index, size, proof, root)
        assert aigentsy_verify.verify_inclusion(
            view["leaf_hash"], index, size, view["proof"], root.hex()
        )
    assert log.views.inclusion(7)["tree_size"] == SIZE
    for index, size in ((300, 300), (-1, 300), (0, 0), (0, 301), (5, 5)):
        with pytest.raises(TreeSizeUnknown):
            log.views.inclusion(index, size)


def test_consistency_proofs_hold_between_any_signed_sizes(log: Log) -> None:
    for first, second in ((0, 300), (1, 300), (200, 300), (256, 300), (255, 257), (300, 300)):
        view = log.views.consistency(first, second)
        roots = naive_root(log.leaves[:first]), naive_root(log.leaves[:second])
        assert (view["first_root"], view["second_root"]) == (roots[0].hex(), roots[1].hex())
        proof = [bytes.fromhex(one) for one in view["proof"]]
        assert merkle.verify_consistency(first, second, *roots, proof)
    assert log.views.consistency(3)["second"] == SIZE
    for first, second in ((5, 4), (-1, 4), (1, 302)):
        with pytest.raises(TreeSizeUnknown):
            log.views.consistency(first, second)


def test_leaves_come_in_bounded_pages_and_name_no_deal(log: Log) -> None:
    page = log.views.entries(10, 19)
    assert [entry["log_index"] for entry in page["entries"]] == list(range(10, 20))
    assert [entry["leaf_hash"] for entry in page["entries"]] == [
        leaf.hex() for leaf in log.leaves[10:20]
    ]
    assert set(page["entries"][0]) == {"log_index", "leaf_hash"}
    assert len(log.views.entries(0, 10**9)["entries"]) == SIZE
    assert log.views.leaf(299)["leaf_hash"] == log.leaves[299].hex()
    for start, end in ((300, 310), (-1, 4), (5, 4)):
        with pytest.raises(TreeSizeUnknown):
            log.views.entries(start, end)
    with pytest.raises(TreeSizeUnknown):
        log.views.leaf(300)


def test_a_page_is_at_most_a_thousand(sqlite_url: str) -> None:
    db = open_database(sqlite_url)
    db.migrate()
    sequencer = Sequencer(db, MemorySigner(), LogSettings(head_interval_us=0, batch=2000))
    append_many(db, [f"deal_{n:04d}" for n in range(1200)])
    sequencer.step()
    page = views_of(db, sequencer, MemorySigner()).entries(100, 5000)
    assert (len(page["entries"]), page["end"]) == (1000, 1099)
    db.close()


def test_statistics_tell_what_waits(log: Log) -> None:
    append_events(log.db, "deal_pending", 4)
    stats = log.views.stats()
    assert stats["ok"] is True
    assert (stats["tree_size"], stats["leaf_count"], stats["unsigned"]) == (300, 302, 2)
    assert (stats["pending"], stats["heads"]) == (4, 2)
    assert stats["oldest_pending_at"] is not None
    assert log.views.lag_us() >= 0
    log.sequencer.run_once()
    assert log.views.lag_us() == 0
    assert log.views.stats()["pending"] == 0


def test_a_deals_proof_is_that_of_its_bundle(log: Log) -> None:
    make_deal(log.db, "deal_real")
    proof = log.views.deal_proof("deal_real")
    assert proof["event_type"] == "PROOF_READY"
    assert proof["merkle_inclusion"]["merkle_root"] == proof["signed_tree_head"]["root_hash"]


def test_the_public_key_is_described_as_clients_expect(log: Log) -> None:
    key = log.views.public_key()
    assert base64.b64decode(key["public_key_base64"]) == log.signer.public_key
    expected: dict[str, Any] = {
        "ok": True,
        "key_id": log.signer.key_id,
        "algorithm": "Ed25519",
        "status": "active",
        "key_version": 1,
        "rotation_policy": "manual",
    }
    assert expected.items() <= key.items()
    assert key["active_from"] == log.views.by_size(200)["timestamp"]
    assert [one["key_id"] for one in log.views.keys()["keys"]] == [log.signer.key_id]


def test_before_the_first_head_and_without_a_key_the_log_says_so(sqlite_url: str) -> None:
    db = open_database(sqlite_url)
    db.migrate()
    sequencer = Sequencer(db, MemorySigner(), LogSettings())
    with pytest.raises(TreeSizeUnknown):
        views_of(db, sequencer, MemorySigner()).latest()
    keyless = views_of(db, sequencer, None)
    for ask in (keyless.latest, keyless.public_key, keyless.keys):
        with pytest.raises(NoSigningKey):
            ask()
    assert views_of(db, sequencer, MemorySigner()).public_key()["active_from"].endswith("Z")
    db.close()


# --- cost ----------------------------------------------------------------------------------------


class CountingReader:
    """Counts what a proof reads."""

    def __init__(self, reader: merkle.HashReader) -> None:
        self._reader = reader
        self.statements = 0
        self.hashes_read = 0

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        self.statements += 1
        self.hashes_read += count
        return self._reader.hashes(level, start, count)


def test_a_proof_in_a_large_log_reads_few_hashes_in_few_statements(sqlite_url: str) -> None:
    size = 100_000
    db = open_database(sqlite_url)
    db.migrate()
    sequencer = Sequencer(db, MemorySigner(), LogSettings(batch=10_000, head_interval_us=0))
    for start in range(0, size, 20_000):
        append_many(db, [f"deal_{n:06d}" for n in range(start, start + 20_000)])
        while sequencer.run_once():
            pass
    for index, first in ((0, 1), (99_999, 99_744), (33_333, 65_537), (65_536, 70_001)):

        def cost(tx: Any, index: int = index, first: int = first) -> list[CountingReader]:
            readers = [CountingReader(rows.TxHashes(tx)) for _ in range(2)]
            merkle.inclusion(index, size, readers[0])
            merkle.consistency(first, size, readers[1])
            return readers

        for reader in db.read(cost):
            assert reader.statements <= 6
            assert reader.hashes_read <= 6 * 256
    db.close()


# --- days ----------------------------------------------------------------------------------------


def test_a_days_root_covers_its_leaves_in_log_order(database_url: str) -> None:
    db = open_database(database_url)
    db.migrate()
    sequencer = Sequencer(db, MemorySigner(), LogSettings(head_interval_us=0))
    times = [
        "2026-01-01T23:59:59.999999Z",
        "2026-01-02T00:00:00.000000Z",
        "2026-01-03T01:00:00+02:00",  # 23:00 on the second, in UTC
        "2026-01-02T23:59:59Z",
        "2026-01-02T01:30:00+02:00",  # the first, in UTC
        "2026-01-03T00:00:00.000000Z",
    ]
    for n, time in enumerate(times):
        event = next_event([], f"deal_{n}", time)
        db.transaction(lambda tx, event=event: tx.write(WriteSet(events=[event])))  # type: ignore[misc]  # a default binds the loop's value
    append_many(db, [f"deal_now{n}" for n in range(5)])
    sequencer.step()
    views = views_of(db, sequencer, MemorySigner())
    on_the_second = [
        naive_leaf(db.read(lambda tx, n=n: load_chain(tx, f"deal_{n}"))[0])  # type: ignore[misc]  # a default binds the loop's value
        for n in (1, 2, 3)
    ]
    day = views.compute_daily_root("2026-01-02")
    assert day == {
        "date": "2026-01-02",
        "root": naive_root(on_the_second).hex(),
        "event_count": 3,
    }
    empty = views.compute_daily_root("2020-01-01")
    assert (empty["root"], empty["event_count"]) == (naive_root([]).hex(), 0)
    assert views.compute_daily_root("2026-01-03")["event_count"] == 1
    for wrong in ("2026-13-01", "yesterday", "2026-1-2", ""):
        with pytest.raises(InvalidField):
            views.compute_daily_root(wrong)
    db.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 1000, 2049])
def test_a_days_root_is_made_page_by_page_and_stays_the_definition(
    sqlite_url: str, count: int
) -> None:
    db = open_database(sqlite_url)
    db.migrate()
    sequencer = Sequencer(db, MemorySigner(), LogSettings(batch=5000, head_interval_us=0))
    append_many(db, [f"deal_{n:05d}" for n in range(count)])
    sequencer.step()
    leaves = check_log(db)
    first = db.read(lambda tx: load_chain(tx, "deal_00000"))
    today = first[0].timestamp[:10] if first else "2026-01-01"
    day = views_of(db, sequencer, MemorySigner()).compute_daily_root(today)
    assert (day["root"], day["event_count"]) == (naive_root(leaves).hex(), count)
    db.close()
