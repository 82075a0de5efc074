"""Replays a deal from its events alone and compares the result with the books (spec §16.2).

Guarantees: one snapshot; the chain is recomputed from the exact hashed text, the path of states
from the events, the money from their payloads; `audit_hash` covers all but the time of the replay,
so two replays of the same deal can be compared. It only reads.
Does not: repair, or trust a row that an event could tell.

Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.canonical import EventTemplate, k_bytes, sha256_hex
from settlement.core.hashes import receipt_hash, verification_hash
from settlement.core.money import Asset, format_exact
from settlement.service.deal_path import SILENT, Path
from settlement.service.deals import get_deal, get_own_deal
from settlement.service.replay_books import (
    Books,
    books_from_events,
    books_from_ledger,
    differences,
    duplicate_entries,
    payload_of,
)
from settlement.store import deals as rows
from settlement.store.events import load_chain
from settlement.store.receipts import list_receipts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.principal import Principal
    from settlement.core.rows import Deal, Effect, Event, Receipt, Transfer
    from settlement.store.database import Database, Tx

CLEAN: Final = "clean"
WARNING: Final = "warning"
BROKEN: Final = "broken"
#: event -> what must have come before it.
_NEEDS: Final = {
    "SETTLED": (("GO_APPROVED", "AUTO_GO_APPROVED"), ("PAYMENT_AUTHORIZED",)),
    "PAYOUT_CONFIRMED": (("PAYOUT_INITIATED",),),
    "REFUND_FAILED": (("REFUND_INITIATED",),),
    "DISPUTE_RESOLVED": (("DISPUTE_OPENED",),),
    "OUTCOME_RECORDED": (("SETTLED", "REFUNDED", "DISPUTE_RESOLVED", "CHARGED_BACK"),),
}
_RAIL_EVENTS: Final = frozenset(
    {"PAYMENT_AUTHORIZED", "PAYOUT_CONFIRMED", "REFUNDED", "CHARGED_BACK"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """Everything one replay reads."""

    deal: Deal
    events: list[Event]
    transfers: list[Transfer]
    effects: list[Effect]
    receipts: list[Receipt]
    payees: dict[str, int]
    outbox_pending: int
    now: str


def replay_for(db: Database, deal_id: str, caller: Principal) -> dict[str, Any]:
    """The replay, for parties and operators; raises DealNotFound for everybody else."""

    def read(tx: Tx) -> _Facts:
        return _read(tx, get_own_deal(tx, deal_id, caller))

    return _report(db.read(read))


def replay_deal(db: Database, deal_id: str) -> dict[str, Any]:
    """The replay, for the operator's tools; raises DealNotFound."""
    return _report(db.read(lambda tx: _read(tx, get_deal(tx, deal_id))))


def _read(tx: Tx, deal: Deal) -> _Facts:
    deal_id = deal.deal_id
    return _Facts(
        deal=deal,
        events=load_chain(tx, deal_id),
        transfers=rows.transfers_of(tx, deal_id),
        effects=rows.effects_of(tx, deal_id),
        receipts=list_receipts(tx, deal_id),
        payees={one.agent_id: one.net_minor for one in rows.payees_of(tx, deal_id)},
        outbox_pending=rows.outbox_pending(tx, deal_id),
        now=tx.now,
    )


def _report(facts: _Facts) -> dict[str, Any]:
    expected = books_from_events(facts.events)
    actual = books_from_ledger(facts.transfers)
    document: dict[str, Any] = {
        "deal_id": facts.deal.deal_id,
        "chain": _chain(facts.events, facts.deal),
        "lifecycle": _lifecycle(facts.events, facts.deal),
        "ledger": _ledger(facts, expected, actual),
        "comparison": {
            "expected_from_events": _shown(expected, facts.deal.asset),
            "actual_from_ledger": _shown(actual, facts.deal.asset),
            "differences": differences(expected, actual),
        },
        "receipts": _receipts(facts.receipts),
        "rail": _rail(facts.events, facts.effects),
        "outbox": {"pending": facts.outbox_pending},
    }
    document["verdict"] = _verdict(document)
    document["ok"] = document["verdict"] != BROKEN
    digest = sha256_hex(k_bytes(document))
    return {**document, "replayed_at": facts.now, "audit_hash": digest}


# --- chain ---------------------------------------------------------------------------------------


def _chain(events: Sequence[Event], deal: Deal) -> dict[str, Any]:
    errors: list[str] = []
    first_break: int | None = None
    previous = ""
    for at, event in enumerate(events):
        fault = _link_fault(at, event, previous)
        if fault is not None:
            errors.append(f"Event {at} {fault}.")
            first_break = at if first_break is None else first_break
        previous = event.hash
    if deal.version != len(events) or deal.head_hash != previous:
        errors.append("The chain does not end where the deal says it ends.")
    return {
        "verified": not errors,
        "event_count": len(events),
        "head_hash": previous,
        "first_break_index": first_break,
        "errors": errors,
    }


