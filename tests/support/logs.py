"""What the log's tests share: a key in memory, chains without an engine, and a naive Merkle tree.

The tree here is the definition of RFC 6962 written down, over all leaves at once; it shares no code
with `core.merkle`, which it judges. Events are appended the way any writer must: read the chain's
head, write the next version, and start again when a rival was first.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

import apsw
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from settlement.core.rows import Deal, DealState, Event, Proof
from settlement.core.writeset import WriteSet
from settlement.service.log import LogSettings, Sequencer
from settlement.store.database import ConstraintViolated, open_database
from settlement.store.events import load_chain
from settlement.store.log import entries_page, find_head

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.synchronize import Event as EventType
    from pathlib import Path

    from settlement.core.checkpoint import TreeHead
    from settlement.store.database import Database, Tx


class MemorySigner:
    """A signing key that lives as long as the test; equal seeds are equal keys."""

    key_id = "test_log_signer"

    def __init__(self, seed: int = 1) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public_key = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key_base64 = base64.b64encode(self.public_key).decode()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


# --- chains --------------------------------------------------------------------------------------


def next_event(chain: Sequence[Event], deal_id: str, now: str, **changes: Any) -> Event:
    """The event that follows a chain."""
    version = len(chain)
    members: dict[str, Any] = {
        "event_id": f"evt_{deal_id}_{version}",
        "event_type": "NOTE",
        "deal_id": deal_id,
        "actor_id": "agent_test",
        "timestamp": now,
        "payload": {"n": version, "text": "café"},
        "prev_hash": chain[-1].hash if chain else "",
        **changes,
    }
    digest = hashlib.sha256(json.dumps(members, sort_keys=True).encode()).hexdigest()
    payload = json.dumps(members.pop("payload"), sort_keys=True)
    return Event(
        **members,
        version=version,
        payload=payload,
        actor_role=None,
        counterparty_id=None,
        amount_minor=None,
        asset=None,
        source="test",
        actor_signature=None,
        hash=digest,
    )


def append_events(db: Database, deal_id: str, count: int = 1) -> None:
    """Append to a chain in one transaction, again when another writer took the version."""

    def append(tx: Tx) -> None:
        chain = load_chain(tx, deal_id)
        for _ in range(count):
            chain.append(next_event(chain, deal_id, tx.now))
        tx.write(WriteSet(events=chain[-count:]))

    while True:
        try:
            return db.transaction(append)
        except ConstraintViolated:
            continue


def append_many(db: Database, deal_ids: Sequence[str]) -> None:
    """The first event of many new chains, in one transaction."""
    db.transaction(
        lambda tx: tx.write(WriteSet(events=[next_event([], one, tx.now) for one in deal_ids]))
    )


# --- deals ---------------------------------------------------------------------------------------


def make_deal(db: Database, deal_id: str, proof_data: dict[str, Any] | None = None) -> None:
    """A deal with one proof and its PROOF_READY event, as a proof pack leaves them."""

    def make(tx: Tx) -> None:
        facts = {"proof_hash": "a" * 64, "price_minor": 9900, "seller": "agent_test"}
        event = next_event([], deal_id, tx.now, event_type="PROOF_READY", payload=facts)
        proof = Proof(
            deal_id=deal_id,
            n=0,
            proof_type="completion_photo",
            proof_hash="a" * 64,
            proof_data=json.dumps(proof_data or {"photo_url": "https://example.com/1"}),
            attachment_url=None,
            parent_proof_ids="[]",
            agent="agent_test",
            created_at=tx.now,
        )
        deal = _deal(deal_id, event)
        tx.write(WriteSet(deals_new=[deal], proofs=[proof], events=[event]))

    db.transaction(make)


def add_to_deal(db: Database, deal_id: str, event_type: str, **changes: Any) -> Event:
    """The next event of a deal, with the deal's head moved on."""

    def add(tx: Tx) -> Event:
        chain = load_chain(tx, deal_id)
        event = next_event(chain, deal_id, tx.now, event_type=event_type, **changes)
        tx.write(WriteSet(deals_changed=[_deal(deal_id, event)], events=[event]))
        return event

    return db.transaction(add)


