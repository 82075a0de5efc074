"""Event store, receipt store and bundles through the engine: what operations write is what proves.

On both databases.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import aigentsy_verify
import pytest

from settlement.core.bundle import EVENT_MEMBERS
from settlement.core.errors import ChainConflict, IdempotencyConflict, InvalidRequest
from settlement.core.operation import Rules
from settlement.core.operations import ProofPack
from settlement.core.principal import ANONYMOUS, SYSTEM
from settlement.core.verification import evaluate
from settlement.service.bundles import Bundles
from settlement.service.engine import Engine
from settlement.service.event_store import EventStore
from settlement.service.log import LogSettings, Sequencer
from settlement.service.log_views import LogViews
from settlement.service.receipt_store import ReceiptStore
from settlement.store.database import open_database
from settlement.store.events import load_chain
from tests.support.logs import MemorySigner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Database

PHOTO = {"photo_url": "https://example.com/photo"}


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def engine(db: Database) -> Iterator[Engine]:
    running = Engine(db, Rules(), entropy=lambda: secrets.token_bytes(16))
    running.start()
    yield running
    running.close()


def pack(engine: Engine, name: str = "deal_new", **members: Any) -> dict[str, Any]:
    operation = ProofPack(
        principal=ANONYMOUS,
        new_deal_id=name,
        quote_id=f"quote_{secrets.token_hex(16)}",
        agent_username="agent_label",
        proof_data=PHOTO,
        proof_data_text='{"photo_url": "https://example.com/photo"}',
        **members,
    )
    return engine.execute(operation).unwrap()


def test_a_fresh_proof_pack_verifies_at_level_full(db: Database, engine: Engine) -> None:
    signer = MemorySigner()
    bundles = Bundles(db, Sequencer(db, signer, LogSettings(head_interval_us=0)), signer)
    for n in range(3):
        packed = pack(engine, f"deal_{n}", scope_summary="Logo, café|menu")
        bundle = bundles.export_bundle(packed["deal_id"])
        verdict = aigentsy_verify.verify_bundle(bundle, public_key_base64=signer.public_key_base64)
        assert verdict["verified"] is True
        assert verdict["verification_level"] == "full"
        assert bundle["proofs"][0]["proof_hash"] == packed["proof_hash"]
        assert bundle["proofs"][0]["proof_data"] == PHOTO
        assert "quote" not in str(bundle)
        assert bundles.verify_deal(packed["deal_id"])["verified"] is True


@pytest.fixture
def store(db: Database, engine: Engine) -> EventStore:
    signer = MemorySigner()
    sequencer = Sequencer(db, signer, LogSettings(head_interval_us=0))
    bundles = Bundles(db, sequencer, signer)
    return EventStore(db, engine, LogViews(db, bundles, signer, LogSettings().log_id))


NOTE: dict[str, Any] = {
    "event_id": "evt_note_1",
    "event_type": "NOTE",
    "deal_id": "sys_notes",
    "actor_id": "agent_a",
    "payload": {"text": "café", "n": 1, "none": None},
}


def test_an_append_fills_in_what_is_missing_and_links(store: EventStore) -> None:
    first = store.append(NOTE)
    assert first["_idempotent"] is False
    assert (first["version"], first["prev_hash"]) == (0, "")
    assert first["timestamp"].endswith("Z")
    hashed = {name: first[name] for name in EVENT_MEMBERS}
    text = json.dumps(hashed, sort_keys=True)
    assert first["hash"] == hashlib.sha256(text.encode()).hexdigest()
    second = store.append({**NOTE, "event_id": None}, expected_prev=first["hash"])
    assert second["event_id"].startswith("evt_")
    assert (second["version"], second["prev_hash"]) == (1, first["hash"])
    chain = store.get_chain("sys_notes")
    assert [event["hash"] for event in chain] == [first["hash"], second["hash"]]
    assert chain[0]["payload"] == NOTE["payload"]
    assert store.get_chain("sys_none") == []


def test_the_same_event_again_is_the_stored_one(store: EventStore) -> None:
    first = store.append(NOTE)
    again = store.append(NOTE, expected_prev="whatever")
    assert again == {**first, "_idempotent": True}
    with pytest.raises(IdempotencyConflict):
        store.append({**NOTE, "payload": {"text": "other"}})
    assert len(store.get_chain("sys_notes")) == 1


def test_a_moved_chain_names_its_head(store: EventStore) -> None:
    first = store.append(NOTE)
    with pytest.raises(ChainConflict) as refused:
        store.append({**NOTE, "event_id": "evt_note_2"}, expected_prev="")
    assert refused.value.head == first["hash"]


def test_a_number_with_a_fraction_is_refused(store: EventStore) -> None:
    with pytest.raises(InvalidRequest):
        store.append({**NOTE, "payload": {"n": Decimal("0.5")}})


def test_of_fifty_appends_of_one_event_one_is_the_original(store: EventStore) -> None:
    answers: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(store.append(NOTE))) for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one["_idempotent"] for one in answers].count(False) == 1
    assert len({one["hash"] for one in answers}) == 1
    assert len(store.get_chain("sys_notes")) == 1


def test_the_days_root_is_reached_by_the_reports_name(store: EventStore) -> None:
    day = store.compute_daily_root("2020-01-01")
    assert (day["root"], day["event_count"]) == (hashlib.sha256(b"").hexdigest(), 0)


def test_equal_receipts_are_stored_once_however_many_ask(db: Database, engine: Engine) -> None:
    packed = pack(engine)
    store = ReceiptStore(db, engine)
    verdict = evaluate(None, "completion_photo", PHOTO)
    answers: list[tuple[dict[str, Any] | None, bool]] = []

    def ask() -> None:
        answers.append(store.store("deal_new", packed["proof_hash"], "completion_photo", verdict))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(is_new for _, is_new in answers) == 1
    receipts = store.list("deal_new")
    assert len(receipts) == 1
    assert all(receipt == receipts[0] for receipt, _ in answers)
    assert receipts[0]["verified"] is True
    assert receipts[0]["authority"] == "operator"
    chain = db.read(lambda tx: load_chain(tx, "deal_new"))
    assert [event.event_type for event in chain] == ["PROOF_READY", "PROOF_VERIFIED"]


def test_receipts_of_another_authority_or_verdict_are_others(db: Database, engine: Engine) -> None:
    packed = pack(engine)
    store = ReceiptStore(db, engine)
    for principal, data in ((SYSTEM, PHOTO), (ANONYMOUS, PHOTO), (SYSTEM, {"timestamp": "now"})):
        verdict = evaluate(None, "completion_photo", data)
        _, is_new = store.store(
            "deal_new", packed["proof_hash"], "completion_photo", verdict, principal=principal
        )
        assert is_new
    authorities = sorted((one["authority"], one["verified"]) for one in store.list("deal_new"))
    assert authorities == [("open", True), ("operator", False), ("operator", True)]
    chain = db.read(lambda tx: load_chain(tx, "deal_new"))
    assert [event.event_type for event in chain].count("PROOF_VERIFIED") == 2


def test_an_unknown_deal_or_proof_stores_no_receipt(db: Database, engine: Engine) -> None:
    pack(engine)
    store = ReceiptStore(db, engine)
    verdict = evaluate(None, "completion_photo", PHOTO)
    for deal_id, proof_hash in (("deal_none", "a" * 64), ("deal_new", "a" * 64)):
        stored = store.store(deal_id, proof_hash, "completion_photo", verdict)
        assert stored == (None, False)
    assert store.list("deal_new") == store.list("deal_none") == []
