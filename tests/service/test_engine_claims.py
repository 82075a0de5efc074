"""What the engine promises about keys: one effect per claim, exact replays, honest refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import (
    AlreadyDecided,
    Busy,
    DerivedKeyReserved,
    IdempotencyMismatch,
    InternalFault,
    QuoteMismatch,
)
from settlement.core.operations.keys import once_per_deal
from settlement.core.principal import ANONYMOUS
from tests.support.notes import FinishNote, Note, agent, new_engine, opened, versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.service.engine import Engine
    from settlement.store.database import Database

ALICE, BOB = agent("agent_alice"), agent("agent_bob")


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


@pytest.fixture
def engine(db: Database) -> Engine:
    return new_engine(db)


def claim_rows(db: Database, *keys: tuple[str, str, str]) -> dict[str, Any]:
    from settlement.store.loading import load_claims

    found = db.read(lambda tx: load_claims(tx, list(keys)))
    return {key[2]: claim for key, claim in found.items()}


# --- derived keys --------------------------------------------------------------------------------


def test_the_same_once_per_deal_call_is_done_once_and_replayed(
    db: Database, engine: Engine
) -> None:
    """Broken build: claims are not stored, so the second call appends a second event."""
    first = engine.execute(Note(deal_id="deal_a", once=True))
    again = engine.execute(Note(deal_id="deal_a", once=True, principal=BOB))
    derived = once_per_deal("deal_a", "note")
    assert not first.replayed
    assert first.key == again.key == derived.key
    assert again.replayed
    assert again.result == first.result
    assert again.original_key == derived.key
    stored = claim_rows(db, (derived.scope, "note", derived.key))[derived.key]
    assert again.original_at == stored.first_seen
    assert stored.key_digest == derived.digest
    assert versions(db, "deal_a") == [0]


def test_another_argument_under_a_derived_key_is_already_decided(engine: Engine) -> None:
    engine.execute(Note(deal_id="deal_a", once=True, text="a", amount_minor=5))
    other = engine.execute(Note(deal_id="deal_a", once=True, text="b", amount_minor=6))
    assert isinstance(other.error, AlreadyDecided)
    assert other.error.field == "amount_minor"  # the first by name of the two that differ
    assert not other.replayed


def test_a_repeat_may_leave_out_what_the_deal_knows(engine: Engine) -> None:
    engine.execute(Note(deal_id="deal_a", once=True, text="a", amount_minor=5))
    assert engine.execute(Note(deal_id="deal_a", once=True, text="a")).replayed


def test_a_refusal_does_not_bar_the_deal(db: Database, engine: Engine) -> None:
    """Broken build: refusals are stored under the derived key; a call too early bars the deal."""
    early = engine.execute(Note(deal_id="deal_a", once=True, does="refuse"))
    assert isinstance(early.error, QuoteMismatch)
    assert engine.execute(Note(deal_id="deal_a", once=True)).unwrap()["version"] == 0


# --- sent keys -----------------------------------------------------------------------------------


def test_a_sent_key_replays_its_outcome(db: Database, engine: Engine) -> None:
    first = engine.execute(Note(deal_id="deal_a", principal=ALICE, sent_key="k1"))
    again = engine.execute(Note(deal_id="deal_a", principal=ALICE, sent_key="k1"))
    assert (again.replayed, again.result, again.key) == (True, first.result, "k1")
    assert versions(db, "deal_a") == [0]


def test_a_sent_key_belongs_to_its_principal(db: Database, engine: Engine) -> None:
    engine.execute(Note(deal_id="deal_a", principal=ALICE, sent_key="k1"))
    assert not engine.execute(Note(deal_id="deal_a", principal=BOB, sent_key="k1")).replayed
    assert versions(db, "deal_a") == [0, 1]


def test_a_sent_key_with_other_content_is_refused_and_does_nothing(
    db: Database, engine: Engine
) -> None:
    """Broken build: the key alone decides, so another payment gets the first one's answer."""
    engine.execute(Note(deal_id="deal_a", principal=ALICE, sent_key="k1", amount_minor=5))
    for other, field in (
        (Note(deal_id="deal_a", principal=ALICE, sent_key="k1", amount_minor=6), "amount_minor"),
        (Note(deal_id="deal_b", principal=ALICE, sent_key="k1", amount_minor=5), "deal_id"),
        (Note(deal_id="deal_a", principal=ALICE, sent_key="k1"), "amount_minor"),
    ):
        answer = engine.execute(other)
        assert isinstance(answer.error, IdempotencyMismatch)
        assert answer.error.field == field
    assert versions(db, "deal_a") == [0]
    assert versions(db, "deal_b") == []


def test_anonymous_callers_send_no_keys(db: Database, engine: Engine) -> None:
    for _ in range(2):
        assert not engine.execute(
            Note(deal_id="deal_a", principal=ANONYMOUS, sent_key="k")
        ).replayed
    assert versions(db, "deal_a") == [0, 1]


