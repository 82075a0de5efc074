"""A small operation of the tests' own, and engines to run it: the engine without the money.

`Note` makes a deal and appends events to it, and misbehaves on request. It writes what every
operation writes (events, deal, claims), so it meets the store's rules like any other.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.errors import Busy, ChainConflict, QuoteMismatch
from settlement.core.events import Chain, Submitted
from settlement.core.operation import Call, Context, Decision, Rules
from settlement.core.operations._common import change_deal
from settlement.core.operations.keys import once_per_deal
from settlement.core.principal import SYSTEM, Principal, PrincipalKind
from settlement.core.rows import Deal, Party
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import ClaimFinish, WriteSet
from settlement.service.engine import Engine
from settlement.store.database import open_database
from tests.store import make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from settlement.core.clock import Clock
    from settlement.store.database import Database


def agent(agent_id: str) -> Principal:
    return Principal(kind=PrincipalKind.AGENT, agent_id=agent_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Append one event. `once`: it happens once per deal, under a derived key."""

    name: ClassVar[str] = "note"

    deal_id: str
    text: str | None = "a"
    amount_minor: int | None = None
    principal: Principal = SYSTEM
    sent_key: str | None = None
    once: bool = False
    does: str = "append"  # append | refuse | refuse_later | busy | bug | unforeseen | wait
    deciding: Callable[[], None] = lambda: None

    def call(self) -> Call:
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            derived=once_per_deal(self.deal_id, self.name) if self.once else None,
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        return {"text": self.text, "amount_minor": self.amount_minor, "deal_id": self.deal_id}

    def needs(self, state: State, ctx: Context) -> Needs:
        return Needs()

    def decide(self, state: State, ctx: Context) -> Decision:
        self.deciding()
        if self.does == "refuse":
            raise QuoteMismatch(deal_id=self.deal_id)
        if self.does == "refuse_later":
            raise ChainConflict(deal_id=self.deal_id, head="")
        if self.does == "busy":
            raise Busy
        if self.does == "bug":
            return Decision(
                result={"found": state.agents["agent_not_asked_for"]}, writes=WriteSet()
            )
        writes = WriteSet()
        deal = state.deals[self.deal_id]
        version = _append(self.deal_id, deal, ctx, writes)
        if self.does == "unforeseen":
            writes.parties.append(
                Party(deal_id=self.deal_id, agent_id="agent_nobody", role="seller")
            )
        result = {"deal_id": self.deal_id, "version": version, "text": self.text}
        return Decision(result=result, writes=writes, pending=self.does == "wait")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishNote:
    """Finish the claim of a note that waits."""

    name: ClassVar[str] = "finish_note"

    deal_id: str
    outcome: str = '{"result":{"said":"yes"}}'
    release: bool = False

    def call(self) -> Call:
        return Call(principal=SYSTEM, operation=self.name, deal_id=self.deal_id)

    def footprint(self) -> Footprint:
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        return {}

    def needs(self, state: State, ctx: Context) -> Needs:
        return Needs()

    def decide(self, state: State, ctx: Context) -> Decision:
        derived = once_per_deal(self.deal_id, Note.name)
        finish = ClaimFinish(
            scope=derived.scope,
            operation=derived.operation,
            key=derived.key,
            outcome=self.outcome,
            finished_at=ctx.now,
            release=self.release,
        )
        writes = WriteSet(claims_finished=[finish])
        _append(self.deal_id, state.deals[self.deal_id], ctx, writes)
        return Decision(result={}, writes=writes)


def _append(deal_id: str, deal: Deal | None, ctx: Context, writes: WriteSet) -> int:
    if deal is None:
        deal = make.deal(deal_id)
        chain = Chain(deal_id=deal_id, version=0, head_hash="", ctx=ctx, writes=writes)
        writes.deals_new.append(deal)
    else:
        chain = Chain(
            deal_id=deal_id,
            version=deal.version,
            head_hash=deal.head_hash,
            ctx=ctx,
            writes=writes,
        )
    version = chain.version
    chain.link(
        Submitted(
            event_id=ctx.ids.new("evt_"),
            event_type="NOTE",
            actor_id="agent_notes",
            actor_role=None,
            counterparty_id=None,
            amount_minor=None,
            asset=None,
            source="test",
            timestamp=ctx.now,
            payload="{}",
        )
    )
    change_deal(writes, deal, chain, ctx.now)
    return version


# --- databases and engines -----------------------------------------------------------------------


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_us: int = 1_800_000_000_000_000) -> None:
        self.us = now_us

    def now_us(self) -> int:
        return self.us

    def advance(self, seconds: int) -> None:
        self.us += seconds * 1_000_000


@contextmanager
def opened(url: str, clock: Clock | None = None) -> Iterator[Database]:
    """A database brought up to date, closed at the end."""
    db = open_database(url, clock)
    try:
        db.migrate()
        yield db
    finally:
        db.close()


def new_engine(db: Database, **settings: Any) -> Engine:
    """An engine that is not started: `execute` runs in the calling thread."""
    return Engine(db, Rules(), entropy=lambda: os.urandom(16), **settings)


@contextmanager
def running(db: Database, **settings: Any) -> Iterator[Engine]:
    """A started engine, closed at the end."""
    engine = new_engine(db, **settings)
    engine.start()
    try:
        yield engine
    finally:
        engine.close()


def versions(db: Database, deal_id: str) -> list[int]:
    """The versions of a deal's events."""
    events = db.read(lambda tx: tx.all("chain_events", deal_id=deal_id))
    return [event["version"] for event in events]


def until(condition: Callable[[], bool], seconds: int = 20) -> None:
    """Give other threads their turn until something is so; fail when it never is."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        os.sched_yield()
