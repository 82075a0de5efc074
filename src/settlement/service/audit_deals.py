"""Audit of deals: settlements, fees, splits, payees, the legal path (checks 18 to 25).

Guarantees: fees are computed anew from the policy named and the volume pinned, splits anew from
the shares; the path of a deal is replayed from its events and compared with its row.
Does not: use the tables of `core/deal.py`: the path is written down here a second time.

Spec §16.3. Change colour: green.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import SettlementError
from settlement.core.fees import POLICIES, choose_tier, split_fees
from settlement.core.money import Asset, allocate, parse_shares
from settlement.service.audit_base import Check, by_query, not_yet
from settlement.service.deal_path import SILENT, Path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from settlement.service.audit_base import AuditContext, BadRow, Outcome
    from settlement.store.audit import AuditReader

_BACK: Final = ("refund", "release_back", "fee_back")
#: event type -> the movements it may cause, as (kind, phase).
CAUSED_BY: Final[dict[str, frozenset[tuple[str, str]]]] = {
    "PAYMENT_AUTHORIZED": frozenset({("charge", "final"), ("escrow_fund", "final")}),
    "MANDATE_CREATED": frozenset({("mandate_reserve", "final")}),
    "MANDATE_REVOKED": frozenset({("mandate_return", "final")}),
    "SETTLED": frozenset({("fee", "final"), ("release", "final")}),
    "PAYOUT_INITIATED": frozenset({("payout", "hold")}),
    "PAYOUT_CONFIRMED": frozenset({("payout", "post"), ("payout_settled", "final")}),
    "PAYOUT_FAILED": frozenset({("payout", "void"), ("payout_returned", "final")}),
    "REFUND_INITIATED": frozenset((kind, "hold") for kind in _BACK),
    "REFUNDED": frozenset((kind, phase) for kind in _BACK for phase in ("final", "post")),
    "REFUND_FAILED": frozenset((kind, "void") for kind in _BACK),
    "CHARGED_BACK": frozenset({("chargeback", "final"), ("dispute_close", "final")}),
    "TOPPED_UP": frozenset({("topup", "final")}),
    "RECEIVABLE_RECOVERED": frozenset({("recover", "final")}),
    "RECEIVABLE_WRITTEN_OFF": frozenset({("write_off", "final")}),
    "DISPUTE_OPENED": frozenset({("dispute_open", "final")}),
    "DISPUTE_RESOLVED": frozenset(
        (kind, "final") for kind in ("dispute_close", "release", "release_back", "fee_back")
    ),
    "HOLD_EXPIRED": frozenset({("payout", "expire"), ("refund", "expire")}),
}


def _fees(reader: AuditReader, _context: AuditContext) -> Outcome:
    for row in reader.stream("audit_settlement_page", deal_id=""):
        why = _fee_fault(row)
        if why is not None:
            return {"deal_id": row["deal_id"], "gross_minor": row["gross_minor"], "why": why}
    return reader.first("audit_volume_broken")


def _fee_fault(row: dict[str, Any]) -> str | None:
    # A ruling settles the seller's part of the gross, under the terms that were approved.
    gross = row["gross_minor"] if row["seller_ppm"] is not None else row["deal_gross_minor"]
    pinned = (gross, row["deal_policy_hash"], row["deal_tier"])
    if pinned != (row["gross_minor"], row["fee_policy_hash"], row["tier"]) or (
        row["gross_minor"] > row["deal_gross_minor"]
    ):
        return "it was settled under other terms than the deal was approved under"
    policy = POLICIES.get(row["fee_policy"])
    if policy is None or policy.hash != row["fee_policy_hash"]:
        return "its fee policy is not known under that hash"
    asset = Asset.parse(row["asset"])
    if choose_tier(policy, row["volume_minor"], asset).name != row["tier"]:
        return "the volume does not give that tier"
    try:
        quote = split_fees(
            policy, row["gross_minor"], asset, volume_minor=row["volume_minor"], tier=row["tier"]
        )
    except SettlementError as error:
        return f"the policy refuses this gross ({error.code})"
    found = (row["platform_fee_minor"], row["protocol_fee_minor"], row["net_minor"])
    if found != (quote.platform_minor, quote.protocol_minor, quote.net_minor):
        return f"the policy gives a protocol fee of {quote.protocol_minor}"
    return None


def _splits(reader: AuditReader, _context: AuditContext) -> Outcome:
    rows = reader.stream("audit_payee_page", deal_id="", position=-1)
    for deal_id, group in groupby(rows, key=lambda row: row["deal_id"]):
        payees = list(group)
        why = _split_fault(payees)
        if why is not None:
            return {"deal_id": deal_id, "payees": len(payees), "why": why}
    return None


def _split_fault(payees: list[dict[str, Any]]) -> str | None:
    if [row["position"] for row in payees] != list(range(len(payees))):
        return "its payees are not numbered from 0"
    try:
        weights = parse_shares([row["share"] for row in payees])
    except SettlementError as error:
        return f"its shares are not shares ({error.code})"
    nets = allocate(payees[0]["deal_net_minor"], weights)
    fees = allocate(payees[0]["deal_fee_minor"], weights)
    if [row["net_minor"] for row in payees] != list(nets):
        return f"by their shares the payees get {list(nets)}"
    if [row["fee_minor"] for row in payees] != list(fees):
        return f"by their shares the payees bear {list(fees)}"
    return None


def _paths(reader: AuditReader, _context: AuditContext) -> Outcome:
    return _movement_fault(reader) or _path_fault(
        reader.stream("audit_step_page", deal_id="", version=-1)
    )


def _paths_since(reader: AuditReader, context: AuditContext) -> Outcome:
    """The whole path of every deal to which something happened after the head."""
    fixed = {"since": context.since}
    return _movement_fault(reader) or _path_fault(
        reader.stream("audit_step_since_page", fixed, log_index=context.since - 1, version=-1)
    )


def _movement_fault(reader: AuditReader) -> BadRow | None:
    for row in reader.all("audit_event_movements"):
        if (row["kind"], row["phase"]) not in CAUSED_BY.get(row["event_type"], frozenset()):
            return {**row, "why": "this type of event does not cause such a movement"}
    return None


def _path_fault(rows: Iterable[dict[str, Any]]) -> BadRow | None:
    for deal_id, group in groupby(rows, key=lambda row: row["deal_id"]):
        path, last = Path(), None
        for row in group:
            found = path.state
            payload = json.loads(row["payload"]) if row["payload"] is not None else {}
            if not path.step(row["event_type"], payload):
                which = {name: row[name] for name in ("deal_id", "version", "event_type")}
                return {**which, "why": f"this cannot happen to a deal that is {found or 'new'}"}
            last = row
        if last is not None and SILENT.get(last["state"], last["state"]) != path.ends_as():
            says = f"its events say {path.ends_as()}"
            return {"deal_id": deal_id, "state": last["state"], "why": says}
    return None


CHECKS: Final = (
    Check(
        number=18,
        title="gross is fees and net, in the row, the legs and the payees",
        run=by_query("audit_settlement_legs"),
        needs="settlement",
    ),
    Check(
        number=19,
        title="fees recompute from policy, tier and volume",
        run=_fees,
        needs="settlement",
    ),
    Check(number=20, title="splits recompute from the shares", run=_splits, needs="settlement"),
    Check(
        number=21,
        title="only payees are paid, and refunds stay within the funding",
        run=by_query("audit_stranger_paid", "audit_refund_excess", "audit_refund_rows"),
        needs="transfer",
    ),
    Check(
        number=22,
        title="a deal settles once",
        run=by_query("audit_settled_twice"),
        needs="deal",
    ),
    Check(
        number=23,
        title="every deal took a legal path, and money moved only as its events permit",
        run=_paths,
        needs="deal",
        since=_paths_since,
    ),
    Check(
        number=24,
        title="after the end only refunds, reversals and chargebacks",
        run=by_query("audit_after_terminal"),
        needs="settlement",
    ),
    Check(
        number=25,
        title="rulings lie between 0 and 1000000 ppm, each with its event",
        run=by_query("audit_ruling_broken", "audit_ruling_invented"),
        needs="dispute",
    ),
    not_yet(44, "bonds follow their rule", "there are no bonds yet"),
)
