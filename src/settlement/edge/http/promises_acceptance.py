"""What the calls of the acceptance gate answer.

Guarantees: as `promises.py`: a test reads every answer into its struct.
Does not: list every member; more may be there.

Contract §5.1. Change colour: green to add, red to take away.
"""

from __future__ import annotations

import msgspec

from settlement.edge.http.promises import Answer, Once


class AcceptanceRow(msgspec.Struct, kw_only=True):
    acceptance_id: str
    deal_id: str
    status: str
    downstream_action: str
    submitted_by: str
    proof_hash: str
    scope_lock_hash: str
    review_deadline: str | None
    reviewer_id: str | None
    reason: str | None
    checks_passed: list[str]
    checks_failed: list[str]
    created_at: str
    decided_at: str | None


class Submitted(Once):
    deal_id: str
    acceptance: AcceptanceRow


class AcceptanceOf(Answer):
    deal_id: str
    acceptance: AcceptanceRow | None


class Decided(Once):
    deal_id: str
    acceptance: AcceptanceRow
    downstream_triggered: bool
    status: str
    events_emitted: list[str]
    idempotency_key: str
