"""Audit of conduct: when things were booked, under which fence, by what right (checks 35, 45, 46).

Guarantees: a booked time is compared with the one inside its transaction's id, which the hash in
the event covers; rights are judged as of the moment of the call, with the keys, quotes and mandates
as they were then.
Does not: know the fences a name had before its current one; nobody keeps them. The database
refuses to lower one, and the audit looks whether any is older or newer than the recoveries allow.

Spec §7, §12.1, §16.3. Change colour: green.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import SECOND_US, parse_time, time_text
from settlement.core.principal import PrincipalKind
from settlement.service.audit_base import Check

if TYPE_CHECKING:
    from settlement.service.audit_base import AuditContext, Outcome
    from settlement.store.audit import AuditReader

#: A statement of ours ends after a minute, so nobody waits longer for a deal.
_WAITS_US: Final = 60 * SECOND_US
#: Ids of ours begin with the milliseconds of their transaction's time.
_TIMED_ID: Final = re.compile(r"tx_([0-9a-f]{12})7[0-9a-f]{3}[89ab][0-9a-f]{15}", re.ASCII)
#: The system, and operators by token: neither has a row in the table of keys.
_WITHOUT_KEY: Final = frozenset({PrincipalKind.SYSTEM.value, PrincipalKind.OPERATOR.value})
#: A revoked key counts for up to a second more, and a call may wait for its turn.
_KEY_CACHED_US: Final = 6 * SECOND_US
#: What a stranger may do: approve what a quote is shown for, and what moves nobody's money.
_OPEN: Final = frozenset({"go", "cancel", "create_mandate", "revoke_mandate"})


# --- 35: times -----------------------------------------------------------------------------------


def _times(reader: AuditReader, _context: AuditContext) -> Outcome:
    for row in reader.stream("audit_booked_page", tx_id=""):
        found = _TIMED_ID.fullmatch(row["tx_id"])
        if found is not None and abs(int(found[1], 16) - parse_time(row["booked_at"]) // 1000) > 1:
            return {**row, "why": "its booked time is not the one in its id"}
    return reader.first("audit_booked_back")


# --- 45: fences ----------------------------------------------------------------------------------


def _fences(reader: AuditReader, _context: AuditContext) -> Outcome:
    reached = 0
    for row in reader.stream("audit_recovery_page", version=-1):
        epoch = json.loads(row["payload"])["recovery_epoch"]
        least = reached + 1 if row["event_type"] == "RECOVERED" else reached
        if epoch < least:
            shown = {"event_id": row["event_id"], "epoch": epoch, "reached": reached}
            return {**shown, "why": "the recovery epoch went back"}
        reached = epoch
    epoch = reader.all("audit_epoch")[0]["epoch"]
    if epoch != reached:
        why = "the epoch of fences is not that of the last recovery"
        return {"epoch": epoch, "recovered": reached, "why": why}
    return reader.first("audit_fence_stray")


# --- 46: rights ----------------------------------------------------------------------------------


def _rights(reader: AuditReader, _context: AuditContext) -> Outcome:
    for row in reader.stream("audit_call_page", scope="", operation="", key=""):
        if (why := _call_fault(row)) is not None:
            shown = {name: row[name] for name in ("scope", "operation", "principal", "first_seen")}
            return {**shown, "why": why}
    for row in reader.stream("audit_mandated_page", deal_id=""):
        if (why := _mandate_fault(row)) is not None:
            shown = {name: row[name] for name in ("deal_id", "mandate_id", "approved_at")}
            return {**shown, "why": why}
    return (
        reader.first("audit_quote_expired")
        or reader.first("audit_mandate_drawn")
        or reader.first("audit_mandate_unseen")
    )


def _call_fault(row: dict[str, Any]) -> str | None:
    if row["principal"] in _WITHOUT_KEY:
        return None
    if row["principal"] == PrincipalKind.ANONYMOUS.value:
        return None if row["operation"] in _OPEN else "it moved money without a key"
    if row["operation"] == "payout" and row["auto"]:
        return None
    if row["live_until"] is None or row["live_until"] <= _earlier(row["first_seen"]):
        return "its caller had no live key with that scope"
    return None


def _mandate_fault(row: dict[str, Any]) -> str | None:
    if row["allowed_verticals"] is None:
        return "it was approved by a mandate that does not exist"
    at = row["approved_at"]
    ends = [time for time in (row["expires_at"], row["revoked_at"]) if time is not None]
    later = time_text(parse_time(at) + _WAITS_US)
    if row["created_at"] > later or (ends and min(ends) <= _earlier(at)):
        return "the mandate was not live when it approved"
    if row["vertical"] not in json.loads(row["allowed_verticals"]):
        return "the mandate does not allow its vertical"
    return None


def _earlier(at: str) -> str:
    return time_text(max(0, parse_time(at) - _KEY_CACHED_US))


CHECKS: Final = (
    Check(
        number=35,
        title="booked time runs forward along a deal (there are no closed periods)",
        run=_times,
        needs="ledger_tx",
    ),
    Check(number=45, title="fences never decrease", run=_fences, needs="lease"),
    Check(
        number=46,
        title="every money call had a key, quote or mandate that was live and in scope",
        run=_rights,
        needs="claim",
    ),
)
