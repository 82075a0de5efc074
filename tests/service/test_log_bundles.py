"""Bundles: what a deal exports verifies offline, by us and by the published verifier, or fails.

On both databases: right after the first event, after more of them, and after the log has grown by
thousands of other deals' leaves. Then every single member is changed, one at a time.
"""

from __future__ import annotations

import base64
import copy
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import aigentsy_verify
import pytest

from settlement.core.bundle_check import Level, verify_bundle
from settlement.core.canonical import check_exact, load_json, sha256_hex
from settlement.core.errors import (
    CheckpointDiverged,
    DealNotFound,
    LogLagging,
    NoSigningKey,
    StoreCorrupt,
)
from settlement.core.merkle import event_leaf
from settlement.core.proof_rows import PACKS_MAX, ProofTotals
from settlement.core.rows import Proof
from settlement.core.state import Needs, State
from settlement.core.writeset import WriteSet
from settlement.service.bundles import MAKING_MAX, Bundles
from settlement.service.log import LogSettings, Sequencer
from settlement.signing import verify_ed25519
from settlement.store.database import open_database
from settlement.store.loading import load_needs
from tests.support.logs import (
    MemorySigner,
    add_to_deal,
    append_events,
    append_many,
    make_deal,
    raw_sql,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Database

KEY = MemorySigner().public_key_base64
DEAL = "deal_under_test"
#: Members of a bundle that no hash and no signature covers, because they say nothing.
UNCOVERED = {"ok", "bundle_type", "exported_at", "root_hash", "key_directory"}


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def bundles(db: Database) -> Bundles:
    return bundles_of(db)


def bundles_of(db: Database, interval_us: int = 0) -> Bundles:
    signer = MemorySigner()
    sequencer = Sequencer(db, signer, LogSettings(head_interval_us=interval_us))
    return Bundles(db, sequencer, signer)


def published_verdict(bundle: dict[str, Any]) -> dict[str, Any]:
    verdict: dict[str, Any] = aigentsy_verify.verify_bundle(
        copy.deepcopy(bundle), public_key_base64=KEY
    )
    return verdict


def assert_full(bundle: dict[str, Any]) -> None:
    theirs = published_verdict(bundle)
    assert theirs["verified"] is True
    assert theirs["verification_level"] == "full"
    assert not [name for name, step in theirs["steps"].items() if step.get("skipped")]
    ours = verify_bundle(bundle, verify_ed25519, KEY)
    assert (ours.verified, ours.level) == (True, Level.FULL)


def assert_last_event_is_anchored(bundle: dict[str, Any]) -> None:
    last = bundle["events"][-1]
    leaf = event_leaf(
        deal_id=last["deal_id"],
        event_type=last["event_type"],
        event_id=last["event_id"],
        event_hash=last["hash"],
        timestamp=last["timestamp"],
    )
    inclusion, head = bundle["merkle_inclusion"], bundle["signed_tree_head"]
    assert inclusion["leaf_hash"] == leaf.hex()
    assert inclusion["tree_size"] == head["tree_size"]
    assert inclusion["merkle_root"] == head["root_hash"] == bundle["root_hash"]


def test_a_bundle_verifies_from_the_first_event_on(db: Database, bundles: Bundles) -> None:
    make_deal(db, DEAL)
    fresh = bundles.export_bundle(DEAL)
    assert_full(fresh)
    assert_last_event_is_anchored(fresh)

    for event_type in ("GO_APPROVED", "PAYMENT_AUTHORIZED", "SETTLED", "OUTCOME_RECORDED"):
        add_to_deal(db, DEAL, event_type)
        grown = bundles.export_bundle(DEAL)
        assert_full(grown)
        assert_last_event_is_anchored(grown)
    assert len(grown["events"]) == 5

    append_many(db, [f"deal_{n:05d}" for n in range(3000)])
    later = bundles.export_bundle(DEAL)  # still under the head that covered it
    assert later["signed_tree_head"] == grown["signed_tree_head"]
    add_to_deal(db, DEAL, "PAYOUT_CONFIRMED")
    latest = bundles.export_bundle(DEAL)
    assert latest["merkle_inclusion"]["leaf_index"] > 3000
    for bundle in (fresh, later, latest):
        assert_full(bundle)
    append_events(db, "deal_other", 700)
    bundles.export_bundle(DEAL)
    make_deal(db, "deal_another")
    assert_full(bundles.export_bundle("deal_another"))
    old_leaf_new_head = bundles.export_bundle(DEAL)
    assert old_leaf_new_head["signed_tree_head"]["tree_size"] > 3700
    assert_full(old_leaf_new_head)


def test_a_bundle_has_the_members_of_the_contract(db: Database, bundles: Bundles) -> None:
    make_deal(db, DEAL)
    bundle = bundles.export_bundle(DEAL)
    assert set(bundle) == {
        "ok",
        "spec_version",
        "bundle_type",
        "deal_id",
        "exported_at",
        "proofs",
        "events",
        "merkle_inclusion",
        "signed_tree_head",
        "root_hash",
        "key_directory",
        "bundle_hash",
    }
    assert bundle["ok"] is True
    assert bundle["spec_version"] == "2.0.0"
    assert bundle["key_directory"] == {}
    assert {
        *("event_id", "event_type", "deal_id", "actor_id", "timestamp", "payload", "prev_hash"),
        *("hash", "counterparty_id", "amount_minor", "asset", "source", "actor_role", "version"),
    } == set(bundle["events"][0])
    assert bundle["events"][0]["prev_hash"] == ""
    check_exact(bundle["proofs"])
    assert "evidence" not in bundle["proofs"][0]


def test_a_callers_proof_data_cannot_spoil_the_bundle(db: Database, bundles: Bundles) -> None:
    """Fractions and huge integers become text, as in the proof hash; `evidence` stays inside."""
    data = {"score": 0.5, "count": 2**60, "evidence": {"adapter_evaluation": {"x": 1}}, "é": [1.0]}
    make_deal(db, DEAL, data)
    bundle = bundles.export_bundle(DEAL)
    assert bundle["proofs"][0]["proof_data"] == {
        "score": "0.5",
        "count": str(2**60),
        "evidence": {"adapter_evaluation": {"x": 1}},
        "é": ["1.0"],
    }
    assert_full(bundle)


def test_what_is_exported_survives_json(db: Database, bundles: Bundles) -> None:
    make_deal(db, DEAL)
    text = json.dumps(bundles.export_bundle(DEAL))
    assert_full(json.loads(text))
    read = load_json(text)
    assert isinstance(read, dict)
    assert verify_bundle(read, verify_ed25519, KEY).verified


def test_an_unknown_deal_and_a_stream_that_is_no_deal_are_not_found(
    db: Database, bundles: Bundles
) -> None:
    append_events(db, "sys_agent_x")
    for deal_id in ("deal_none", "sys_agent_x"):
        for ask in (bundles.export_bundle, bundles.verify_deal, bundles.proof_page):
            with pytest.raises(DealNotFound):
                ask(deal_id)


def test_without_a_key_nothing_is_exported_but_the_deal_is_verified(db: Database) -> None:
    keyless = Bundles(db, Sequencer(db, None, LogSettings()), None)
    make_deal(db, DEAL)
    with pytest.raises(NoSigningKey):
        keyless.export_bundle(DEAL)
    assert keyless.verify_deal(DEAL)["verified"] is True


def test_an_export_waits_for_the_next_head_and_no_longer(db: Database) -> None:
    waiting = bundles_of(db, interval_us=200_000)
    make_deal(db, "deal_first")
    waiting.export_bundle("deal_first")
    make_deal(db, DEAL)
    assert_full(waiting.export_bundle(DEAL))


def test_an_export_gives_up_when_the_log_stands_still(db: Database) -> None:
    holder = Sequencer(db, MemorySigner(), LogSettings(lease_seconds=60))
    make_deal(db, "deal_first")
    holder.run_once()
    make_deal(db, DEAL)
    with pytest.raises(LogLagging):
        bundles_of(db).export_bundle(DEAL, timeout_seconds=0)


def test_exports_during_appends_are_each_of_one_moment(db: Database, bundles: Bundles) -> None:
    make_deal(db, DEAL)
    done = threading.Event()

    def append() -> None:
        for _ in range(25):
            add_to_deal(db, DEAL, "NOTE")
            append_events(db, "deal_other", 3)
        done.set()

    thread = threading.Thread(target=append)
    thread.start()
    lengths = []
    while not done.is_set():
        try:
            bundle = bundles.export_bundle(DEAL)
        except LogLagging:
            continue
        assert_full(bundle)
        assert_last_event_is_anchored(bundle)
        lengths.append(len(bundle["events"]))
    thread.join()
    assert lengths == sorted(lengths)
    assert len(bundles.export_bundle(DEAL)["events"]) == 26


# --- every change is noticed ---------------------------------------------------------------------


def changes(value: Any) -> Iterator[Any]:
    """The value with one thing in it changed, once per thing."""
    match value:
        case dict():
            for name in value:
                yield {other: part for other, part in value.items() if other != name}
                for changed in changes(value[name]):
                    yield {**value, name: changed}
            yield {**value, "added": 1}
        case list():
            for at in range(len(value)):
                yield value[:at] + value[at + 1 :]
                for changed in changes(value[at]):
                    yield [*value[:at], changed, *value[at + 1 :]]
            yield [*value, copy.deepcopy(value[-1]) if value else "added"]
        case bool() | None:
            yield "changed"
        case int():
            yield value + 1
            yield str(value)
        case str():
            flipped = "1" if value[:1] == "0" else "0"
            yield flipped + value[1:] if value else "x"
            yield value + "x"


def test_any_change_to_a_bundle_fails_both_verifiers(sqlite_url: str) -> None:
    db = open_database(sqlite_url)
    db.migrate()
    bundles = bundles_of(db)
    append_many(db, [f"deal_{n}" for n in range(11)])
    make_deal(db, DEAL)
    add_to_deal(db, DEAL, "SETTLED")
    append_many(db, [f"deal_x{n}" for n in range(4)])
    bundle = bundles.export_bundle(DEAL)
    assert_full(bundle)
    tried = 0
    for name in set(bundle) - UNCOVERED:
        for changed in changes(bundle[name]):
            broken = {**bundle, name: changed}
            if name == "signed_tree_head" and _same_head(changed, bundle[name]):
                continue
            tried += 1
            assert published_verdict(broken)["verified"] is False, (name, changed)
            assert not verify_bundle(broken, verify_ed25519, KEY).verified, (name, changed)
    assert tried > 150
    db.close()


def _same_head(changed: Any, head: dict[str, Any]) -> bool:
    """Whether the head says the same still: neither key id nor additions are signed, an absent
    algorithm means the only one there is, the signed text spells a size as text anyway, and a
    signature is its bytes."""
    signed = ("log_id", "tree_size", "root_hash", "timestamp")
    return (
        all(str(changed.get(name)) == str(head[name]) for name in signed)
        and changed.get("algorithm", "Ed25519") == "Ed25519"
        and base64.b64decode(changed.get("signature", "")) == base64.b64decode(head["signature"])
    )


# --- what is stored ------------------------------------------------------------------------------


def test_a_deal_verifies_and_says_what_was_checked(db: Database, bundles: Bundles) -> None:
    make_deal(db, DEAL)
    before = bundles.verify_deal(DEAL)
    assert (before["verified"], before["chain_integrity"], before["errors"]) == (True, True, [])
    assert (before["event_count"], before["proof_count"], before["merkle_root"]) == (1, 1, "")
    bundle = bundles.export_bundle(DEAL)
    event = add_to_deal(db, DEAL, "SETTLED")
    after = bundles.verify_deal(DEAL)
    assert after["verified"] is True
    assert after["merkle_root"] == bundle["root_hash"]
    assert after["chain_hash"] == event.hash
    assert after["leaf_index"] == 0
    page = bundles.proof_page(DEAL)
    assert (page["proof_count"], page["event_count"]) == (1, 2)
    assert_full(page)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE event SET payload = '{{\"n\": 2}}' WHERE deal_id = '{deal}' AND version = 1",
        "UPDATE event SET actor_id = 'agent_thief' WHERE deal_id = '{deal}' AND version = 0",
        "UPDATE event SET prev_hash = '{zeros}' WHERE deal_id = '{deal}' AND version = 1",
        "UPDATE event SET hash = '{zeros}' WHERE deal_id = '{deal}' AND version = 1",
        "DELETE FROM event WHERE deal_id = '{deal}' AND version = 1",
        "UPDATE deal SET head_hash = '{zeros}' WHERE deal_id = '{deal}'",
        "UPDATE log_entry SET leaf_hash = '{zeros}' WHERE log_index = 0",
        "UPDATE tree_head SET root_hash = '{zeros}'",
    ],
)
def test_tampering_with_stored_rows_shows(database_url: str, tampering: str) -> None:
    db = open_database(database_url)
    db.migrate()
    bundles = bundles_of(db)
    append_events(db, "deal_other")
    make_deal(db, DEAL)
    for _ in range(2):
        add_to_deal(db, DEAL, "NOTE")
    bundles.export_bundle(DEAL)
    statement = tampering.format(deal=DEAL, zeros="0" * 64)
    raw_sql(database_url, statement, without_triggers=True)
    verdict = bundles.verify_deal(DEAL)
    assert verdict["verified"] is False
    assert verdict["errors"]
    db.close()


