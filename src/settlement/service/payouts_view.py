"""Payouts as their payee sees them: where each stands, what it waits for, and who can end that.

Guarantees: a payout that is not final says what it waits for in one sentence; a stranger's payout
does not exist. Pages continue after the last id they showed.
Does not: start or finish payouts.

Spec §4.6, contract §3.6. Change colour: green (sentences), amber (members).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import CursorMalformed, InvalidField, MalformedId, PayoutNotFound
from settlement.core.ids import PayoutId
from settlement.store import payouts as rows

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Payout
    from settlement.store.database import Database, Tx

PAGE_MAX: Final = 200
#: A filter on the state reads at most this many rows for one page.
_SCAN_MAX: Final = 1000
STATES: Final = ("planned", "sent", "unknown", "confirmed", "refused")
_EFFECT_WAITS: Final = {
    "planned": "effect_open",
    "sent": "effect_open",
    "unknown": "outcome_unknown",
}

WAITING: Final = {
    "no_destination": (
        "It waits for an active payout destination; the payee adds one with"
        " POST /protocol/payout-destinations."
    ),
    "hold_period": "It waits for the hold period to pass; nobody needs to do anything.",
    "effect_open": (
        "It waits for the rail to answer; the worker asks it, and nobody needs to do anything."
    ),
    "outcome_unknown": (
        "The rail has not said whether it paid; the worker keeps asking, and the operator can ask"
        " the rail too. Do not pay again by other means."
    ),
    "paused": "Payouts are paused; the operator resumes them.",
    "recovery_parked": (
        "It waits until the operator has reconciled with the rail after a restore"
        " (settlement reconcile)."
    ),
    "disputed": "The deal is disputed; an operator's ruling ends that.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutFilter:
    """What a list is narrowed to; `after` continues a page."""

    deal_id: str | None = None
    state: str | None = None
    after: str = ""
    limit: int = 50

    @classmethod
    def of(
        cls, *, deal_id: str | None, state: str | None, cursor: str | None, limit: int
    ) -> PayoutFilter:
        """Check what a caller sent; raises InvalidField, CursorMalformed."""
        if state is not None and state not in STATES:
            raise InvalidField(field="state", reason=f"none of {', '.join(STATES)}")
        if not 1 <= limit <= PAGE_MAX:
            raise InvalidField(field="limit", reason=f"not from 1 to {PAGE_MAX}")
        if cursor is not None:
            try:
                PayoutId.parse(cursor)
            except MalformedId:
                raise CursorMalformed() from None
        return cls(deal_id=deal_id, state=state, after=cursor or "", limit=limit)


def payout_view(payout: Payout) -> dict[str, Any]:
    """The payout's members."""
    waiting_for = payout.waiting_for or _EFFECT_WAITS.get(payout.state)
    return {
        "payout_id": payout.payout_id,
        "deal_id": payout.deal_id,
        "agent_id": payout.agent_id,
        "asset": payout.asset,
        "amount_minor": payout.amount_minor,
        "rail": payout.rail,
        "destination_id": payout.destination_id,
        "state": payout.state,
        "waiting_for": waiting_for,
        "waiting_since": payout.waiting_since or (payout.updated_at if waiting_for else None),
        "waiting_detail": WAITING.get(waiting_for) if waiting_for else None,
        "next_check_at": payout.next_check_at,
        "attempts": payout.attempts,
        "rail_ref": payout.rail_ref,
        "created_at": payout.created_at,
        "updated_at": payout.updated_at,
    }


def payout(db: Database, payout_id: str, caller: Principal) -> dict[str, Any]:
    """One payout, to its payee and operators; raises PayoutNotFound."""
    found = db.read(lambda tx: rows.find_payout(tx, payout_id))
    if found is None or not _may_see(found, caller):
        raise PayoutNotFound(payout_id=payout_id)
    return payout_view(found)


def _may_see(found: Payout, caller: Principal) -> bool:
    return caller.is_operator or found.agent_id == caller.agent_id


def payouts(db: Database, caller: Principal, wanted: PayoutFilter) -> dict[str, Any]:
    """The caller's payouts (an operator's: all), oldest first, a page at a time."""

    def read(tx: Tx) -> tuple[list[Payout], str | None]:
        kept: list[Payout] = []
        after = wanted.after
        for _ in range(_SCAN_MAX // PAGE_MAX):
            found = _page(tx, caller, wanted, after)
            kept += [one for one in found if _matches(one, caller, wanted)]
            if len(kept) >= wanted.limit:
                last = kept[: wanted.limit][-1].payout_id
                more = len(kept) > wanted.limit or len(found) == PAGE_MAX
                return kept[: wanted.limit], last if more else None
            if len(found) < PAGE_MAX:
                return kept, None
            after = found[-1].payout_id
        return kept, after

    found, cursor = db.read(read)
    return {"payouts": [payout_view(one) for one in found], "next_cursor": cursor}


def _page(tx: Tx, caller: Principal, wanted: PayoutFilter, after: str) -> list[Payout]:
    if wanted.deal_id is not None:
        return rows.deal_page(tx, wanted.deal_id, after, PAGE_MAX)
    if caller.is_operator or caller.agent_id is None:
        return rows.page(tx, after, PAGE_MAX)
    return rows.agent_page(tx, caller.agent_id, after, PAGE_MAX)


def _matches(found: Payout, caller: Principal, wanted: PayoutFilter) -> bool:
    return _may_see(found, caller) and wanted.state in (None, found.state)
