"""The two sides a replay compares: what a deal's events say of money, and what its books hold.

Guarantees: the first is read from event payloads alone, the second from transfers alone; both are
sums of integers under the same names, so a difference is a line of two numbers.
Does not: judge; `replay.py` does.

Spec §16.2. Change colour: amber.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.hashes import LegFacts, tx_hash
from settlement.core.rows import Phase, Transfer
from settlement.service.entry_view import entries_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from settlement.core.rows import Event

#: What is compared; every name stands on both sides.
SUMS: Final = (
    "authorized",
    "gross",
    "platform_fee",
    "protocol_fee",
    "net",
    "paid_out",
    "went_back",
)
_WENT_BACK: Final = frozenset({"REFUNDED", "CHARGED_BACK"})
_FUNDING: Final = frozenset({"charge", "escrow_fund"})
_MOVED: Final = frozenset({Phase.FINAL, Phase.POST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Sums in minor units, what each payee got, and the hash of every money transaction."""

    sums: Mapping[str, int]
    payees: Mapping[str, int]
    tx_hashes: Mapping[str, str]


def payload_of(event: Event) -> dict[str, Any]:
    """An event's payload."""
    found: dict[str, Any] = json.loads(event.payload)
    return found


def books_from_events(events: Iterable[Event]) -> Books:
    """What the deal's events say happened."""
    sums = dict.fromkeys(SUMS, 0)
    payees: dict[str, int] = {}
    hashes: dict[str, str] = {}
    for event in events:
        payload = payload_of(event)
        if isinstance(payload.get("tx_id"), str):
            hashes[payload["tx_id"]] = str(payload.get("tx_hash"))
        if event.event_type == "PAYMENT_AUTHORIZED":
            sums["authorized"] += payload["amount_minor"]
        elif event.event_type == "PAYOUT_CONFIRMED":
            sums["paid_out"] += payload["amount_minor"]
        elif event.event_type in _WENT_BACK:
            sums["went_back"] += payload["amount_minor"]
        elif event.event_type == "SETTLED":
            for name in ("gross", "platform_fee", "protocol_fee", "net"):
                sums[name] += payload[f"{name}_minor"]
            for payee in payload["payees"]:
                who = payee["agent_id"]
                payees[who] = payees.get(who, 0) + payee["net_minor"]
    return Books(sums=sums, payees=payees, tx_hashes=hashes)


def books_from_ledger(transfers: Sequence[Transfer]) -> Books:
    """What was booked. Transactions' hashes are computed anew from their legs."""
    sums = dict.fromkeys(SUMS, 0)
    payees: dict[str, int] = {}
    # A ruling gives a payee its own money back; only the tx with the fee legs settled anything.
    settling = {one.tx_id for one in transfers if one.kind == "fee"} or {
        one.tx_id for one in transfers if one.kind == "release"
    }
    for moved in transfers:
        if moved.phase not in _MOVED:
            continue
        if moved.kind in _FUNDING:
            sums["authorized"] += moved.amount_minor
        elif moved.kind == "fee":
            side = "platform_fee" if moved.credit_class == "fee_platform" else "protocol_fee"
            sums[side] += moved.amount_minor
            sums["gross"] += moved.amount_minor
        elif moved.kind in ("refund", "chargeback"):
            sums["went_back"] += moved.amount_minor
        elif moved.kind == "release" and moved.tx_id in settling:
            sums["net"] += moved.amount_minor
            sums["gross"] += moved.amount_minor
            who = moved.credit_ref.removeprefix("entity:")
            payees[who] = payees.get(who, 0) + moved.amount_minor
        elif moved.kind == "payout":
            sums["paid_out"] += moved.amount_minor
    return Books(sums=sums, payees=payees, tx_hashes=_tx_hashes(transfers))


def _tx_hashes(transfers: Iterable[Transfer]) -> dict[str, str]:
    by_tx: dict[tuple[str, str], list[LegFacts]] = {}
    for moved in transfers:
        leg = LegFacts(
            leg=moved.leg,
            kind=moved.kind,
            phase=moved.phase,
            asset=moved.asset,
            amount_minor=moved.amount_minor,
            debit=moved.debit_ref,
            credit=moved.credit_ref,
            hold_id=moved.hold_id,
        )
        by_tx.setdefault((moved.tx_id, moved.deal_id), []).append(leg)
    return {
        tx_id: tx_hash(tx_id, deal_id, sorted(legs, key=lambda one: one.leg))
        for (tx_id, deal_id), legs in by_tx.items()
    }


def differences(expected: Books, actual: Books) -> list[dict[str, Any]]:
    """Every figure in which the two sides are not one, named."""
    found: list[dict[str, Any]] = []
    for what, left, right in (
        ("sum", expected.sums, actual.sums),
        ("payee", expected.payees, actual.payees),
        ("tx_hash", expected.tx_hashes, actual.tx_hashes),
    ):
        for name in sorted({*left, *right}):
            if left.get(name) != right.get(name):
                line = {"what": what, "name": name}
                found.append({**line, "expected": left.get(name), "actual": right.get(name)})
    return found


def duplicate_entries(transfers: Sequence[Transfer]) -> list[str]:
    """Dedup keys that stand under more than one entry."""
    seen: set[str] = set()
    twice: list[str] = []
    for entry in entries_of(transfers):
        key = entry.document()["dedup_key"]
        if key in seen:
            twice.append(key)
        seen.add(key)
    return twice
