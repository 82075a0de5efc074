"""What rails tell us: taken in once, then applied by a job.

For: the webhook route, which calls `receive`, and the worker, which calls `step`.
Guarantees: a message is committed before it is acknowledged, once per rail and message id, with the
job that applies it. Applying is guarded: a charge is booked once, an effect is answered only while
it is open, so repeated, late and reordered messages change nothing. What contradicts the books,
or names money that has no place in them, is kept as `contradiction`, counted, and logged as an
error. A fault of ours fails the one message it is about: its job is tried again, in the end dead.
Does not: ask a rail anything (`effects.py` does), or move money (operations do).

Spec §9.2, §10.1. Change colour: red.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import SECOND_US
from settlement.core.errors import (
    Corrupt,
    DatabaseUnavailable,
    JsonMalformed,
    LeaseLost,
    MemberMissing,
    RailUnknown,
    SettlementError,
    SignatureInvalid,
    Unavailable,
)
from settlement.core.inbound import RailNews, Unreadable
from settlement.core.webhooks import inbound_event_id
from settlement.faults import fault
from settlement.service.answers import Answer
from settlement.service.inbox_plan import Failed, Later, Plan, Verdict, alarming, plan
from settlement.service.jobs import WEBHOOK_INBOUND
from settlement.store import inbox as rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settlement.core.inbound import Inbound
    from settlement.core.operation import Operation
    from settlement.core.rows import Job
    from settlement.service.engine import Engine
    from settlement.service.jobs import JobQueue
    from settlement.store.database import Database, Tx
    from settlement.store.inbox import InboxRow

logger = logging.getLogger(__name__)

#: Until an effect that is still open, or an engine that is busy, is looked at again.
LATER_SECONDS: Final = 5
_NAME_CHARS_SHOWN: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Our id of a message, and whether it was here before."""

    event_id: str
    repeated: bool


@dataclass(slots=True)
class _Case:
    """One leased job, its message, and what is to be done about it."""

    job: Job
    message: InboxRow
    plan: Plan


