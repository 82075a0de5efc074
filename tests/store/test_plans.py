"""Hot statements seek by key, also with plans made while the tables were small (PostgreSQL).

Not the plans are read but what was done: how many rows each table gave up to a scan, and how many
an index gave, in the very transaction of a batch. That covers triggers and foreign keys too.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.core.limit_rows import LimitRow
from settlement.core.operations._common import empty_deal
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet
from settlement.service.api_keys import draw_key
from settlement.store.database import Database, open_database
from settlement.store.exchange import due_intents, find_intent
from settlement.store.limits import lock_limits
from settlement.store.loading import load_claims, load_footprint, load_needs
from tests.store.make import LATER, NOW, Story
from tests.support.intents import intent, plain_bid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.core.api_keys import ApiKey
    from settlement.store.database import Tx

SEEN = """
SELECT relname, seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables
WHERE relname <> 'asset'
"""
DEALS, BATCH = 2_000, 16


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    db = open_database(postgres_url)
    db.migrate()
    yield db
    db.close()


def everything(deals: list[str], sellers: list[str]) -> Needs:
    accounts = [(f"escrow:{deal_id}", "USD/2") for deal_id in deals]
    accounts += [(f"entity:{seller}", "USD/2") for seller in sellers]
    pairs = tuple(zip(deals, sellers, strict=True))
    return Needs(
        accounts=tuple(sorted(accounts)),
        agents=tuple(sellers),
        names=tuple(f"name of {seller}" for seller in sellers),
        chains=tuple(deals),
        receipts=tuple(deals),
        known_receipts=tuple((deal_id, "verifier") for deal_id in deals),
        volumes=tuple((seller, "USD/2", LATER) for seller in sellers),
        payouts=pairs,
        destinations=tuple((seller, None) for seller in sellers),
        settlements=tuple(deals),
        parties=tuple(deals),
        proofs=tuple(deals),
    )


def touched(tx: Tx) -> dict[str, tuple[int, int]]:
    """Rows given by scans and by indexes, per table, since the session last reported them."""
    rows = tx._connection.execute(SEEN).fetchall()  # type: ignore[attr-defined]  # an operator's view
    return {table: (scanned or 0, fetched or 0) for table, scanned, fetched in rows}


def settle(tx: Tx, writes: WriteSet) -> dict[str, tuple[int, int]]:
    """One batch, loaded and written; what it touched."""
    before = touched(tx)
    state = State()
    deals = [deal.deal_id for deal in writes.deals_changed]
    sellers = [volume.agent_id for volume in writes.volumes]
    load_claims(tx, [(claim.scope, claim.operation, claim.key) for claim in writes.claims])
    load_footprint(tx, Footprint(deals=tuple(deals), effects=("eff_none",)), state)
    lock_limits(tx, [(row.principal, row.bucket) for row in writes.limits])
    load_needs(tx, everything(deals, sellers), state)
    tx.write(writes)
    after = touched(tx)
    return {
        table: (now[0] - then[0], now[1] - then[1])
        for table, now in after.items()
        for then in [before.get(table, (0, 0))]
    }


def test_a_batch_touches_what_it_names_and_no_more(database: Database) -> None:
    story = Story()
    agents = [f"agent_{n:04d}" for n in range(DEALS)]
    deals = [f"deal_{n:04d}" for n in range(DEALS)]
    database.transaction(lambda tx: tx.write(story.world(*agents)))

    def batch(start: int, count: int) -> WriteSet:
        writes = WriteSet()
        for deal_id in deals[start : start + count]:
            writes.extend(story.settled(deal_id))
            row = LimitRow(principal=deal_id, bucket="settle", tat_us=1, version=1)
            writes.limits.append(row)
        return writes

    def fund(start: int, stop: int) -> None:
        writes = WriteSet()
        for n in range(start, stop):
            writes.extend(story.funded(deals[n], agents[n]))
        database.transaction(lambda tx: tx.write(writes))

    # Plans are made, and after five runs kept, while there is next to nothing in the tables.
    fund(0, 20)
    with database._pool.connection() as connection:  # type: ignore[attr-defined]  # an operator
        connection.execute("ANALYZE")
    for n in range(10):
        writes = batch(2 * n, 2)
        database.transaction(lambda tx, writes=writes: settle(tx, writes))  # type: ignore[misc]  # bound now
    fund(20, DEALS)
    writes = batch(20, 1_000)
    database.transaction(lambda tx: tx.write(writes))

    last = batch(1_500, BATCH)
    seen = database.transaction(lambda tx: settle(tx, last))
    assert len(seen) > 10
    for table, (scanned, fetched) in seen.items():
        assert scanned == 0, f"{table} was scanned"
        assert fetched <= BATCH * 20, f"{table} gave {fetched} rows to a batch of {BATCH}"


def test_keys_are_sought_by_id_and_prefix_however_many_there_are(database: Database) -> None:
    """Catches a look-up of the key before that goes through all keys once the table has grown."""
    database.transaction(lambda tx: tx.write(Story().world("agent_k")))
    rows = [draw_key("agent_k", "", ["read"], now=LATER).key for _ in range(DEALS)]
    chained = [replace(row, rotated_from=before.key_id) for before, row in itertools.pairwise(rows)]

    def look(tx: Tx, row: ApiKey) -> tuple[int, int]:
        before = touched(tx).get("api_key", (0, 0))
        state = State()
        load_needs(tx, Needs(api_keys=(row.key_id,)), state)
        assert len(state.api_keys) == 2
        assert tx.all("caller_find_keys", prefixes=[row.key_prefix])
        assert len(tx.all("key_agent_page", agent_id="agent_k", before="key_~", limit=5)) == 5
        after = touched(tx)["api_key"]
        return after[0] - before[0], after[1] - before[1]

    few = [rows[0], *chained[:9]]
    database.transaction(lambda tx: tx.write(WriteSet(api_keys=few)))
    for row in few[1:] + few[1:3]:
        database.transaction(lambda tx, row=row: look(tx, row))  # type: ignore[misc]  # bound now
    database.transaction(lambda tx: tx.write(WriteSet(api_keys=chained[9:])))
    scanned, fetched = database.transaction(lambda tx: look(tx, chained[-1]))
    assert scanned == 0
    assert fetched <= 12


def test_bids_and_closes_touch_their_own_intent_only(database: Database) -> None:
    """Thousands of other intents, open and awarded, cost a bid and the close loop nothing."""
    story = Story()
    database.transaction(lambda tx: tx.write(story.world("agent_seller")))
    writes = WriteSet()
    for n in range(1, DEALS + 1):
        made = intent(None, n, open=0, closes_at=f"2026-01-02T00:00:00.{n:06d}Z")
        deal = empty_deal(made.deal_id, asset="USD/2", is_open=False, now=NOW)
        writes.deals_new.append(replace(deal, intent_id=made.intent_id))
        writes.intents_new.append(made)
        for place in range(2):
            one = replace(plain_bid(made, place), bid_id=f"bid_{n:016x}{place:016x}")
            writes.bids.append(one)
    database.transaction(lambda tx: tx.write(writes))
    with database._pool.connection() as connection:  # type: ignore[attr-defined]  # an operator
        connection.execute("ANALYZE")
    needs = Needs(
        intents=(writes.intents_new[700].intent_id,),
        bids=(writes.intents_new[700].intent_id,),
        on_time=("agent_seller",),
    )

    def look(tx: Tx) -> dict[str, tuple[int, int]]:
        before = touched(tx)
        load_needs(tx, needs, State())
        find_intent(tx, writes.intents_new[700].intent_id)
        assert len(due_intents(tx, ("", ""), 20)) == 20
        after = touched(tx)
        return {
            name: (now[0] - before[name][0], now[1] - before[name][1])
            for name, now in after.items()
        }

    seen = database.transaction(look)
    for table in ("intent", "bid"):
        scanned, fetched = seen[table]
        assert scanned == 0, f"{table} was scanned"
        assert fetched <= 60, f"{table} gave {fetched} rows"
