"""Intents, bids and reveals as rows; how punctual an agent has been.

Guarantees: an intent comes with the count of its bids; nothing here reads an agent's whole history,
and what is due is found by an index on the time at which it is.
Does not: open bids or decide.

Spec §13. Change colour: amber.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from settlement.core.auction import on_time_ppm
from settlement.core.intent_rows import Bid, BidReveal, Intent, IntentState, IntentView

if TYPE_CHECKING:
    from settlement.core.state import Needs, State
    from settlement.store.database import Row, Tx

#: As for the OCS: asking must cost the same for everybody.
AWARDS_MAX: Final = 1000


def _view(row: Row) -> IntentView:
    count = row.pop("bid_count") or 0
    row["state"] = IntentState(row["state"])
    return IntentView(intent=Intent(**row), bid_count=count)


def find_intent(tx: Tx, intent_id: str) -> IntentView | None:
    """The intent of that id."""
    row = tx.maybe("exchange_intent", intent_id=intent_id)
    return _view(row) if row is not None else None


def bids_of(tx: Tx, intent_id: str) -> list[Bid]:
    """All bids of an intent, in the order of their events."""
    return [Bid(**row) for row in tx.all("exchange_bids", intent_id=intent_id)]


def reveals_of(tx: Tx, intent_id: str) -> dict[str, BidReveal]:
    """What the close has revealed, by bid; nothing before it."""
    rows = tx.all("exchange_reveals", intent_id=intent_id)
    return {row["bid_id"]: BidReveal(**row) for row in rows}


def due_intents(tx: Tx, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
    """(closes_at, intent id) of open intents whose time has come, after a place in that order."""
    rows = tx.all("exchange_due", now=tx.now, closes_at=after[0], after=after[1], limit=limit)
    return [(row["closes_at"], row["intent_id"]) for row in rows]


def punctuality(tx: Tx, agent_id: str) -> int:
    """Share of an agent's settled awards that were in time, in parts per million."""
    row = tx.one("exchange_on_time", agent_id=agent_id, limit=AWARDS_MAX)
    return on_time_ppm(int(row["settled"]), int(row["on_time"]))


def load_exchange(tx: Tx, needs: Needs, state: State) -> None:
    """What operations of the exchange named; the intent's deal is locked, so its rows stand."""
    if needs.intents:
        found = {
            view.intent.intent_id: view
            for view in map(_view, tx.all("intent_by_ids", ids=list(needs.intents)))
        }
        for intent_id in needs.intents:
            state.intents[intent_id] = found.get(intent_id)
    if needs.bids:
        bids: defaultdict[str, list[Bid]] = defaultdict(list)
        for row in tx.all("bid_by_intents", ids=list(needs.bids)):
            bids[row["intent_id"]].append(Bid(**row))
        for intent_id in needs.bids:
            state.bids[intent_id] = tuple(bids[intent_id])
    for who in needs.bids_by:  # bidders only
        row = tx.one("exchange_bids_by", intent_id=who[0], agent_id=who[1])
        state.bids_by[who] = int(row["made"])
    for agent_id in needs.on_time:  # bidders only
        state.on_time[agent_id] = punctuality(tx, agent_id)