def test_no_proof_that_fails_is_served(database_url: str) -> None:
    db = open_database(database_url)
    db.migrate()
    bundles = bundles_of(db)
    make_deal(db, DEAL)
    append_events(db, "deal_other", 3)
    bundles.export_bundle(DEAL)
    zeros = "0" * 64
    raw_sql(
        database_url,
        f"UPDATE log_entry SET leaf_hash = '{zeros}' WHERE log_index = 2",
        without_triggers=True,
    )
    with pytest.raises(CheckpointDiverged):
        bundles.export_bundle(DEAL)
    raw_sql(
        database_url,
        "DELETE FROM log_entry WHERE log_index = 2",
        without_triggers=True,
    )
    with pytest.raises(StoreCorrupt):
        bundles.export_bundle(DEAL)
    db.close()


def test_a_posted_bundle_is_checked_under_our_key(db: Database, bundles: Bundles) -> None:
    make_deal(db, DEAL)
    bundle = bundles.export_bundle(DEAL)
    verdict = bundles.verify_posted_bundle(bundle)
    assert verdict["ok"] is True
    assert verdict["verified"] is verdict["hash_verified"] is verdict["merkle_verified"] is True
    assert set(verdict["steps"]) >= {"bundle_hash", "event_chain", "sth_signature"}
    assert bundles.verify_posted_bundle({**bundle, "deal_id": "deal_x"})["hash_verified"] is False
    foreign = Bundles(db, Sequencer(db, MemorySigner(2), LogSettings()), MemorySigner(2))
    assert foreign.verify_posted_bundle(bundle)["verified"] is False
    assert bundles.verify_posted_bundle({})["verified"] is False
    assert sha256_hex("") != bundle["bundle_hash"]


