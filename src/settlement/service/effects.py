"""Effect jobs: ask a rail for one thing, once, and record what it said.

For: the worker, which calls `step`. A step takes a batch of jobs through three transactions, the
rails called between the first two: leased and marked sent; recorded by the engine; finished.
Guarantees: an effect is marked `sent`, committed, before its rail is called; an effect found `sent`
(its lease was lost) or `unknown` is asked about, never sent, until the rail denies knowing it and
its lookup lag has passed, and then it is sent under the same rail key; so a rail that forgets its
keys is asked before every resend. A send that its process overslept is not made: the rail may have
forgotten by then what another worker sent. An answer is recorded only under the fence of the job's
lease. Whatever is no proof is unknown, and is asked about without end.
A new effect whose switch is paused, or payout of a disputed deal, is not sent; its job looks again
later, and uses no attempt. A payout planned before money of its deal went back is never sent.
After a recovery nothing is sent before it was reconciled, and from then on a rail is asked before
it is sent anything: it may have been sent it in the time that was lost.
Does not: move money (the recorders do), or use an attempt for silence.

Spec §6.4, §17.3. Change colour: red.
"""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from settlement.core.clock import SECOND_US, parse_time
from settlement.core.errors import LeaseLost, SettlementError
from settlement.core.obligations import rail_key
from settlement.core.operations import RailOutcome
from settlement.core.rail import RailRequest, RailSilent
from settlement.core.rows import Effect, EffectState, Job
from settlement.faults import fault
from settlement.service import effect_trace
from settlement.service.answers import Answer
from settlement.service.jobs import EFFECT
from settlement.service.pauses import EFFECT_SWITCH, LOOK_AGAIN_SECONDS
from settlement.service.recorders import find_recorder, record_of
from settlement.store import effects as rows
from settlement.store.pauses import read_pauses
from settlement.store.recovery import read_recovery
from settlement.tracing import NOTHING, Span, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from settlement.core.rail import Rail, RailAnswer
    from settlement.service.engine import Engine
    from settlement.service.jobs import JobQueue
    from settlement.store.database import Database, Tx

logger = logging.getLogger(__name__)

ASK_MAX_SECONDS: Final = 300
ALARM_SECONDS: Final = 900
#: By then 15 minutes have gone, however often the effect was sent anew meanwhile.
ALARM_QUESTIONS: Final = 10
#: Counts while a process is stopped, and on Linux while its machine sleeps.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_UNKNOWN: Final = RailOutcome(state="unknown")
_OPEN: Final = frozenset({EffectState.SENT, EffectState.UNKNOWN})


@dataclass(slots=True)
class _Case:
    """One leased job, its effect as marked, and what became of it."""

    job: Job
    effect: Effect
    rail: Rail
    sent_us: int  # when it was sent before, 0 if never
    marked_ns: int = 0  # this process's clock before the mark that allows sending
    outcome: RailOutcome = _UNKNOWN
    denied: bool = False  # the rail says it knows no such request
    ask_first: bool = False  # it may have been sent in a time that was lost
    denial_counts: bool = True  # so long ago that the rail would know by now
    dropped: bool = False  # a payout that is not to be sent any more
    span: Span = NOTHING

    @property
    def fence(self) -> int:
        return self.job.lease_fence

    @property
    def ids(self) -> dict[str, str | None]:
        """What a line of the log about it names."""
        effect = self.effect
        claim = {"deal_id": effect.deal_id, "claim": effect.claim_key}
        return {**claim, "effect_id": effect.effect_id, "job_id": self.job.job_id}

    @property
    def settled(self) -> bool:
        return self.outcome.state != "unknown"


