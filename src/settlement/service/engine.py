"""The engine: one committer per process; what queued while the last batch committed is the next.

For: every caller that moves money or appends a deal event: routes (async), workers and the CLI.
Guarantees: nobody is answered before the COMMIT of what the answer says; the queue is bounded; one
operation that fails unexpectedly fails alone; `close` answers everything that was taken in.
Does not: decide (`core/operations`), know SQL, call a rail, or hold a batch back to make it larger:
a batch of one starts at once.

Design §3, spec §6. Change colour: red.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import (
    Busy,
    DatabaseUnavailable,
    InternalFault,
    LimitsUnreadable,
    ShuttingDown,
    from_record,
)
from settlement.faults import fault
from settlement.service import batch, batch_trace
from settlement.service.answers import Answer
from settlement.service.engine_figures import EngineFigures
from settlement.service.tickets import Ticket, choose, make_ticket
from settlement.service.waiting import Pending, WaitingRoom, deliver
from settlement.store.database import ConstraintViolated, LostRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from settlement.core.errors import SettlementError
    from settlement.core.limits import Charge
    from settlement.core.operation import Operation, Rules
    from settlement.core.writeset import WriteSet
    from settlement.store.database import Database

logger = logging.getLogger(__name__)

_NS: Final = 1_000_000_000
#: A rival process may win a key, a version or an account more than once in a row.
_TRIES_ALONE: Final = 5


@dataclass(frozen=True, slots=True)
class _Direct:
    """A ticket that nobody waits for in the queue."""

    ticket: Ticket
    position: int


class Engine:
    """Runs operations in batches. Thread-safe; `start` before `submit`, `close` at the end."""

    def __init__(
        self,
        db: Database,
        rules: Rules,
        *,
        entropy: Callable[[], bytes],
        queue_limit: int = 4096,
        batch_limit: int = 256,
        listeners: Sequence[Callable[[WriteSet], None]] = (),
    ) -> None:
        self._db = db
        self._rules = rules
        self._entropy = entropy
        self._queue_limit = queue_limit
        self._batch_limit = batch_limit
        self._listeners = list(listeners)
        self._room = WaitingRoom(db)
        self._queue: deque[Pending] = deque()
        self._ready = threading.Condition()
        self._closing = False
        self._refusal: SettlementError | None = None
        self._refuse_after_ns: int | None = None
        self._thread: threading.Thread | None = None
        self.figures = EngineFigures()

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the committer."""
        assert self._thread is None, "an engine starts once"
        self._thread = threading.Thread(target=self._work, name="settlement-engine", daemon=True)
        self._thread.start()

    def close(self, grace_seconds: int = 20) -> None:
        """Take nothing more in, finish what was taken, refuse what does not fit the time, stop."""
        with self._ready:
            self._closing = True
            self._refuse_after_ns = time.monotonic_ns() + grace_seconds * _NS
            self._ready.notify()
        if self._thread is not None:
            self._thread.join()
        self._refuse_queued()
        self._room.close()

    def refuse(self, why: SettlementError) -> None:
        """Answer every operation with this refusal from now on: the process is read-only."""
        self._refusal = why

    def add_listener(self, listener: Callable[[WriteSet], None]) -> None:
        """Have a function called with what each commit wrote; it must be quick and not raise."""
        self._listeners.append(listener)

    def stats(self) -> dict[str, Any]:
        """Figures for `/health`."""
        batches, operations = self.figures.batches, self.figures.operations
        return {
            "queue_depth": len(self._queue),
            "closing": self._closing,
            "waiting": self._room.count(),
            "batches": batches,
            "operations": operations,
            "batch_size_mean": round(operations / batches, 2) if batches else 0,
            "last_commit_age_ms": self.figures.last_age_ms(),
        }

    # --- asking ----------------------------------------------------------------------------------

    def submit(self, op: Operation, charge: Charge | None = None) -> Future[Answer]:
        """Queue an operation; raises Busy and ShuttingDown. The future always gets an answer."""
        return self._submit(op, charge, wait_ns=0)

    def execute(self, op: Operation, wait_seconds: int = 0) -> Answer:
        """Run an operation and wait for its answer; raises Busy and ShuttingDown.

        `wait_seconds`: how long to wait on for the outcome of what is running.
        """
        if self._thread is None:
            return self.run_batch([op])[0]
        return self._submit(op, None, wait_ns=wait_seconds * _NS).result()

    def answer(
        self, op: Operation, wait_seconds: int = 5, charge: Charge | None = None
    ) -> asyncio.Future[Answer]:
        """As `execute`, for a task of the running event loop to await; counted if charged."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._enqueue(Pending(make_ticket(op, charge), future, loop, wait_seconds * _NS))
        return future

    def execute_all(self, ops: Sequence[Operation], traces: Sequence[str] = ()) -> list[Answer]:
        """Run our own operations together and wait for all; a full queue does not refuse them.

        For workers: what a rail said must get into the books however many callers are queued.
        `traces`: which trace each goes on in. Raises ShuttingDown.
        """
        if self._thread is None:
            return self.run_batch(ops)
        given = zip(ops, traces or [""] * len(ops), strict=True)
        pending = [Pending(make_ticket(op, trace=trace), _owed()) for op, trace in given]
        with self._ready:
            self._check_open()
            self._queue.extend(pending)
            self._ready.notify()
        return [item.future.result() for item in pending]

    def run_batch(
        self, ops: Sequence[Operation], charges: Sequence[Charge | None] | None = None
    ) -> list[Answer]:
        """Run operations here and now, in as few transactions as their deals allow.

        `charges`: what each is counted as, if anything. Raises what `refuse` was given.
        """
        self._raise_refusal()
        charged = zip(ops, charges or [None] * len(ops), strict=True)
        waiting = deque(_Direct(make_ticket(op, c), n) for n, (op, c) in enumerate(charged))
        answers: dict[int, Answer] = {}
        while waiting:
            taken = choose(waiting, self._batch_limit)
            done = self._commit([item.ticket for item in taken])
            answers.update(zip([item.position for item in taken], done, strict=True))
        return [answers[n] for n in range(len(ops))]

    def _submit(self, op: Operation, charge: Charge | None, *, wait_ns: int) -> Future[Answer]:
        future = _owed()
        self._enqueue(Pending(make_ticket(op, charge), future, None, wait_ns))
        return future

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise from_record(self._refusal.to_record())  # a fresh one: raising marks an exception

    def _enqueue(self, pending: Pending) -> None:
        with self._ready:
            self._check_open()
            if len(self._queue) >= self._queue_limit:
                raise Busy
            self._queue.append(pending)
            self._ready.notify()

    def _check_open(self) -> None:
        self._raise_refusal()
        if self._closing:
            raise ShuttingDown

    # --- the committer ---------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._queue and not self._closing:
                    self._ready.wait()
                if not self._queue or self._out_of_time():
                    return
                taken = choose(self._queue, self._batch_limit)
            self._answer(taken, self._commit([pending.ticket for pending in taken]))

    def _out_of_time(self) -> bool:
        limit = self._refuse_after_ns
        return limit is not None and time.monotonic_ns() >= limit

    def _refuse_queued(self) -> None:
        with self._ready:
            left = list(self._queue)
            self._queue.clear()
        deliver([(pending, Answer(error=ShuttingDown())) for pending in left])

    def _answer(self, taken: Sequence[Pending], answers: Sequence[Answer]) -> None:
        """Answer everybody but those who wait for a rail, who are kept."""
        ready: list[tuple[Pending, Answer]] = []
        for pending, answer in zip(taken, answers, strict=True):
            if answer.running and pending.wait_ns:
                self._room.admit(pending, answer)
            else:
                ready.append((pending, answer))
        deliver(ready)

    # --- one batch -------------------------------------------------------------------------------

    def _commit(self, tickets: Sequence[Ticket]) -> list[Answer]:
        """Answers of a batch, committed. Nothing is acknowledged when the database is away."""
        try:
            return self._transaction(tickets)
        except DatabaseUnavailable as error:
            logger.warning("a batch of %d was not acknowledged: %s", len(tickets), error)
            return [Answer(error=error, key=ticket.key) for ticket in tickets]
        except LimitsUnreadable as error:
            if len(tickets) == 1:
                return [Answer(error=error, key=tickets[0].key)]
            # One by one, because what is not counted, our own operations, needs no limits.
        except (ConstraintViolated, LostRow):
            if len(tickets) == 1:
                return [self._again(tickets[0])]
            logger.info("a batch of %d runs one by one: a rival was first", len(tickets))
        except Exception as error:
            # Something no decision foresaw. The batch is rolled back; alone, only the guilty fails.
            if len(tickets) == 1:
                return [self._failed(tickets[0], error)]
            logger.warning("a batch of %d runs one by one", len(tickets), exc_info=True)
        return [self._commit([ticket])[0] for ticket in tickets]

    def _again(self, ticket: Ticket) -> Answer:
        """Run one operation anew: what it collided with is committed now, and will be seen."""
        for tries_left in reversed(range(_TRIES_ALONE)):
            try:
                return self._transaction([ticket])[0]
            except (DatabaseUnavailable, LimitsUnreadable) as error:
                return Answer(error=error, key=ticket.key)
            except (ConstraintViolated, LostRow) as error:
                if not tries_left:
                    return self._failed(ticket, error)
            except Exception as error:
                logger.debug("not a collision any more", exc_info=True)
                return self._failed(ticket, error)
        raise AssertionError("the last try answers")

    def _failed(self, ticket: Ticket, error: Exception) -> Answer:
        reference = self._entropy().hex()[:16]
        logger.error("fault %s in %s", reference, ticket.op.name, exc_info=error)
        return Answer(error=InternalFault(reference=reference), key=ticket.key)

    def _transaction(self, tickets: Sequence[Ticket]) -> list[Answer]:
        started_ns = time.monotonic_ns()
        with batch_trace.around(tickets) as traced:
            result = self._db.transaction(
                lambda tx: batch.run(tx, traced, self._rules, self._entropy)
            )
        fault("engine.after_commit")
        self.figures.committed(len(tickets), started_ns)
        self._tell(result.writes)
        return result.answers

    def _tell(self, writes: WriteSet) -> None:
        """Tell callers and listeners of a commit; by now nothing may make the batch fail."""
        self._room.committed(writes)
        for listener in self._listeners:
            try:
                listener(writes)
            except Exception:
                logger.exception("a commit listener failed")


def _owed() -> Future[Answer]:
    """A future that cannot be cancelled: what is queued will run, and be answered."""
    future: Future[Answer] = Future()
    future.set_running_or_notify_cancel()
    return future