def test_a_refusal_is_replayed_under_a_sent_key(db: Database, engine: Engine) -> None:
    """Broken build: refusals are not stored, and the repeat of a refused call goes through."""
    refused = Note(deal_id="deal_a", principal=ALICE, sent_key="k1", does="refuse")
    first = engine.execute(refused)
    allowed = Note(deal_id="deal_a", principal=ALICE, sent_key="k1")
    again = engine.execute(allowed)
    assert isinstance(first.error, QuoteMismatch)
    assert not first.replayed
    assert isinstance(again.error, QuoteMismatch)
    assert again.error.to_record() == first.error.to_record()
    assert again.replayed
    assert versions(db, "deal_a") == []


def test_what_says_try_again_with_this_key_is_not_stored(db: Database, engine: Engine) -> None:
    for does in ("busy", "bug"):
        answer = engine.execute(Note(deal_id="deal_a", principal=ALICE, sent_key="k1", does=does))
        assert isinstance(answer.error, Busy | InternalFault)
    assert not engine.execute(Note(deal_id="deal_a", principal=ALICE, sent_key="k1")).replayed


# --- both ----------------------------------------------------------------------------------------


def test_a_sent_key_is_a_second_name_of_the_derived_claim(db: Database, engine: Engine) -> None:
    """Broken build: the sent key gets a claim of its own; with another key the deal pays twice."""
    engine.execute(Note(deal_id="deal_a", once=True, principal=ALICE, sent_key="k1", text="a"))
    by_other_key = engine.execute(Note(deal_id="deal_a", once=True, principal=BOB, sent_key="k2"))
    derived = once_per_deal("deal_a", "note")
    assert by_other_key.replayed
    assert by_other_key.original_key == derived.key
    rows = claim_rows(db, ("agent_alice", "note", "k1"), ("agent_bob", "note", "k2"))
    for key in ("k1", "k2"):
        assert (rows[key].target_scope, rows[key].target_key) == (derived.scope, derived.key)
        assert rows[key].outcome is None
    assert engine.execute(
        Note(deal_id="deal_a", once=True, principal=BOB, sent_key="k2", text="a")
    ).replayed
    assert versions(db, "deal_a") == [0]


def test_a_second_name_keeps_to_its_deal_and_content(db: Database, engine: Engine) -> None:
    engine.execute(Note(deal_id="deal_a", once=True, principal=ALICE, sent_key="k1"))
    other_deal = engine.execute(Note(deal_id="deal_b", once=True, principal=ALICE, sent_key="k1"))
    other_text = engine.execute(
        Note(deal_id="deal_a", once=True, principal=ALICE, sent_key="k1", text="b")
    )
    assert isinstance(other_deal.error, IdempotencyMismatch)
    assert other_deal.error.field == "deal_id"
    assert isinstance(other_text.error, IdempotencyMismatch)
    assert other_text.error.field == "text"
    fresh_key = engine.execute(
        Note(deal_id="deal_a", once=True, principal=ALICE, sent_key="k9", text="b")
    )
    assert isinstance(fresh_key.error, AlreadyDecided)
    assert versions(db, "deal_b") == []


def test_the_derived_key_may_be_sent_by_name_and_no_other_one_like_it(engine: Engine) -> None:
    derived = once_per_deal("deal_a", "note").key
    assert engine.execute(
        Note(deal_id="deal_a", once=True, principal=ALICE, sent_key=derived)
    ).unwrap()
    for op in (
        Note(deal_id="deal_b", once=True, principal=ALICE, sent_key=derived),
        Note(deal_id="deal_b", principal=ALICE, sent_key="idem_" + "0" * 24),
    ):
        assert isinstance(engine.execute(op).error, DerivedKeyReserved)


# --- running -------------------------------------------------------------------------------------


def test_a_running_claim_is_neither_run_again_nor_refused(db: Database, engine: Engine) -> None:
    """Broken build: only finished claims count, so a call that waits for its rail runs twice."""
    first = engine.execute(Note(deal_id="deal_a", once=True, does="wait"))
    again = engine.execute(Note(deal_id="deal_a", once=True, principal=ALICE, sent_key="k1"))
    assert (first.running, first.replayed) == (True, False)
    assert (again.running, again.replayed, again.result) == (True, True, first.result)
    engine.execute(FinishNote(deal_id="deal_a"))
    for key in (None, "k1"):
        done = engine.execute(Note(deal_id="deal_a", once=True, principal=ALICE, sent_key=key))
        assert (done.running, done.replayed, done.result) == (False, True, {"said": "yes"})


def test_a_released_claim_may_run_again_but_sent_keys_keep_what_they_got(
    db: Database, engine: Engine
) -> None:
    call = Note(deal_id="deal_a", once=True, principal=ALICE, sent_key="k1", does="wait")
    engine.execute(call)
    refusal = QuoteMismatch(deal_id="deal_a")
    outcome = json.dumps({"error": refusal.to_record()})
    engine.execute(FinishNote(deal_id="deal_a", outcome=outcome, release=True))
    again = engine.execute(call)
    assert isinstance(again.error, QuoteMismatch)
    assert again.replayed
    assert not engine.execute(Note(deal_id="deal_a", once=True, principal=ALICE)).replayed