class EffectRunner:
    """Runs effect jobs of one process. Any number of processes may run one each."""

    def __init__(
        self,
        db: Database,
        engine: Engine,
        jobs: JobQueue,
        rails: Mapping[str, Rail],
        *,
        owner: str,
        threads: int = 8,
    ) -> None:
        self._db = db
        self._engine = engine
        self._jobs = jobs
        self._rails = dict(rails)
        self._owner = owner
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="settlement-rail")

    def close(self) -> None:
        """Let the rail threads end; those inside a call finish it."""
        self._pool.shutdown()

    def step(self, limit: int = 64) -> int:
        """Take up to `limit` ready effect jobs as far as they go; how many there were."""
        before_ns = time.clock_gettime_ns(_CLOCK)
        taken, cases, now_us = self._db.transaction(lambda tx: self._take(tx, limit))
        if not taken:
            return 0
        for case in cases:
            case.marked_ns = before_ns
        effect_trace.open_spans(cases)
        fault("effect.before_send")
        self._call([case for case in cases if not case.dropped], _send_or_ask)
        self._send_again(cases, now_us)
        fault("effect.after_send")
        answers = self._record(cases)
        fault("effect.after_record")
        self._db.transaction(lambda tx: self._put_down(tx, cases, answers))
        for case in cases:
            case.span.end()
        return taken

    # --- take ------------------------------------------------------------------------------------

    def _take(self, tx: Tx, limit: int) -> tuple[int, list[_Case], int]:
        """Lease jobs and mark their effects; what is final already is finished here."""
        jobs = self._jobs.claim_in(tx, [EFFECT], limit, self._owner)
        by_id = {str(json.loads(job.payload)["effect_id"]): job for job in jobs}
        effects = rows.lock_effects(tx, sorted(by_id)) if by_id else {}
        cases: list[_Case] = []
        final: list[Job] = []
        for effect_id, job in by_id.items():
            effect = effects.get(effect_id)
            if effect is None or find_recorder(effect) is None or effect.rail not in self._rails:
                logger.error("job %s: nobody here can do effect %s", job.job_id, effect_id)
                self._jobs.fail_in(tx, job, f"nobody here can do effect {effect_id}")
            elif effect.state in (EffectState.CONFIRMED, EffectState.REFUSED):
                final.append(job)
            else:
                cases.append(_case(job, effect, self._rails[effect.rail]))
        cases = self._hold_back(tx, cases)
        to_send = [(c.effect, c.fence) for c in cases if not _open(c) and not c.dropped]
        to_ask = [(c.effect, c.fence) for c in cases if _open(c)]
        marked = rows.mark_sent(tx, to_send) + rows.mark_asked(tx, to_ask)
        dropped = sum(case.dropped for case in cases)
        assert marked == len(cases) - dropped, "the job's fence is above the effect's"
        self._jobs.finish_many_in(tx, final)
        return len(jobs), cases, tx.now_us

    def _hold_back(self, tx: Tx, cases: Sequence[_Case]) -> list[_Case]:
        """Put down what would be sent while its switch is paused, its deal disputed, or a recovery
        not reconciled; asking goes on. A payout planned before money went back is dropped."""
        if all(_open(case) for case in cases):
            return list(cases)
        pauses, recovery = read_pauses(tx), read_recovery(tx)
        go_on: list[_Case] = []
        held: dict[str, list[_Case]] = {"paused": [], "recovery_parked": [], rows.DISPUTED: []}
        barred = rows.barred_payouts(tx, [case.effect for case in cases if not _open(case)])
        for case in cases:
            bar = barred.get(case.effect.effect_id)
            stopped = None if _open(case) else pauses.stops(EFFECT_SWITCH[case.effect.kind])
            if stopped is not None:
                held["paused"].append(case)
                self._look_again(tx, case, f"paused: {stopped}")
            elif recovery.parked and not _open(case):
                held["recovery_parked"].append(case)
                self._look_again(tx, case, "parked: recovered from a backup, not reconciled yet")
            elif bar == rows.DISPUTED:
                held[rows.DISPUTED].append(case)
                self._look_again(tx, case, "the deal is disputed")
            elif bar is not None and not recovery.asks_first:
                case.dropped = True
                case.outcome = RailOutcome(state="refused", code=bar)
                go_on.append(case)
            else:
                case.ask_first = recovery.asks_first
                lag_seconds = case.rail.lookup_lag_seconds
                case.denial_counts = recovery.settled_for(tx.now_us, lag_seconds)
                go_on.append(case)
        for why, waiting in held.items():
            effects = [case.effect for case in waiting]
            rows.mark_waiting(tx, effects, why, LOOK_AGAIN_SECONDS)
        return go_on

    def _look_again(self, tx: Tx, case: _Case, why: str) -> None:
        self._jobs.defer_in(tx, case.job, LOOK_AGAIN_SECONDS * SECOND_US, why)

    # --- call ------------------------------------------------------------------------------------

    def _call(self, cases: Sequence[_Case], what: Callable[[_Case], None]) -> None:
        """Do something with each case in the rail threads, keeping the leases meanwhile."""
        calls = [self._pool.submit(what, case) for case in cases]
        while True:
            running = wait(calls, timeout=self._jobs.lease_seconds / 3).not_done
            if not running:
                break
            self._jobs.renew([case.job for case in cases])
        for call in calls:
            call.result()

    def _send_again(self, cases: Sequence[_Case], now_us: int) -> None:
        """Send what the rail denies knowing, once it must know what it was sent."""
        denied = [
            case
            for case in cases
            if case.denied and now_us - case.sent_us >= case.rail.lookup_lag_seconds * SECOND_US
        ]
        if not denied:
            return

        def mark(tx: Tx) -> set[str]:
            pauses = read_pauses(tx)  # sending anew is sending: what is paused is asked about only
            if read_recovery(tx).parked:
                return set()
            barred = rows.barred_payouts(tx, [case.effect for case in denied])
            free = [
                case
                for case in denied
                if pauses.stops(EFFECT_SWITCH[case.effect.kind]) is None
                and barred.get(case.effect.effect_id) != rows.DISPUTED
            ]
            return rows.mark_sent_again(tx, [(case.effect, case.fence) for case in free])

        before_ns = time.clock_gettime_ns(_CLOCK)
        mine = self._db.transaction(mark)
        again = [case for case in denied if case.effect.effect_id in mine]
        for case in again:
            case.effect = replace(case.effect, state=EffectState.SENT)
            case.marked_ns = before_ns
        self._call(again, _send)

    # --- record ----------------------------------------------------------------------------------

    def _record(self, cases: Sequence[_Case]) -> dict[str, Answer]:
        """Have the engine book what the rails said; a silence already noted is not noted twice."""
        said = [c for c in cases if c.settled or c.effect.state is EffectState.SENT]
        try:
            traces = [case.span.traceparent for case in said]
            answers = self._engine.execute_all(
                [
                    record_of(case.effect, case.fence, case.outcome, dropped=case.dropped)
                    for case in said
                ],
                traces,
            )
        except SettlementError as refusal:  # shutting down: the next lease asks the rail
            answers = [Answer(error=refusal) for _ in said]
        return {case.effect.effect_id: a for case, a in zip(said, answers, strict=True)}

    def _put_down(self, tx: Tx, cases: Sequence[_Case], answers: Mapping[str, Answer]) -> None:
        """Finish the jobs, or plan the next question."""
        done: list[Job] = []
        for case in cases:
            answer = answers.get(case.effect.effect_id)
            error = answer.error if answer is not None else None
            with suppress(LeaseLost):  # somebody later holds it: stop quietly
                if isinstance(error, LeaseLost):
                    logger.info("effect %s was recorded by a later lease", case.effect.effect_id)
                elif error is not None:
                    self._jobs.fail_in(tx, case.job, str(error))
                elif case.settled:
                    done.append(case.job)
                else:
                    self._ask_later(tx, case)
        self._jobs.finish_many_in(tx, done)

    def _ask_later(self, tx: Tx, case: _Case) -> None:
        asked = case.effect.ask_count
        seconds = min(ASK_MAX_SECONDS, 1 << min(asked + 1, 16))
        self._jobs.defer_in(tx, case.job, seconds * SECOND_US, "outcome unknown: asking the rail")
        old = case.sent_us and tx.now_us - case.sent_us > ALARM_SECONDS * SECOND_US
        if old or asked >= ALARM_QUESTIONS:
            name = case.effect.effect_id
            logger.error("effect %s has been unknown for 15 minutes", name, extra=case.ids)


