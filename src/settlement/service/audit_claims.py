"""Audit of once-ness: claims, replays, effects, payouts, outbox (checks 26 to 34).

Guarantees: a claim's fingerprint is computed anew from its stored command, a derived key from the
deal it belongs to.
Does not: ask a rail; what we know of effects is compared with itself and with the books.

Spec §16.3. Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from settlement.core.canonical import load_json, sha256_hex
from settlement.core.clock import DAY_US, time_text
from settlement.core.errors import CanonicalForm
from settlement.core.hashes import fingerprint, idempotency_key
from settlement.service.audit_base import Check, Skip, by_query

if TYPE_CHECKING:
    from settlement.service.audit_base import AuditContext, Outcome
    from settlement.store.audit import AuditReader

_DERIVED: Final = "deal:"


def _claims(reader: AuditReader, _context: AuditContext) -> Outcome:
    for row in reader.stream("audit_claim_page", scope="", operation="", key=""):
        why = _claim_fault(row)
        if why is not None:
            shown = {name: row[name] for name in ("scope", "operation", "deal_id", "state")}
            return {**shown, "why": why}
    return reader.first("audit_claim_adrift")


def _claim_fault(row: dict[str, Any]) -> str | None:
    try:
        args = load_json(row["args"])
        computed = fingerprint(row["operation"], args if isinstance(args, dict) else {})
    except CanonicalForm as error:
        return f"its stored command cannot be hashed: {error.reason}"
    if computed != row["fingerprint"]:
        return "its fingerprint is not that of its stored command"
    if not row["scope"].startswith(_DERIVED):
        return None if row["key_digest"] == sha256_hex(row["key"]) else _KEY_FAULT
    deal_id = row["scope"].removeprefix(_DERIVED)
    if row["operation"] in ("go", "settle"):
        derived = idempotency_key(deal_id, row["operation"])
        if (derived.wire, derived.full) != (row["key"], row["key_digest"]):
            return _KEY_FAULT
    return None


_KEY_FAULT: Final = "its key is not the one that belongs to it"


def _reversals(reader: AuditReader, _context: AuditContext) -> Outcome:
    if not reader.all("audit_reversal_count")[0]["n"]:
        return Skip(reason="nothing has been reversed")
    return reader.first("audit_reversal_excess")


def _stale_effects(reader: AuditReader, _context: AuditContext) -> Outcome:
    return reader.first("audit_effect_stale", before=time_text(max(0, reader.now_us - DAY_US)))


CHECKS: Final = (
    Check(
        number=26,
        title="one outcome per scope and key, its fingerprint that of the command",
        run=_claims,
        needs="claim",
    ),
    Check(number=27, title="a reversal opposes one transaction, once", run=_reversals),
    Check(
        number=28,
        title="replays made no rows",
        run=by_query("audit_once_repeated"),
        needs="event",
    ),
    Check(
        number=29,
        title="one effect per obligation that was not refused",
        run=by_query("audit_obligation_twice"),
        needs="effect",
    ),
    Check(
        number=30,
        title="a payout's hold is open exactly while its effect is",
        run=by_query("audit_payout_hold", "audit_hold_unowned", "audit_refund_hold"),
        needs="payout",
    ),
    Check(
        number=31,
        title="no outcome is unknown for more than a day",
        run=_stale_effects,
        needs="effect",
    ),
    Check(
        number=34,
        title="every event is delivered, pending or parked, and none was invented",
        run=by_query("audit_outbox_invented", "audit_outbox_missing"),
        needs="event",
    ),
)
