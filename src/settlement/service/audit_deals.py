"""Audit of deals: settlements, fees, splits, payees, the legal path (checks 16 to 25, 35, 36).

Guarantees: fees are computed anew from the policy named and the volume pinned, splits anew from
the shares; the path of a deal is replayed from its events and compared with its row.
Does not: use the tables of `core/deal.py`: the path is written down here a second time.

Spec §16.3. Change colour: green.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import SettlementError
from settlement.core.fees import POLICIES, choose_tier, split_fees
from settlement.core.money import Asset, allocate, parse_shares
from settlement.service.audit_base import Check, by_query, not_yet

if TYPE_CHECKING:
    from settlement.service.audit_base import AuditContext, Outcome
    from settlement.store.audit import AuditReader

#: event type -> the movements it may cause, as (kind, phase).
CAUSED_BY: Final[dict[str, frozenset[tuple[str, str]]]] = {
    "PAYMENT_AUTHORIZED": frozenset({("charge", "final"), ("escrow_fund", "final")}),
    "MANDATE_CREATED": frozenset({("mandate_reserve", "final")}),
    "MANDATE_REVOKED": frozenset({("mandate_return", "final")}),
    "SETTLED": frozenset({("fee", "final"), ("release", "final")}),
    "PAYOUT_INITIATED": frozenset({("payout", "hold")}),
    "PAYOUT_CONFIRMED": frozenset({("payout", "post"), ("payout_settled", "final")}),
    "PAYOUT_FAILED": frozenset({("payout", "void"), ("payout_returned", "final")}),
    "REFUNDED": frozenset(
        (kind, phase)
        for kind in ("refund", "release_back", "fee_back", "recover")
        for phase in ("final", "hold", "post", "void")
    ),
    "DISPUTE_OPENED": frozenset({("dispute_open", "final"), ("dispute_open", "hold")}),
    "DISPUTE_RESOLVED": frozenset(
        (kind, "final") for kind in ("dispute_close", "fee", "release", "refund", "release_back")
    ),
    "HOLD_EXPIRED": frozenset({("payout", "expire"), ("refund", "expire")}),
}
_NEW: Final = ""
#: event type -> (states it may find, state it leaves; None: the one it found). `created` and no
#: deal yet are one to a deal that is born with its first proof.
STEPS: Final[dict[str, tuple[frozenset[str], str | None]]] = {
    "INTENT_CREATED": (frozenset({_NEW}), "created"),
    "BID_RECEIVED": (frozenset({"created"}), None),
    "INTENT_CLOSED": (frozenset({"created"}), None),
    "INTENT_AWARDED": (frozenset({"created"}), None),
    "PROOF_READY": (frozenset({_NEW, "created", "proof_ready"}), "proof_ready"),
    "GO_APPROVED": (frozenset({"proof_ready"}), "go_approved"),
    "AUTO_GO_APPROVED": (frozenset({"proof_ready"}), "go_approved"),
    "SETTLED": (frozenset({"go_approved", "disputed"}), "settled"),
    "PAYOUT_INITIATED": (frozenset({"settled"}), None),
    "PAYOUT_CONFIRMED": (frozenset({"settled", "disputed"}), None),
    "PAYOUT_FAILED": (frozenset({"settled", "disputed"}), None),
    "DISPUTE_OPENED": (frozenset({"go_approved", "settled"}), "disputed"),
    "DEAL_CANCELLED": (frozenset({_NEW, "created", "proof_ready", "go_approved"}), "cancelled"),
    "PAYMENT_AUTHORIZED": (
        frozenset({"created", "proof_ready", "go_approved", "disputed"}),
        None,
    ),
}
#: States of the row that leave no event of their own: the event before them left the other one.
_SILENT: Final = {"settling": "go_approved"}


def _fees(reader: AuditReader, _context: AuditContext) -> Outcome:
    for row in reader.stream("audit_settlement_page", deal_id=""):
        why = _fee_fault(row)
        if why is not None:
            return {"deal_id": row["deal_id"], "gross_minor": row["gross_minor"], "why": why}
    return reader.first("audit_volume_broken")


def _fee_fault(row: dict[str, Any]) -> str | None:
    pinned = (row["deal_gross_minor"], row["deal_policy_hash"], row["deal_tier"])
    if pinned != (row["gross_minor"], row["fee_policy_hash"], row["tier"]):
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
    for row in reader.all("audit_event_movements"):
        if (row["kind"], row["phase"]) not in CAUSED_BY.get(row["event_type"], frozenset()):
            return {**row, "why": "this type of event does not cause such a movement"}
    rows = reader.stream("audit_step_page", deal_id="", version=-1)
    for deal_id, group in groupby(rows, key=lambda row: row["deal_id"]):
        state, last = _NEW, None
        for row in group:
            sources, target = STEPS.get(row["event_type"], (frozenset({state}), None))
            if state not in sources:
                found = {name: row[name] for name in ("deal_id", "version", "event_type")}
                return {**found, "why": f"this cannot happen to a deal that is {state or 'new'}"}
            state, last = target or _effect_of(row["event_type"], state, row["state"]), row
        if last is not None and _SILENT.get(last["state"], last["state"]) != (state or "created"):
            return {"deal_id": deal_id, "state": last["state"], "why": f"its events say {state}"}
    return None


def _effect_of(event_type: str, state: str, claimed: str) -> str:
    """Rulings and refunds may end a deal or not; then the row's own word is taken."""
    may_end = event_type in ("DISPUTE_RESOLVED", "REFUNDED")
    return claimed if may_end and claimed in ("settled", "refunded") else state


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
        run=by_query("audit_stranger_paid", "audit_refund_excess"),
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
    ),
    Check(
        number=24,
        title="after the end only refunds, reversals and chargebacks",
        run=by_query("audit_after_terminal"),
        needs="settlement",
    ),
    not_yet(25, "rulings lie between 0 and 1000000 ppm, each with its event", "no rulings yet"),
    not_yet(35, "nothing is booked in a closed period", "there are no accounting periods yet"),
    not_yet(36, "a statement remade at its head is identical", "there are no statements yet"),
    not_yet(44, "bonds follow their rule", "there are no bonds yet"),
)