def _link_fault(at: int, event: Event, previous: str) -> str | None:
    if event.version != at:
        return f"has version {event.version}"
    if event.prev_hash != previous:
        return "does not follow the one before it"
    template = EventTemplate(
        deal_id=event.deal_id, actor_id=event.actor_id, timestamp=event.timestamp
    )
    made = template.hash(event.event_id, event.event_type, event.payload, event.prev_hash)
    return None if made == event.hash else "does not hash to what is stored"


# --- lifecycle -----------------------------------------------------------------------------------


def _lifecycle(events: Sequence[Event], deal: Deal) -> dict[str, Any]:
    path = Path()
    illegal: list[dict[str, Any]] = []
    missing: list[str] = []
    seen: set[str] = set()
    for event in events:
        state = path.state or "new"
        if not path.step(event.event_type, payload_of(event)):
            illegal.append(
                {"version": event.version, "event_type": event.event_type, "state": state}
            )
        missing += [
            f"{choices[0]} before {event.event_type}"
            for choices in _NEEDS.get(event.event_type, ())
            if not seen.intersection(choices)
        ]
        seen.add(event.event_type)
    claimed = SILENT.get(deal.state.value, deal.state.value)
    if claimed != path.ends_as():
        missing.append(f"the event that made the deal {claimed}")
    return {
        "state": path.ends_as(),
        "illegal_transitions": illegal,
        "missing_events": sorted(set(missing)),
    }


# --- money ---------------------------------------------------------------------------------------


def _ledger(facts: _Facts, expected: Books, actual: Books) -> dict[str, Any]:
    asset = Asset.parse(facts.deal.asset)
    sums = actual.sums
    split = sums["platform_fee"] + sums["protocol_fee"] + sums["net"]
    moved = [one for one in facts.transfers if one.phase in ("final", "post")]
    return {
        "entry_count": 2 * len(moved),
        **{
            name: format_exact(sums[name], asset)
            for name in ("gross", "platform_fee", "protocol_fee", "net")
        },
        "splits_ok": sums["gross"] == split and expected.payees == facts.payees == actual.payees,
        # Every entry has its opposite in the same row; what can fail is one transfer in two assets.
        "balanced": {one.asset for one in moved} <= {facts.deal.asset},
        "duplicates": duplicate_entries(facts.transfers),
    }


def _shown(books: Books, asset_code: str) -> dict[str, Any]:
    asset = Asset.parse(asset_code)
    return {
        **{name: format_exact(total, asset) for name, total in books.sums.items()},
        "payees": {who: format_exact(net, asset) for who, net in sorted(books.payees.items())},
        "tx_hashes": dict(sorted(books.tx_hashes.items())),
    }


def _receipts(receipts: Sequence[Receipt]) -> dict[str, Any]:
    return {"count": len(receipts), "hashes_ok": all(_receipt_holds(one) for one in receipts)}


def _receipt_holds(one: Receipt) -> bool:
    verified = bool(one.verified)
    judged = (one.deal_id, one.proof_hash, one.provider)
    made = receipt_hash(*judged, verified=verified, confidence=one.confidence)
    checked = verification_hash(*judged, verified=verified)
    return (made.full, made.wire, checked.wire) == (
        one.receipt_digest,
        one.receipt_hash,
        one.verification_hash,
    )


def _rail(events: Sequence[Event], effects: Sequence[Effect]) -> dict[str, Any]:
    """References the rail gave, and those that stand on one side only."""
    told = {
        str(ref)
        for event in events
        if event.event_type in _RAIL_EVENTS and (ref := payload_of(event).get("rail_ref"))
    }
    confirmed = {one.rail_ref for one in effects if one.state.value == "confirmed" and one.rail_ref}
    paid_events = [
        payload_of(event).get("rail_ref")
        for event in events
        if event.event_type == "PAYOUT_CONFIRMED"
    ]
    unmatched = (confirmed - told) | {str(ref) for ref in paid_events if ref not in confirmed}
    return {"confirmed_refs": sorted(told), "unmatched": sorted(unmatched)}


def _verdict(document: dict[str, Any]) -> str:
    ledger = document["ledger"]
    sound = (
        document["chain"]["verified"]
        and not document["lifecycle"]["illegal_transitions"]
        and not document["comparison"]["differences"]
        and ledger["splits_ok"]
        and ledger["balanced"]
        and not ledger["duplicates"]
        and document["receipts"]["hashes_ok"]
    )
    if not sound:
        return BROKEN
    doubtful = document["lifecycle"]["missing_events"] or document["rail"]["unmatched"]
    return WARNING if doubtful else CLEAN