def _case(job: Job, effect: Effect, rail: Rail) -> _Case:
    sent_us = parse_time(effect.sent_at) if effect.sent_at else 0
    case = _Case(job, effect, rail, sent_us)
    if _open(case):
        asked = effect.ask_count + 1
        case.effect = replace(effect, state=EffectState.UNKNOWN, ask_count=asked)
    return case


def _open(case: _Case) -> bool:
    """True when the rail may have been asked for it already."""
    return case.effect.state in _OPEN


def _send_or_ask(case: _Case) -> None:
    if _open(case):
        _ask(case)
        return
    case.effect = replace(case.effect, state=EffectState.SENT)
    if case.ask_first:
        _ask(case)
        if case.settled or not case.denied:
            return  # it was done in the time that was lost, or nobody can say
        case.denied = False  # it is ours to send, once, and not again below
        if not case.denial_counts:
            return
    _send(case)


def _send(case: _Case) -> None:
    effect = case.effect
    if _overslept(case):
        logger.error("effect %s: too late to send under its mark; asking first", effect.effect_id)
        return
    request = RailRequest(
        kind=effect.kind,
        rail_key=rail_key(effect.obligation_key),
        obligation_key=effect.obligation_key,
        asset=effect.asset,
        amount_minor=effect.amount_minor,
        deal_id=effect.deal_id,
        destination=effect.destination,
    )
    _hear(case, "send", lambda: case.rail.send(request))


