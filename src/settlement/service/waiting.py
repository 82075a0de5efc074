"""Callers whose operation waits for a rail: who they are, and when they are told.

For: the engine, which admits a caller whose claim is running and reports what each commit finished.
Guarantees: a caller is answered once: with the outcome as soon as its claim is finished, by this
process (told at once) or by another (found by one query a tick for all callers), or with the
running answer when its time is up. Callers on one event loop are told in one call.
Does not: promise that a claim finishes; run anything a second time.

Spec §6.2. Change colour: amber.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from settlement.core.errors import DatabaseUnavailable, PaymentRefused, RequestInProgress
from settlement.core.rows import EffectKind
from settlement.service.answers import DONE, Answer, ClaimKey, finished
from settlement.store.effects import find_refusal
from settlement.store.loading import load_claims

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from settlement.core.rows import Claim
    from settlement.core.writeset import WriteSet
    from settlement.service.tickets import Ticket
    from settlement.store.database import Database, Tx

logger = logging.getLogger(__name__)

_MS: Final = 1_000_000
_TICK_FIRST_NS: Final = 50 * _MS
_TICK_MAX_NS: Final = 250 * _MS
_NS: Final = 1_000_000_000


@dataclass(slots=True, eq=False)
class Pending:
    """A ticket and whoever waits for its answer: a thread, or a task of an event loop."""

    ticket: Ticket
    future: Future[Answer] | asyncio.Future[Answer]
    loop: asyncio.AbstractEventLoop | None = None
    wait_ns: int = 0


def deliver(answered: Iterable[tuple[Pending, Answer]]) -> None:
    """Hand out answers; waking an event loop costs a system call, so it is done once per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Pending, Answer]]] = {}
    for pending, answer in answered:
        if pending.loop is None:
            pending.future.set_result(answer)
        else:
            by_loop.setdefault(pending.loop, []).append((pending, answer))
    for loop, pairs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, pairs)
        except RuntimeError:
            # The loop was closed under its callers; what they asked for is committed all the same.
            logger.warning("%d answers had no event loop to go to", len(pairs))


def _resolve(pairs: list[tuple[Pending, Answer]]) -> None:
    for pending, answer in pairs:
        if not pending.future.done():  # a caller that went away cancels its future
            pending.future.set_result(answer)


@dataclass(slots=True, eq=False)
class _Waiter:
    pending: Pending
    answer: Answer
    claim: ClaimKey
    deadline_ns: int


class WaitingRoom:
    """Callers of running claims. Thread-safe; its one thread starts with the first caller."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiters: dict[ClaimKey, list[_Waiter]] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def admit(self, pending: Pending, answer: Answer) -> None:
        """Keep a caller until its claim is finished or its time is up."""
        assert answer.claim is not None, "what is running has a claim"
        deadline = time.monotonic_ns() + pending.wait_ns
        waiter = _Waiter(pending, answer, answer.claim, deadline)
        with self._changed:
            if self._closing:
                deliver([(pending, answer)])
                return
            self._waiters.setdefault(answer.claim, []).append(waiter)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="settlement-claims", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def committed(self, writes: WriteSet) -> None:
        """Tell the callers whose claims this commit of ours finished."""
        if not writes.claims_finished or not self._waiters:
            return
        told: list[tuple[Pending, Answer]] = []
        with self._changed:
            for change in writes.claims_finished:
                key = (change.scope, change.operation, change.key)
                told.extend(
                    (waiter.pending, finished(waiter.answer, change.outcome))
                    for waiter in self._waiters.pop(key, ())
                )
        deliver(told)

    def count(self) -> int:
        """Callers waiting now."""
        with self._changed:
            return sum(map(len, self._waiters.values()))

    def close(self) -> None:
        """Send everybody away with the running answer, which is the truth, and stop."""
        with self._changed:
            self._closing = True
            left = [w for waiters in self._waiters.values() for w in waiters]
            self._waiters.clear()
            self._changed.notify()
            thread = self._thread
        deliver([(w.pending, w.answer) for w in left])
        if thread is not None:
            thread.join()

    # --- the poller ------------------------------------------------------------------------------

    def _work(self) -> None:
        tick = _TICK_FIRST_NS
        while True:
            with self._changed:
                if not self._waiters and not self._closing:
                    self._changed.wait()
                    tick = _TICK_FIRST_NS
                if self._closing:
                    return
                self._changed.wait_for(lambda: self._closing, timeout=tick / _NS)
            self._poll()
            tick = min(_TICK_MAX_NS, tick + tick // 2)

    def _poll(self) -> None:
        """Answer whoever can be answered: finished elsewhere, or out of time."""
        with self._changed:
            waiters = [w for group in self._waiters.values() for w in group]
        if not waiters:
            return
        try:
            answers = self._db.read(lambda tx: _look(tx, waiters))
        except DatabaseUnavailable:
            logger.warning("claims could not be read; callers wait on", exc_info=True)
            answers = [None] * len(waiters)
        now = time.monotonic_ns()
        told: list[tuple[Pending, Answer]] = []
        for waiter, found in zip(waiters, answers, strict=True):
            answer = found
            if answer is None and now >= waiter.deadline_ns:
                answer = waiter.answer
            if answer is not None and self._take(waiter):
                told.append((waiter.pending, answer))
        deliver(told)

    def _take(self, waiter: _Waiter) -> bool:
        """Remove a waiter; False when somebody else answered it meanwhile."""
        with self._changed:
            group = self._waiters.get(waiter.claim, [])
            if waiter not in group:
                return False
            group.remove(waiter)
            if not group:
                del self._waiters[waiter.claim]
            return True


def _look(tx: Tx, waiters: Sequence[_Waiter]) -> list[Answer | None]:
    """What each waiter can be told by now."""
    keys = {w.claim for w in waiters}
    keys |= {w.pending.ticket.sent for w in waiters if w.pending.ticket.sent is not None}
    claims = load_claims(tx, sorted(keys))
    return [_outcome_of(tx, waiter, claims) for waiter in waiters]


def _outcome_of(tx: Tx, waiter: _Waiter, claims: Mapping[ClaimKey, Claim]) -> Answer | None:
    claim = claims.get(waiter.claim)
    if claim is not None:
        done = claim.state == DONE and claim.outcome is not None
        return finished(waiter.answer, claim.outcome) if done and claim.outcome else None
    # Released: the rail refused, so the operation may run again. The outcome stays with the keys
    # that callers sent; for a call without one the effect remembers the refusal.
    sent = claims.get(waiter.pending.ticket.sent) if waiter.pending.ticket.sent else None
    if sent is not None and sent.outcome is not None:
        return finished(waiter.answer, sent.outcome)
    scope, operation, key = waiter.claim
    refusal = find_refusal(tx, scope.removeprefix("deal:"), operation, key)
    if refusal is None:
        return replace(waiter.answer, running=False, result=None, error=RequestInProgress())
    if refusal.kind is EffectKind.CHARGE:
        error = PaymentRefused(deal_id=refusal.deal_id, reason=refusal.code or "refused")
        return replace(waiter.answer, running=False, result=None, error=error)
    planned = waiter.answer.result or {}
    return replace(waiter.answer, running=False, result={**planned, "state": "refused"})
