"""Mandates and reviews are sought by key, however many a buyer has ended (PostgreSQL)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.core.acceptance_rows import Acceptance
from settlement.core.mandate_rows import ACTIVE, REVOKED, Mandate
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet
from settlement.store.acceptance import acceptance_of, deal_of
from settlement.store.database import Database, open_database
from settlement.store.loading import load_footprint, load_needs
from settlement.store.mandates import live_mandates
from tests.store.make import LATER, NOW, Story
from tests.store.test_plans import touched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Tx

ENDED = 2_000


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    db = open_database(postgres_url)
    db.migrate()
    yield db
    db.close()


def mandate(n: int, status: str) -> Mandate:
    return Mandate(
        mandate_id=f"mnd_{n:032d}",
        buyer_id="agent_b",
        asset="USD/2",
        max_amount_minor=100,
        allowed_verticals='["marketing"]',
        confidence_threshold="0.8",
        reserve_minor=None,
        status=status,
        expires_at=None,
        created_at=NOW,
        revoked_at=LATER if status == REVOKED else None,
    )


def seen(tx: Tx, table: str) -> tuple[int, int]:
    return touched(tx).get(table, (0, 0))


def test_ended_mandates_stand_in_nobodys_way(database: Database) -> None:
    """Catches: an auto-go that reads every mandate its buyer ever had."""
    live = [mandate(ENDED + n, ACTIVE) for n in range(3)]
    writes = Story().world("agent_b")
    writes.mandates_new.extend([*(mandate(n, REVOKED) for n in range(ENDED)), *live])
    database.transaction(lambda tx: tx.write(writes))
    with database._pool.connection() as connection:  # type: ignore[attr-defined]  # an operator
        connection.execute("ANALYZE")

    def look(tx: Tx) -> tuple[int, int]:
        before = seen(tx, "mandate")
        assert live_mandates(tx, "agent_b", 20) == tuple(one.mandate_id for one in live)
        state = State()
        load_footprint(tx, Footprint(mandates=(live[0].mandate_id,)), state)
        assert state.mandates[live[0].mandate_id] == live[0]
        tx.write(WriteSet(mandates_changed=[replace(live[0], status=REVOKED, revoked_at=LATER)]))
        after = seen(tx, "mandate")
        return after[0] - before[0], after[1] - before[1]

    scanned, fetched = database.transaction(look)
    assert scanned == 0
    assert fetched <= 10


def test_a_review_is_sought_by_its_id_and_by_its_deal(database: Database) -> None:
    """Catches: a decision that reads every review there is."""
    story = Story()
    writes = story.world("agent_a")
    reviews = []
    for n in range(300):
        deal_id = f"deal_{n:04d}"
        writes.extend(story.funded(deal_id, "agent_a"))
        reviews.append(
            Acceptance(
                acceptance_id=f"acc_{n:032d}",
                deal_id=deal_id,
                downstream_action="settle",
                status="pending",
                submitted_by="agent_a",
                proof_hash="p",
                scope_lock_hash="s",
                review_deadline=None,
                reviewer_id=None,
                reason=None,
                checks_passed="[]",
                checks_failed="[]",
                created_at=NOW,
                decided_at=None,
            )
        )
    writes.acceptances_new.extend(reviews)
    database.transaction(lambda tx: tx.write(writes))
    with database._pool.connection() as connection:  # type: ignore[attr-defined]  # an operator
        connection.execute("ANALYZE")
    one = reviews[7]
    decided = replace(one, status="accepted", reviewer_id="agent_b", reason="", decided_at=LATER)

    def look(tx: Tx) -> tuple[int, int]:
        before = seen(tx, "acceptance")
        state = State()
        load_needs(tx, Needs(acceptances=(one.acceptance_id,)), state)
        assert state.acceptances[one.acceptance_id] == one
        assert deal_of(tx, one.acceptance_id) == one.deal_id
        assert acceptance_of(tx, one.deal_id) is None  # the deal does not point at it
        tx.write(WriteSet(acceptances_changed=[decided]))
        after = seen(tx, "acceptance")
        return after[0] - before[0], after[1] - before[1]

    scanned, fetched = database.transaction(look)
    assert scanned == 0
    assert fetched <= 10
