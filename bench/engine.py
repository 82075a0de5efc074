"""Durable settles a second in process: one commit each, against whatever has queued.

Guarantees: the raw loop and the engine run the same decisions and the same statements on the same
database in turns; the engine is given its callers' queue (128 waiting) and answers after COMMIT.
Does not: include HTTP. Beside case 1 (escrow funded) case 3 is printed: the worker charges at the
simulated rail, which syncs a book of its own for each charge, and the settle follows (spec §4.5).
"""

from __future__ import annotations

import secrets
import threading
import time
from statistics import median
from typing import TYPE_CHECKING

from bench import deals
from settlement.core.limits import Bucket, Charge, Limit
from settlement.core.operation import Rules
from settlement.edge.rails.simulated import SimulatedRail
from settlement.service.effects import EffectRunner
from settlement.service.engine import Engine
from settlement.service.jobs import JobQueue
from settlement.store.database import open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from settlement.core.operation import Operation
    from settlement.service.answers import Answer
    from settlement.store.database import Database

QUEUED = 128
WIDE = Limit(1_000_000, 10)
SELLERS = 1_000
ROUNDS = 3
NS = 1_000_000_000
Report = dict[str, int | str]


def _rate(count: int, work: Callable[[], None]) -> int:
    started = time.perf_counter_ns()
    work()
    return count * NS // (time.perf_counter_ns() - started)


def queued(engine: Engine, ops: Sequence[Operation], depth: int = QUEUED) -> None:
    """Keep `depth` operations waiting until all are answered; the first refusal is raised."""
    places = threading.Semaphore(depth)
    refused: list[BaseException] = []
    all_done = threading.Event()
    left = len(ops)
    lock = threading.Lock()

    def answered(future: Future[Answer]) -> None:
        nonlocal left
        error = future.exception() or future.result().error
        with lock:
            left -= 1
            if error is not None:
                refused.append(error)
            if not left:
                all_done.set()
        places.release()

    for op in ops:
        places.acquire()
        engine.submit(op, _charge(op)).add_done_callback(answered)
    all_done.wait()
    if refused:
        raise refused[0]


def _one_by_one(engine: Engine, ops: Sequence[Operation]) -> None:
    for op in ops:
        (answer,) = engine.run_batch([op], [_charge(op)])
        if answer.error is not None:
            raise answer.error


def _charge(op: Operation) -> Charge:
    """Counted as a served call is, under a limit that nobody meets."""
    who = op.call().principal.id
    return Charge(who=who, bucket=Bucket.SETTLE, endpoint="bench", first=WIDE, again=WIDE)


def _engine(db: Database) -> Engine:
    return Engine(db, Rules(), entropy=lambda: secrets.token_bytes(16))


def _charged(db: Database, engine: Engine, ops: Sequence[Operation], directory: Path) -> int:
    """Case 3: settles a second until the last charge is booked."""
    rail = SimulatedRail(directory)
    runner = EffectRunner(db, engine, JobQueue(db), {rail.name: rail}, owner="bench")

    def work() -> None:
        queued(engine, ops)
        while runner.step():
            pass

    try:
        return _rate(len(ops), work)
    finally:
        runner.close()
        rail.close()


def measure(url: str, directory: Path, *, settles: int, say: Callable[[str], None]) -> Report:
    """Case 1 in turns: `settles` for the engine, a fifth of that for the raw loop, each round."""
    db = open_database(url)
    try:
        db.migrate()
        engine = _engine(db)
        engine.start()
        # A second engine on the same database, never started: it commits in the calling thread.
        alone = _engine(db)
        people = deals.sellers(engine, SELLERS)
        raw: list[int] = []
        batched: list[int] = []
        for n in range(ROUNDS):
            say(f"{db.kind}: preparing round {n + 1} of {ROUNDS}")
            few = [d.settle() for d in deals.approved(engine, people, settles // 5, funded=True)]
            many = [d.settle() for d in deals.approved(engine, people, settles, funded=True)]
            say(f"{db.kind}: measuring round {n + 1} of {ROUNDS}")
            raw.append(_rate(len(few), lambda ops=few: _one_by_one(alone, ops)))  # type: ignore[misc]  # bound at once
            batched.append(_rate(len(many), lambda ops=many: queued(engine, ops)))  # type: ignore[misc]  # bound at once
        say(f"{db.kind}: measuring charged settles")
        unpaid = [d.settle() for d in deals.approved(engine, people, settles // 4, funded=False)]
        charged = _charged(db, engine, unpaid, directory / "rail-of-engine")
        engine.close()
        alone.close()
        return {
            "database": db.kind,
            "settles_per_round": settles,
            "raw_loop_per_second": int(median(raw)),
            "engine_per_second": int(median(batched)),
            "charged_per_second": charged,
            "ratio_percent": int(median(b * 100 // r for b, r in zip(batched, raw, strict=True))),
        }
    finally:
        db.close()
