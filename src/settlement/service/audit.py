"""The audit: every numbered check of the specification on one snapshot, read-only.

For: `settlement audit`, the tests that break something, and whoever restores a backup.
Guarantees: a check that has nothing to look at says `skipped` and why, it never passes for lack of
data; a check that fails names its first bad row; the report's `input_hash` tells whether two
reports are about the same rows.
Does not: write, repair, or stop at the first failing check. Putting a run on record
(`audit_runs.py`) is an act of its own.

Spec §16.3. Change colour: green.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import time_text
from settlement.core.errors import HeadNotAudited
from settlement.service import (
    audit_chain,
    audit_claims,
    audit_conduct,
    audit_deals,
    audit_exchange,
    audit_ledger,
    audit_lines,
    audit_runs,
    balances,
    statements,
)
from settlement.service.audit_base import AuditContext, Check, Skip
from settlement.service.audit_runs import audited_to
from settlement.store.audit import AuditReader
from settlement.store.log import find_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from settlement.service.audit_base import BadRow, Outcome
    from settlement.store.database import Database, Tx

CHECKS: Final[tuple[Check, ...]] = tuple(
    sorted(
        (
            *audit_ledger.CHECKS,
            *audit_lines.CHECKS,
            *audit_deals.CHECKS,
            *audit_claims.CHECKS,
            *audit_chain.CHECKS,
            *audit_conduct.CHECKS,
            *audit_runs.CHECKS,
            *balances.CHECKS,
            *audit_exchange.CHECKS,
            *statements.CHECKS,
        ),
        key=lambda check: check.number,
    )
)


#: What a check looked at: every row there is, or what came after the head it was told of.
WHOLE: Final = "whole"
SINCE: Final = "since"


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    number: int
    title: str
    status: Status
    scope: str = WHOLE
    reason: str | None = None
    first_bad: BadRow | None = None

    def document(self) -> dict[str, Any]:
        """The JSON form; absent members are left out."""
        members = {
            "number": self.number,
            "title": self.title,
            "status": self.status.value,
            "scope": self.scope,
            "reason": self.reason,
            "first_bad": self.first_bad,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """Every finding, and what was read."""

    findings: tuple[Finding, ...]
    rows: dict[str, int]
    input_hash: str
    audited_at: str
    since: int = 0

    @property
    def clean(self) -> bool:
        """True when no check failed."""
        return not self.failed()

    def failed(self) -> list[Finding]:
        """The checks that found something."""
        return [one for one in self.findings if one.status is Status.FAILED]

    def numbers(self, status: str) -> list[int]:
        """The checks that came out like this."""
        return [one.number for one in self.findings if one.status.value == status]

    def document(self) -> dict[str, Any]:
        """The JSON report."""
        totals = {
            status.value: sum(one.status is status for one in self.findings) for status in Status
        }
        return {
            "ok": self.clean,
            "audited_at": self.audited_at,
            "input_hash": self.input_hash,
            "since": self.since or None,
            "totals": totals,
            "rows": self.rows,
            "checks": [finding.document() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """Who wants to see it go on: told each check as it starts, and the rows of every page."""

    started: Callable[[Check], None] = lambda _check: None
    turned: Callable[[int], None] = lambda _rows: None


def run_audit(
    db: Database, context: AuditContext | None = None, watcher: Watcher | None = None
) -> AuditReport:
    """Run every check on one snapshot of the database.

    With `context.since`, the checks that can look only at what came after that head. Raises
    HeadNotAudited when no clean run on record has seen it.
    """
    known, seen = context or AuditContext(), watcher or Watcher()

    def on_snapshot(tx: Tx) -> AuditReport:
        if known.since and (audited_to(tx) < known.since or find_head(tx, known.since) is None):
            raise HeadNotAudited(tree_size=known.since)
        reader = AuditReader(tx, seen.turned, planned=db.kind == "postgres")
        findings = []
        for check in CHECKS:
            seen.started(check)
            findings.append(_run_check(check, reader, known))
        return AuditReport(
            findings=tuple(findings),
            rows=reader.counts,
            input_hash=reader.input_hash(),
            audited_at=time_text(reader.now_us),
            since=known.since,
        )

    return db.read(on_snapshot)


def _run_check(check: Check, reader: AuditReader, context: AuditContext) -> Finding:
    if check.needs is not None and not reader.counts[check.needs]:
        named = check.needs.replace("_", " ")
        return _finding(check, Status.SKIPPED, reason=f"there are no {named} rows yet")
    short = check.since if context.since else None
    outcome = (short or check.run)(reader, context)
    finding = _outcome(check, outcome)
    return finding if short is None else replace(finding, scope=SINCE)


def _outcome(check: Check, outcome: Outcome) -> Finding:
    if isinstance(outcome, Skip):
        return _finding(check, Status.SKIPPED, reason=outcome.reason)
    if outcome is None:
        return _finding(check, Status.OK)
    return _finding(check, Status.FAILED, reason=outcome.get("why"), first_bad=outcome)


def _finding(
    check: Check, status: Status, *, reason: str | None = None, first_bad: BadRow | None = None
) -> Finding:
    return Finding(
        number=check.number, title=check.title, status=status, reason=reason, first_bad=first_bad
    )
