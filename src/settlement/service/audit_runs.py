"""The record of audits, and the check of it (check 47).

For: `settlement audit --record`, and `--since-head`, which goes on from a run on record.
Guarantees: a run is one event AUDITED on the chain `sys_audit`, with the digests of what was read
and of the report, and the numbers of the checks that failed and that were skipped. It is in the log
like every event, so a run that found something cannot be taken out again unseen. A check that once
had data cannot be skipped later.
Does not: keep reports; whoever audits keeps the file, and the digest tells whether it is that one.

Spec §16.3. Change colour: amber.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from settlement.core.canonical import sha256_hex
from settlement.core.ids import system_stream
from settlement.core.operation import Rules
from settlement.core.operations import AppendEvent
from settlement.core.principal import SYSTEM
from settlement.service import batch
from settlement.service.audit_base import Check
from settlement.service.tickets import make_ticket

if TYPE_CHECKING:
    from settlement.core.canonical import Json
    from settlement.service.audit import AuditReport
    from settlement.service.audit_base import AuditContext, Outcome
    from settlement.store.audit import AuditReader
    from settlement.store.database import Database, Tx

STREAM: Final = system_stream("audit")
AUDITED: Final = "AUDITED"
_NUMBERS: Final = frozenset(range(1, 48))
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LOOKED_AT: Final = 100


def report_hash(report: AuditReport) -> str:
    """SHA-256 of the JSON report, its members sorted."""
    return sha256_hex(json.dumps(report.document(), sort_keys=True, default=str))


def record_run(db: Database, report: AuditReport, operator: str) -> str:
    """Append the run to the chain of audits; the digest of the report it stands for."""
    digest = report_hash(report)
    payload: dict[str, Json] = {
        "authority": "operator",
        "operator": operator,
        "input_hash": report.input_hash,
        "report_hash": digest,
        "tree_size": report.rows["log_entry"],
        "since": report.since or None,
        "failed": [*report.numbers("failed")],
        "skipped": [*report.numbers("skipped")],
    }
    event = AppendEvent(
        principal=SYSTEM,
        record={
            "deal_id": STREAM,
            "event_type": AUDITED,
            "actor_id": operator,
            "source": "operator",
            "payload": payload,
        },
    )

    def append(tx: Tx) -> None:
        done = batch.run(tx, [make_ticket(event)], Rules(), lambda: secrets.token_bytes(16))
        done.answers[0].unwrap()

    db.transaction(append)
    return digest


def audited_to(tx: Tx) -> int:
    """How many leaves of the log the clean runs on record have seen; 0 without one."""
    sizes = [0]
    for row in tx.all("audit_run_covering", limit=_LOOKED_AT):
        payload = json.loads(row["payload"])
        if not payload["failed"]:
            sizes.append(payload["tree_size"])
    return max(sizes)


def next_since(db: Database, report: AuditReport) -> int | None:
    """The head that the next audit may go on from once this one is on record; None: from none."""
    if not report.clean:
        return None
    seen = report.rows["log_entry"]
    size = db.read(lambda tx: tx.one("audit_run_head", seen=seen))["tree_size"]
    return size or None


# --- 47 ------------------------------------------------------------------------------------------


def _runs(reader: AuditReader, _context: AuditContext) -> Outcome:
    seen = _Seen()
    for row in reader.stream("audit_run_page", version=-1):
        why = seen.fault(row["event_type"], json.loads(row["payload"]))
        if why is not None:
            return {"event_id": row["event_id"], "run": row["version"], "why": why}
    return None


class _Seen:
    """What the runs so far have looked at."""

    def __init__(self) -> None:
        self._ran: set[int] = set()
        self._tree_size = 0

    def fault(self, event_type: str, run: dict[str, Any]) -> str | None:
        """What is wrong with the next run."""
        if event_type != AUDITED:
            return "the chain of audits holds something else"
        if not all(_DIGEST.fullmatch(str(run.get(n))) for n in ("input_hash", "report_hash")):
            return "a run does not say what it read and what it found"
        failed, skipped = set(run["failed"]), set(run["skipped"])
        if failed & skipped or not (failed | skipped) <= _NUMBERS:
            return "a run names checks that there are not, or one twice"
        if run["tree_size"] < self._tree_size:
            return "a run saw a shorter log than the one before"
        if silenced := self._ran & skipped:
            return f"a run skipped check {min(silenced)}, which had run before"
        self._ran |= _NUMBERS - skipped
        self._tree_size = run["tree_size"]
        return None


CHECKS: Final = (
    Check(
        number=47,
        title="audits are on record with what they read, and none was silenced",
        run=_runs,
        needs="audit_run",
    ),
)