class Watched:
    """A database that remembers which statements reads made, and how many read at once."""

    def __init__(self, db: Database, most: int = 100) -> None:
        self.db, self.most = db, most
        self.named: list[str] = []
        self.inside = self.peak = 0
        self.lock, self.more = threading.Lock(), threading.Event()

    def read(self, fn: Any) -> Any:
        with self.lock:
            self.inside += 1
            self.peak = max(self.peak, self.inside)
            if self.inside > self.most:
                self.more.set()
        if self.most < 100:
            self.more.wait(0.3)
        try:
            return self.db.read(lambda tx: fn(WatchedTx(tx, self.named)))
        finally:
            with self.lock:
                self.inside -= 1


class WatchedTx:
    """The transaction, with the names of its statements written down."""

    def __init__(self, tx: Any, named: list[str]) -> None:
        self._tx, self._named = tx, named

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._tx, name)
        if name not in {"one", "all", "maybe"}:
            return found

        def noted(statement: str, *given: Any, **more: Any) -> Any:
            self._named.append(statement)
            return found(statement, *given, **more)

        return noted


def proof(n: int, proof_data: str, attachment_url: str | None = None) -> Proof:
    return Proof(
        deal_id=DEAL,
        n=n,
        proof_type="ad_mock",
        proof_hash="a" * 64,
        proof_data=proof_data,
        attachment_url=attachment_url,
        parent_proof_ids="[]",
        agent="agent_1",
        created_at="2026-01-01T00:00:00.000000Z",
    )