def _deal(deal_id: str, last: Event) -> Deal:
    return Deal(
        deal_id=deal_id,
        state=DealState.PROOF_READY,
        version=last.version + 1,
        head_hash=last.hash,
        asset="USD/2",
        open=1,
        seller_label="agent_test",
        seller_id=None,
        buyer_label="",
        buyer_id=None,
        vertical="",
        sku_id="",
        proof_type="completion_photo",
        proof_hash="a" * 64,
        scope_summary="",
        scope_lock_hash="b" * 32,
        scope_digest="c" * 64,
        policy="[]",
        policy_hash="d" * 24,
        price_minor=9900,
        quote_digest="e" * 64,
        quote_expires_at="2030-01-01T00:00:00.000000Z",
        gross_minor=None,
        fee_policy=None,
        fee_policy_hash=None,
        tier=None,
        volume_minor=None,
        approval_authority=None,
        approval_mode=None,
        approved_by=None,
        mandate_id=None,
        acceptance_id=None,
        acceptance_state=None,
        funding=None,
        funding_rail=None,
        charge_refusals=0,
        intent_id=None,
        created_at=last.timestamp,
        updated_at=last.timestamp,
        settled_at=None,
    )


# --- processes -----------------------------------------------------------------------------------


def append_at_random(url: str, seed: int, deals: int, count: int) -> None:
    """A process that appends to chains it shares with others, in an order of its own."""
    db = open_database(url)
    choose = random.Random(seed)
    for _ in range(count):
        append_events(db, f"deal_{choose.randrange(deals)}", choose.randrange(1, 4))
    db.close()


def sequence_until(url: str, checkpoint: Path, stop: EventType) -> None:
    """A process that sequences and signs with a lease that lapses at once, so rivals take turns."""
    db = open_database(url)
    settings = LogSettings(batch=7, lease_seconds=0, head_interval_us=0, checkpoint_file=checkpoint)
    sequencer = Sequencer(db, MemorySigner(), settings)
    while not stop.is_set():
        sequencer.step()
    db.close()


def check_log(db: Database) -> list[bytes]:
    """Every event once, dense, in its deal's order, with the leaf the definition gives it."""
    found = db.read(lambda tx: entries_page(tx, 0, 1_000_000))
    assert [entry.log_index for entry in found] == list(range(len(found)))
    chains = {
        deal_id: db.read(lambda tx, deal_id=deal_id: load_chain(tx, deal_id))  # type: ignore[misc]  # a default binds the loop's value
        for deal_id in {entry.deal_id for entry in found}
    }
    leaves = []
    next_version = dict.fromkeys(chains, 0)
    for entry in found:
        assert entry.version == next_version[entry.deal_id]
        next_version[entry.deal_id] += 1
        event = chains[entry.deal_id][entry.version]
        assert entry.event_id == event.event_id
        assert entry.leaf_hash == naive_leaf(event).hex()
        leaves.append(naive_leaf(event))
    assert next_version == {deal_id: len(chain) for deal_id, chain in chains.items()}
    return leaves


# --- the naive tree ------------------------------------------------------------------------------


def naive_leaf(event: Event) -> bytes:
    data = {
        "deal_id": event.deal_id,
        "event_hash": event.hash,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "timestamp": event.timestamp,
    }
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(b"\x00" + text.encode()).digest()


def naive_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    left, right = naive_root(leaves[:half]), naive_root(leaves[half:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def heads_of(db: Database, sizes: Sequence[int]) -> list[TreeHead]:
    """The heads of those sizes; each must be there."""
    heads = [db.read(lambda tx, size=size: find_head(tx, size)) for size in sizes]  # type: ignore[misc]  # a default binds the loop's value
    assert all(head is not None for head in heads)
    return [head for head in heads if head is not None]


# --- past the rules ------------------------------------------------------------------------------


def raw_sql(url: str, *statements: str, without_triggers: bool = False) -> None:
    """Run statements past our code, and if asked past the triggers that guard the tables."""
    if url.startswith("sqlite"):
        connection = apsw.Connection(url.removeprefix("sqlite:///"))
        connection.set_busy_timeout(10_000)
        if without_triggers:
            query = "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
            for (name,) in list(connection.execute(query)):
                connection.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            connection.execute(statement)
        connection.close()
        return
    with psycopg.connect(url) as session:
        if without_triggers:
            session.execute("SET session_replication_role = replica")
        for statement in statements:
            session.execute(statement.encode())