def _overslept(case: _Case) -> bool:
    """True when the rail may have forgotten the key of what was sent since this was marked.

    A process that was stopped between mark and call has lost its lease, and somebody else has sent.
    Within the rail's memory of keys that is harmless, the key is the same. Half of it is the limit,
    the other half is for a request on its way.
    """
    kept = case.rail.key_retention_seconds
    gone_ns = time.clock_gettime_ns(_CLOCK) - case.marked_ns
    return kept is not None and gone_ns >= kept * 1_000_000_000 // 2


def _ask(case: _Case) -> None:
    effect, key = case.effect, rail_key(case.effect.obligation_key)
    _hear(case, "ask", lambda: case.rail.ask(effect.kind, key, effect.destination))


def _hear(case: _Case, verb: str, call: Callable[[], RailAnswer | None]) -> None:
    """Note a rail's answer. Only a proof is one; everything else leaves the outcome unknown."""
    try:
        with within(effect_trace.call_span(case, verb)):
            answer = call()
    except RailSilent as silence:
        logger.warning("effect %s: %s", case.effect.effect_id, silence, extra=case.ids)
        return
    except Exception:
        name = case.effect.effect_id
        logger.exception("effect %s: the rail adapter failed", name, extra=case.ids)
        return
    if answer is None:
        case.denied = True
        return
    case.denied = False
    if not _is_ours(answer, case.effect):
        logger.error("effect %s: the rail knows its key for other money", case.effect.effect_id)
        return
    case.outcome = RailOutcome(state=answer.state, rail_ref=answer.rail_ref, code=answer.code)


def _is_ours(answer: RailAnswer, effect: Effect) -> bool:
    """A rail that names the money it moved names ours. After a recovery a deal may have been
    approved anew for another amount, and its obligation has the name of the one before."""
    if answer.amount_minor is None:
        return True
    return (answer.amount_minor, answer.asset) == (effect.amount_minor, effect.asset)
