"""The procedure of one batch: lock, read, replay or decide, write. One call is one transaction.

For: the engine, which runs it in the store's transaction, again if the store asks.
Guarantees: a call whose claim is found is answered from it and decides nothing; a refusal changes
nothing and is remembered only under a key the caller sent; a fault in one decision is that
operation's alone. Operations are decided in order, each on the state its predecessors left.
Does not: commit, answer anybody, or read claims before the deals are locked (docs/decisions/0009).

Spec §1.6, §6.1, §6.2, §17.3. Change colour: red.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from settlement.core.canonical import k_bytes, sha256_hex
from settlement.core.errors import (
    AlreadyDecided,
    IdempotencyMismatch,
    InternalFault,
    Kind,
    Paused,
    Retry,
    SettlementError,
)
from settlement.core.rows import Claim, DealState
from settlement.core.state import Footprint, State, merge_needs
from settlement.core.writeset import WriteSet
from settlement.faults import fault
from settlement.service.answers import (
    DONE,
    RUNNING,
    Answer,
    ClaimKey,
    answer_from,
    done_text,
    key_of,
    planned_text,
    refused_text,
)
from settlement.service.jobs import carrying
from settlement.service.limiting import Counts, keys_of
from settlement.service.moments import Moments
from settlement.store.loading import load_claims, load_footprint, load_needs
from settlement.store.pauses import Pauses, Switch, read_pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from settlement.core.limits import Standing
    from settlement.core.operation import Context, Decision, Rules
    from settlement.core.state import Needs
    from settlement.service.tickets import Ticket
    from settlement.store.database import Tx
    from settlement.store.limits import LimitKey

logger = logging.getLogger(__name__)

#: Refusals that say nothing about the request: repeating it under the same key must try again.
_NOT_REMEMBERED: Final = frozenset(
    {Kind.UNAUTHENTICATED, Kind.EXHAUSTED, Kind.UNAVAILABLE, Kind.CORRUPT}
)
#: What a new call hangs on, by the operation of its claim (spec §17.3).
_SWITCHES: Final = {
    "go": Switch.GO.value,
    "auto_go": Switch.GO.value,
    "settle": Switch.SETTLE.value,
    "settle_multi": Switch.SETTLE.value,
    "topup": Switch.SETTLE.value,
    "payout": Switch.PAYOUT.value,
    "create_intent": Switch.EXCHANGE.value,
    "place_bid": Switch.EXCHANGE.value,
    "close_intent": Switch.EXCHANGE.value,
}
#: What hangs on nothing but what it would approve.
_APPROVES_AT_MOST: Final = frozenset({"acceptance"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """Answers in the order of the tickets, and everything that was written."""

    answers: list[Answer]
    writes: WriteSet


def _merged_footprint(tickets: Sequence[Ticket]) -> Footprint:
    deals = {deal_id for t in tickets for deal_id in t.footprint.deals}
    effects = {effect_id for t in tickets for effect_id in t.footprint.effects}
    mandates = {mandate_id for t in tickets for mandate_id in t.footprint.mandates}
    return Footprint(
        deals=tuple(sorted(deals)),
        effects=tuple(sorted(effects)),
        mandates=tuple(sorted(mandates)),
    )


def run(
    tx: Tx, tickets: Sequence[Ticket], rules: Rules, entropy: Callable[[], bytes]
) -> BatchResult:
    """Run a batch inside a transaction.

    Locks deals, effects, callers' limits, then accounts, each in the order of its key.
    """
    batch = _Batch(tx, rules, entropy)
    batch.load(tickets)
    answers = [batch.answer(ticket) for ticket in tickets]
    fault("engine.before_write")
    batch.writes.limits.extend(batch.counts.changed())
    if not batch.writes.is_empty():
        tx.write(batch.writes)
    fault("engine.before_commit")
    return BatchResult(answers=answers, writes=batch.writes)


@dataclass(slots=True)
class _Batch:
    tx: Tx
    rules: Rules
    entropy: Callable[[], bytes]
    state: State = field(default_factory=State)
    claims: dict[ClaimKey, Claim] = field(default_factory=dict)
    writes: WriteSet = field(default_factory=WriteSet)
    needs: dict[int, Needs] = field(default_factory=dict)
    pauses: Pauses | None = None
    moments: Moments = field(init=False)
    #: Tickets that are answered without a decision, by identity.
    settled: dict[int, Answer] = field(default_factory=dict)
    counts: Counts = field(init=False)
    #: How callers stand, and who can only be counted after an earlier call of the batch; likewise.
    standings: dict[int, Standing | None] = field(default_factory=dict)
    followers: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.counts = Counts(self.tx)
        self.moments = Moments(self.tx, self.rules, self.entropy)

    def _context(self, ticket: Ticket) -> Context:
        return self.moments.of(self.state, ticket.footprint, self.needs.get(id(ticket)))

    # --- load ------------------------------------------------------------------------------------

    def load(self, tickets: Sequence[Ticket]) -> None:
        """Lock deals and effects, read claims, lock limits, read what the undecided ones need."""
        load_footprint(self.tx, _merged_footprint(tickets), self.state)
        keys = {key for t in tickets for key in (t.sent, t.derived) if key is not None}
        if keys:
            self.claims = dict(load_claims(self.tx, sorted(keys)))
        self.counts.load(self._limits(tickets))
        for ticket in tickets:
            answer = self._guarded(ticket, self._look_up) or self._guarded(ticket, self._begin)
            if answer is not None:
                self.settled[id(ticket)] = answer
        if self.needs:
            load_needs(self.tx, merge_needs(self.needs.values()), self.state)

    def _limits(self, tickets: Sequence[Ticket]) -> Iterator[LimitKey]:
        """The rows these calls may be counted in; marks who may turn out to be a replay."""
        seen: set[ClaimKey] = set()
        for ticket in tickets:
            own = {key for key in (ticket.sent, ticket.derived) if key is not None}
            if not seen.isdisjoint(own):
                self.followers.add(id(ticket))
            seen |= own
            if ticket.charge is not None:
                found = not own.isdisjoint(self.claims)
                follows = id(ticket) in self.followers
                yield from keys_of(ticket.charge, maybe_again=follows, surely_again=found)

    def _count(self, ticket: Ticket, *, again: bool) -> None:
        """Count a call, once; raises RateLimited, of which nothing is stored."""
        if ticket.charge is not None and id(ticket) not in self.standings:
            self.standings[id(ticket)] = self.counts.take(ticket.charge, again=again)

    def _begin(self, ticket: Ticket) -> None:
        """Checks 7 and 8, limit and pause, come after the replay (6) and before any decision."""
        if id(ticket) not in self.followers:
            self._count(ticket, again=False)
        switches = self._switches(ticket)
        if switches:
            if self.pauses is None:  # once per batch, and not at all for a batch of replays
                self.pauses = read_pauses(self.tx)
            stopped = self.pauses.stops(*switches)
            if stopped is not None:
                raise Paused(switch=stopped)
        self.needs[id(ticket)] = ticket.op.needs(self.state, self._context(ticket))

    def _switches(self, ticket: Ticket) -> tuple[str, ...]:
        operation = ticket.call.operation
        if operation in _APPROVES_AT_MOST:
            return self._approves(ticket)
        switch = _SWITCHES.get(operation)
        return () if switch is None else (switch, *self._approves(ticket))

    def _approves(self, ticket: Ticket) -> tuple[str, ...]:
        """What settles or accepts a deal that waits for its GO would be the GO too."""
        deal = self.state.deals.get(ticket.call.deal_id or "")
        waits = deal is not None and deal.state == DealState.PROOF_READY
        return (Switch.GO.value,) if waits else ()

    # --- answer ----------------------------------------------------------------------------------

    def answer(self, ticket: Ticket) -> Answer:
        """The stored outcome, or a new one, and how the caller stands."""
        answer = self._answer(ticket)
        stands = self.standings.get(id(ticket))
        return answer if stands is None else replace(answer, standing=stands)

    def _answer(self, ticket: Ticket) -> Answer:
        settled = self.settled.get(id(ticket))
        if settled is not None:
            return settled
        # Looked up once more: the same call may have been decided earlier in this batch.
        answer = self._guarded(ticket, self._look_up) or self._guarded(ticket, self._decide)
        assert answer is not None, "a decision answers"
        return answer

    def _guarded(self, ticket: Ticket, step: Callable[[Ticket], Answer | None]) -> Answer | None:
        """Run a step of one ticket; whatever it raises concerns that ticket only."""
        try:
            return step(ticket)
        except SettlementError as refusal:
            return self._refused(ticket, refusal)
        except Exception:
            # A programmer's error: nothing of this decision was applied, the others stand.
            reference = self.entropy().hex()[:16]
            logger.exception("fault %s in %s", reference, ticket.op.name)
            return Answer(error=InternalFault(reference=reference), key=ticket.key)

    # --- claims ----------------------------------------------------------------------------------

    def _look_up(self, ticket: Ticket) -> Answer | None:
        """The replay of a claim that is there, or the refusal it calls for; None: not yet done."""
        if ticket.refusal is not None:
            return Answer(error=ticket.refusal, key=ticket.key)
        sent = self.claims.get(ticket.sent) if ticket.sent is not None else None
        if sent is not None:
            self._count(ticket, again=True)
            claim = self._target(sent)
            where = self._difference(ticket, claim)
            if where is not None:
                return Answer(error=IdempotencyMismatch(field=where), key=ticket.key)
            return answer_from(claim.outcome, replay_of=claim, key=ticket.key)
        claim_by_deal = self.claims.get(ticket.derived) if ticket.derived is not None else None
        if claim_by_deal is None:
            return None
        self._count(ticket, again=True)
        where = self._difference(ticket, claim_by_deal)
        if where is not None:
            deal_id = claim_by_deal.deal_id or ""
            error = AlreadyDecided(operation=claim_by_deal.operation, deal_id=deal_id, field=where)
            return Answer(error=error, key=ticket.key)
        if ticket.sent is not None:
            self._claim(self._row(ticket, ticket.sent, alias=True))
        return answer_from(claim_by_deal.outcome, replay_of=claim_by_deal, key=ticket.key)

    def _target(self, sent: Claim) -> Claim:
        """The claim that a sent key is a second name of, or itself."""
        if sent.target_scope is None or sent.target_key is None:
            return sent
        return self.claims.get((sent.target_scope, sent.operation, sent.target_key), sent)

    def _difference(self, ticket: Ticket, claim: Claim) -> str | None:
        """First argument, by name, in which the call differs from what the claim was taken for.

        Of a once-per-deal call only what it names counts: a repeat may leave out what the deal
        knows. A key that stands for nothing but its call stands for all of it.
        """
        named = self._args(ticket)
        stored: dict[str, Any] = msgspec.json.decode(claim.args)
        derived = ticket.call.derived
        if derived is not None:
            named = {**named, "deal_id": derived.deal_id}
            stored = {**stored, "deal_id": claim.deal_id}
        names = named.keys() if derived is not None else named.keys() | stored.keys()
        for name in sorted(names):
            if stored.get(name) != named.get(name):
                return name
        return None

    def _args(self, ticket: Ticket) -> dict[str, Any]:
        deal_id = ticket.call.deal_id
        known = deal_id is not None and deal_id in self.state.deals
        deal = self.state.deals[deal_id] if known and deal_id is not None else None
        args = ticket.op.args(deal)
        return {name: value for name, value in args.items() if value is not None}

    def _row(
        self,
        ticket: Ticket,
        key: ClaimKey,
        *,
        outcome: str | None = None,
        alias: bool = False,
        running: bool = False,
    ) -> Claim:
        """A claim row of this call; an alias holds no outcome but points to the derived claim."""
        args = self._args(ticket)
        text = k_bytes(args).decode()
        derived, now = ticket.derived, self._context(ticket).now
        return Claim(
            scope=key[0],
            operation=key[1],
            key=key[2],
            key_digest=self._key_digest(ticket, key),
            principal=ticket.call.principal.id,
            deal_id=ticket.call.deal_id,
            args=text,
            fingerprint=sha256_hex(f'{{"args":{text},"op":"{key[1]}"}}'),
            state=RUNNING if running else DONE,
            phase="alias" if alias else "effect" if running else "finished",
            fence=0,
            outcome=outcome,
            target_scope=derived[0] if alias and derived is not None else None,
            target_key=derived[2] if alias and derived is not None else None,
            first_seen=now,
            finished_at=None if running else now,
        )

    def _key_digest(self, ticket: Ticket, key: ClaimKey) -> str:
        derived = ticket.call.derived
        if derived is not None and key == ticket.derived:
            return derived.digest
        return sha256_hex(key[2])

    def _claim(self, row: Claim) -> None:
        self.claims[key_of(row)] = row
        self.writes.claims.append(row)

    # --- decide ----------------------------------------------------------------------------------

    def _decide(self, ticket: Ticket) -> Answer:
        """Run the decision, make its writes visible to the next ones, take its claims."""
        self._count(ticket, again=False)
        decision: Decision = ticket.op.decide(self.state, self._context(ticket))
        rows = list(self._rows_of(ticket, decision))
        # ---- point of no return: construction only
        if ticket.trace:
            jobs = decision.writes.jobs
            jobs[:] = [carrying(job, ticket.trace) for job in jobs]
        self.state.apply(decision.writes)
        self.writes.extend(decision.writes)
        for row in rows:
            self._claim(row)
        return Answer(
            result=decision.result,
            running=decision.pending,
            claim=ticket.derived or ticket.sent,
            key=ticket.key,
        )

    def _rows_of(self, ticket: Ticket, decision: Decision) -> Iterator[Claim]:
        main = ticket.derived or ticket.sent
        if main is None:
            assert not decision.pending, "a call that waits for a rail takes a claim"
            return
        result, running = decision.result, decision.pending
        if not decision.decides and ticket.derived is not None:
            # Kept under the derived key, an answer of "not yet" would bar the deal for ever.
            if ticket.sent is not None:
                yield self._row(ticket, ticket.sent, outcome=done_text(result))
            return
        text = planned_text(result) if running else done_text(result)
        yield self._row(ticket, main, outcome=text, running=running)
        if ticket.derived is not None and ticket.sent is not None:
            yield self._row(ticket, ticket.sent, alias=True)

    def _refused(self, ticket: Ticket, refusal: SettlementError) -> Answer:
        """A refusal; remembered under a sent key only, or a call too early would bar the deal."""
        answer = Answer(error=refusal, claim=ticket.sent, key=ticket.key)
        remembered = refusal.kind not in _NOT_REMEMBERED and refusal.retry is not Retry.SAME_KEY
        if ticket.sent is None or not remembered or ticket.sent in self.claims:
            return answer
        try:
            self._claim(self._row(ticket, ticket.sent, outcome=refused_text(refusal)))
        except SettlementError:
            logger.debug("the refused call has no canonical arguments, so nothing is remembered")
        return answer