class Inbox:
    """The inbox of one process. Any number of processes may have one each."""

    def __init__(
        self,
        db: Database,
        engine: Engine,
        jobs: JobQueue,
        inbounds: Mapping[str, Inbound],
        *,
        owner: str,
    ) -> None:
        self._db = db
        self._engine = engine
        self._jobs = jobs
        self._inbounds = dict(inbounds)
        self._owner = owner

    # --- taking in -------------------------------------------------------------------------------

    def receive(self, rail: str, headers: Mapping[str, str], body: bytes, now_us: int) -> Received:
        """Check a message and keep it; committed when this returns.

        Raises RailUnknown, SignatureInvalid, JsonMalformed, MemberMissing; nothing is kept then.
        """
        inbound = self._inbounds.get(rail)
        if inbound is None:
            raise RailUnknown(rail=rail[:_NAME_CHARS_SHOWN])
        if not inbound.is_signed(headers, body, now_us):
            raise SignatureInvalid(rail=rail)
        message_id = inbound.message_id(headers, _members(body))
        if message_id is None:
            raise MemberMissing(field="id")
        event_id = inbound_event_id(rail, message_id)
        digest = hashlib.sha256(body).hexdigest()

        def keep(tx: Tx) -> bool:
            first = rows.take_in(
                tx,
                source=rail,
                message_id=message_id,
                event_id=event_id,
                body=body.decode(),
                digest=digest,
            )
            if first:
                payload = {"event_id": event_id}
                self._jobs.enqueue(tx, WEBHOOK_INBOUND, "", payload, dedup_key=event_id)
            else:
                kept = rows.find_message(tx, event_id)
                if kept is not None and kept.digest != digest:
                    logger.error("inbox %s: the same message id came with other content", event_id)
            return first

        return Received(event_id=event_id, repeated=not self._db.transaction(keep))

    # --- applying --------------------------------------------------------------------------------

    def step(self, limit: int = 64) -> int:
        """Apply up to `limit` messages; how many jobs there were."""
        taken, leased = self._db.transaction(lambda tx: self._take(tx, limit))
        if not taken:
            return 0
        cases = self._planned(leased)
        fault("inbox.before_apply")
        asked = [(case, op) for case in cases if (op := case.plan.operation) is not None]
        answers = self._execute([op for _, op in asked])
        fault("inbox.after_apply")
        found = {case.message.event_id: a for (case, _), a in zip(asked, answers, strict=True)}
        self._db.transaction(lambda tx: self._put_down(tx, cases, found))
        return taken

    def _take(self, tx: Tx, limit: int) -> tuple[int, list[tuple[Job, InboxRow]]]:
        """Lease jobs with their messages; one that is closed already is finished here."""
        jobs = self._jobs.claim_in(tx, [WEBHOOK_INBOUND], limit, self._owner)
        found: list[tuple[Job, InboxRow]] = []
        closed: list[Job] = []
        for job in jobs:
            message = rows.find_message(tx, str(json.loads(job.payload)["event_id"]))
            if message is None or message.source not in self._inbounds:
                logger.error("job %s: nobody here can read its message", job.job_id)
                self._jobs.fail_in(tx, job, "nobody here can read its message")
            elif message.status != "new":
                closed.append(job)
            else:
                found.append((job, message))
        self._jobs.finish_many_in(tx, closed)
        return len(jobs), found

    def _planned(self, found: Sequence[tuple[Job, InboxRow]]) -> list[_Case]:
        """A plan for each. The jobs are leased by now: what fails here fails its own job only."""
        messages = [message for _, message in found]
        try:
            plans = self._db.read(lambda tx: [self._plan(tx, message) for message in messages])
        except DatabaseUnavailable:
            raise
        except Exception:
            logger.exception("planning %d messages failed; now one by one", len(messages))
            plans = [self._plan_alone(message) for message in messages]
        return [_Case(job, message, p) for (job, message), p in zip(found, plans, strict=True)]

    def _plan_alone(self, message: InboxRow) -> Plan:
        try:
            return self._db.read(lambda tx: self._plan(tx, message))
        except DatabaseUnavailable:
            raise
        except Exception as error:
            logger.exception("inbox %s cannot be planned", message.event_id)
            return Plan(verdict=Failed(f"{type(error).__name__}: {error}"))

    def _plan(self, tx: Tx, message: InboxRow) -> Plan:
        news: RailNews | None
        try:
            news = self._inbounds[message.source].read(_members(message.body.encode()))
        except Unreadable as error:
            return Plan(verdict=Verdict("contradiction", f"it cannot be read: {error}"))
        if news is None:
            return Plan(verdict=Verdict("ignored", "a type that changes nothing here"))
        return plan(tx, message, news)

    def _execute(self, operations: Sequence[Operation]) -> list[Answer]:
        try:
            return self._engine.execute_all(operations)
        except SettlementError as refusal:  # shutting down: the next lease does it
            return [Answer(error=refusal) for _ in operations]

    def _put_down(self, tx: Tx, cases: Sequence[_Case], answers: Mapping[str, Answer]) -> None:
        """Close the messages and finish their jobs, plan another look, or count a failure."""
        done: list[Job] = []
        for case in cases:
            answer = answers.get(case.message.event_id)
            outcome = case.plan.verdict if answer is None else _verdict(case, answer)
            if isinstance(outcome, Later | Failed):
                try:
                    self._look_again(tx, case.job, outcome)
                except LeaseLost:  # somebody later holds it: stop quietly
                    logger.info("inbox %s is another's by now", case.message.event_id)
                continue
            assert outcome is not None, "a plan has an operation or a verdict"
            if rows.close_message(tx, case.message.event_id, outcome.status, outcome.note):
                _say(case.message, outcome)
            done.append(case.job)
        self._jobs.finish_many_in(tx, done)

    def _look_again(self, tx: Tx, job: Job, outcome: Later | Failed) -> None:
        if isinstance(outcome, Later):
            self._jobs.defer_in(tx, job, LATER_SECONDS * SECOND_US, outcome.why)
        else:
            self._jobs.fail_in(tx, job, outcome.why)


def _members(body: bytes) -> dict[str, Any]:
    """The message's members; raises JsonMalformed."""
    try:
        members = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise JsonMalformed(reason="the message is no JSON") from None
    if not isinstance(members, dict):
        raise JsonMalformed(reason="it is not an object")
    return members


def _verdict(case: _Case, answer: Answer) -> Verdict | Later | Failed:
    """What the engine's answer makes of a message."""
    error = answer.error
    if isinstance(error, LeaseLost | Unavailable):
        return Later(str(error))
    if isinstance(error, Corrupt):  # ours: the rail has contradicted nothing
        return Failed(str(error))
    if error is not None:
        return Verdict("contradiction", f"it cannot be booked: {error}")
    if answer.replayed and answer.unwrap().get("message_id") != case.message.message_id:
        return Verdict("ignored", "booked by an earlier message about the same charge")
    return Verdict("applied", case.plan.note)


def _say(message: InboxRow, outcome: Verdict) -> None:
    if alarming(outcome):
        logger.error(
            "inbox %s from rail %s: %s: %s",
            message.event_id,
            message.source,
            outcome.status,
            outcome.note,
        )
    else:
        logger.info("inbox %s: %s", message.event_id, outcome.status)