def test_the_proofs_of_a_deal_are_weighed_in_bytes_up_to_the_limit(db: Database) -> None:
    """Catches characters for bytes, an address left out, and a count over all that is there."""
    make_deal(db, DEAL)

    def totals() -> ProofTotals:
        state = State()
        db.read(lambda tx: load_needs(tx, Needs(proofs=(DEAL,)), state))
        return state.proofs[DEAL]

    before = totals()
    assert before.n == 1, "the deal is made with one"
    rows = [proof(1, '{"a":"é"}'), proof(2, "{}", "https://é.example")]
    db.transaction(lambda tx: tx.write(WriteSet(proofs=rows)))
    assert totals() == before.plus(rows[0]).plus(rows[1])
    assert totals().size_bytes - before.size_bytes == 10 + 2 + 18 + 2 * len("[]")
    more = [proof(n, "{}") for n in range(3, PACKS_MAX + 5)]
    db.transaction(lambda tx: tx.write(WriteSet(proofs=more)))
    assert totals().n == PACKS_MAX


def watched(db: Database, most: int = 100) -> tuple[Watched, Bundles]:
    signer, seen = MemorySigner(), Watched(db, most)
    sequencer = Sequencer(db, signer, LogSettings(head_interval_us=0))
    return seen, Bundles(seen, sequencer, signer)  # type: ignore[arg-type]  # reads only


def test_a_deals_verification_counts_its_proofs_and_reads_none(db: Database) -> None:
    """Catches a public route that loads every proof of a deal to say how many there are."""
    make_deal(db, DEAL)
    db.transaction(lambda tx: tx.write(WriteSet(proofs=[proof(1, '{"a":"b"}')])))
    seen, bundles = watched(db)
    assert bundles.verify_deal(DEAL)["proof_count"] == 2
    assert "bundle_proof_count" in seen.named
    assert "bundle_proofs" not in seen.named
    assert len(bundles.export_bundle(DEAL)["proofs"]) == 2


def test_only_so_many_bundles_are_made_at_once(db: Database) -> None:
    """Catches as many bundles in memory as there are threads for exports."""
    make_deal(db, DEAL)
    seen, bundles = watched(db, MAKING_MAX)
    with ThreadPoolExecutor(3 * MAKING_MAX) as pool:
        made = list(pool.map(bundles.export_bundle, [DEAL] * 3 * MAKING_MAX))
    assert len(made) == 3 * MAKING_MAX
    assert 0 < seen.peak <= MAKING_MAX
