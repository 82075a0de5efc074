"""Audit of the books: transfers, transactions, counters, holds, escrow, cover (checks 1 to 17, 33).

Guarantees: sums are taken anew from the transfers, never from the counters they are compared with;
a transaction's hash is recomputed and looked for in its event.
Does not: know deals' rules; `audit_deals.py` does.

Spec §16.3. Change colour: green.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from settlement.core.canonical import load_json
from settlement.core.clock import SECOND_US, time_text
from settlement.core.errors import CanonicalForm
from settlement.core.hashes import LegFacts, tx_hash
from settlement.service.audit_base import Check, by_query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from settlement.core.canonical import Json
    from settlement.service.audit_base import AuditContext, CheckFunction, Outcome
    from settlement.store.audit import AuditReader

_SWEPT_WITHIN_US: Final = 60 * SECOND_US
#: The movements of spec §5.2, written down again here: an auditor does not trust the table.
MOVEMENTS: Final = frozenset(
    (kind, debit, credit)
    for kind, debits, credits in (
        ("charge", "clearing", "escrow"),
        ("topup", "clearing", "agent"),
        ("escrow_fund", "agent mandate", "escrow"),
        ("mandate_reserve", "agent", "mandate"),
        ("mandate_return", "mandate", "agent"),
        ("fee", "escrow", "fee_platform fee_protocol"),
        ("release", "escrow", "agent"),
        ("refund", "escrow", "agent mandate clearing"),
        ("release_back", "agent receivable", "escrow"),
        ("fee_back", "fee_platform fee_protocol", "escrow"),
        ("dispute_open", "escrow agent", "dispute"),
        ("dispute_close", "dispute", "escrow"),
        ("payout", "agent", "payout_transit"),
        ("payout_settled", "payout_transit", "clearing"),
        ("payout_unsettled", "clearing", "payout_transit"),
        ("payout_returned", "payout_transit", "agent"),
        ("chargeback", "escrow agent receivable", "clearing"),
        ("recover", "agent", "receivable"),
        ("write_off", "write_off", "receivable"),
    )
    for debit in debits.split()
    for credit in credits.split()
)


def _movements(reader: AuditReader, _context: AuditContext) -> Outcome:
    for row in reader.all("audit_movement_rules"):
        if (row["kind"], row["debit_class"], row["credit_class"]) not in MOVEMENTS:
            return {**row, "why": "the list allows a movement that the specification does not"}
    return reader.first("audit_transfer_off_list")


def _tx_hashes(reader: AuditReader, _context: AuditContext) -> Outcome:
    return _tx_hash_of(reader.stream("audit_tx_page", tx_id="", leg=-1))


def _tx_hashes_since(reader: AuditReader, context: AuditContext) -> Outcome:
    return _tx_hash_of(reader.stream("audit_tx_since_page", log_index=context.since - 1, leg=0))


def _tx_hash_of(rows: Iterable[dict[str, Any]]) -> Outcome:
    for tx_id, group in groupby(rows, key=lambda row: row["tx_id"]):
        legs = list(group)
        why = _tx_fault(tx_id, legs)
        if why is not None:
            return {"tx_id": tx_id, "deal_id": legs[0]["deal_id"], "why": why}
    return None


def _tx_fault(tx_id: str, legs: list[dict[str, Any]]) -> str | None:
    first = legs[0]
    facts = [
        LegFacts(
            leg=row["leg"],
            kind=row["kind"],
            phase=row["phase"],
            asset=row["asset"],
            amount_minor=row["amount_minor"],
            debit=row["debit_ref"],
            credit=row["credit_ref"],
            hold_id=row["hold_id"],
        )
        for row in legs
    ]
    try:
        computed = tx_hash(tx_id, first["deal_id"], facts)
        payload = _payload(first["payload"])
    except CanonicalForm as error:
        return f"its transaction cannot be hashed: {error.reason}"
    if computed != first["tx_hash"]:
        return "its legs hash to something else than its tx_hash"
    if payload.get("tx_id") != tx_id or payload.get("tx_hash") != computed:
        return "its event does not name it with that hash"
    return None


def _payload(text: str | None) -> dict[str, Json]:
    value = load_json(text or "{}")
    return dict(value) if isinstance(value, dict) else {}


def _account_faults(number: int) -> CheckFunction:
    """Checks 7, 11 and 13 share one pass over the transfers, whose answers the reader keeps."""

    def run(reader: AuditReader, _context: AuditContext) -> Outcome:
        rows = reader.once("audit_account_faults")
        return next((row for row in rows if row["number"] == number), None)

    return run


def _holds_in_time(reader: AuditReader, _context: AuditContext) -> Outcome:
    return reader.first("audit_hold_late", swept=time_text(reader.now_us - _SWEPT_WITHIN_US))


CHECKS: Final = (
    Check(
        number=1,
        title="amounts are positive, between two accounts of one asset",
        run=by_query("audit_transfer_malformed"),
        needs="transfer",
    ),
    Check(
        number=2,
        title="debits equal credits per asset, held and posted",
        run=by_query("audit_asset_unbalanced"),
        needs="account",
    ),
    Check(number=3, title="every movement is on the list", run=_movements),
    Check(
        number=4,
        title="a transaction's legs are 1 to n",
        run=by_query("audit_tx_legs"),
        needs="ledger_tx",
    ),
    Check(
        number=5,
        title="no row points at nothing",
        run=by_query("audit_orphan_first"),
        needs="agent",
    ),
    Check(
        number=6,
        title="every tx_hash recomputes and is in its event",
        run=_tx_hashes,
        needs="ledger_tx",
        since=_tx_hashes_since,
    ),
    Check(number=7, title="the four counters are sums", run=_account_faults(7), needs="account"),
    Check(
        number=8,
        title="no guard was broken at any moment",
        run=by_query("audit_guard_history"),
        needs="transfer",
    ),
    Check(
        number=10,
        title="nothing is overdrawn",
        run=by_query("audit_account_overdrawn"),
        needs="account",
    ),
    Check(
        number=11,
        title="an account's version counts its transfers",
        run=_account_faults(11),
        needs="account",
    ),
    Check(
        number=12,
        title="a hold resolves once, within its amount, between its accounts",
        run=by_query("audit_hold_misresolved", "audit_hold_twice"),
        needs="hold",
    ),
    Check(
        number=13,
        title="what is held is what open holds say",
        run=_account_faults(13),
        needs="account",
    ),
    Check(
        number=14,
        title="no hold was posted late or left unswept",
        run=_holds_in_time,
        needs="expiring_hold",
    ),
    Check(
        number=15,
        title="mandates spend and hold within their reserve, deals stay within their mandate",
        run=by_query("audit_mandate_overspent", "audit_mandate_exceeded"),
        needs="mandate",
    ),
    Check(
        number=16,
        title="escrow in is escrow out and locked",
        run=by_query("audit_escrow_flow"),
        needs="account",
    ),
    Check(
        number=17,
        title="escrow and dispute accounts end at zero",
        run=by_query("audit_escrow_terminal"),
        needs="account",
    ),
    Check(
        number=33,
        title="what is owed is covered by the rails",
        run=by_query("audit_owed_uncovered"),
        needs="account",
    ),
)
