"""What a check is: a number of the specification, a title, and a function that finds a bad row.

For: the audit's modules by theme, and `service/audit.py`, which runs them.
Guarantees: a check answers None (nothing found), the first bad row with a sentence in `why`, or
`Skip` with the reason: no data yet, or a part of the system that does not exist yet.
Does not: go on after the first bad row; the row is where a person starts to look.
Change colour: green.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from settlement.core.checkpoint import TreeHead, VerifySignature
    from settlement.store.audit import AuditReader

BadRow: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Nothing to check, and why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditContext:
    """What the audit knows from outside the database."""

    #: key id -> raw public key, for the heads' signatures.
    public_keys: dict[str, bytes] = field(default_factory=dict)
    verify: VerifySignature | None = None
    #: the head kept outside the database, if there is one.
    checkpoint: TreeHead | None = None
    #: leaves of the log that a clean audit on record has seen: what was audited need not be again.
    since: int = 0


Outcome: TypeAlias = "BadRow | Skip | None"
CheckFunction: TypeAlias = "Callable[[AuditReader, AuditContext], Outcome]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One numbered check. `needs` names what must not be empty for it to mean anything.

    `since`: the same check of what came after a tree head that was audited.
    """

    number: int
    title: str
    run: CheckFunction
    needs: str | None = None
    since: CheckFunction | None = None


def by_query(*queries: str) -> CheckFunction:
    """A check whose queries each return their first bad row."""

    def run(reader: AuditReader, _context: AuditContext) -> Outcome:
        for query in queries:
            row = reader.first(query)
            if row is not None:
                return row
        return None

    return run


def not_yet(number: int, title: str, reason: str) -> Check:
    """A check of the specification whose data does not exist yet."""

    def run(_reader: AuditReader, _context: AuditContext) -> Outcome:
        return Skip(reason=reason)

    return Check(number=number, title=title, run=run)
