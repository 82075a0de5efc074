"""Append one event to a chain: spec §8.1's `EventStore.append`.

For: the event store, signed events and statements of callers.
Guarantees: an event id is on one chain once; the same content again answers the stored record;
a caller can add statements only, never what our own operations record.
Does not: move money; money events are written by the operation that moves it.

Spec §2.3, §8.1, contract §7. Change colour: red.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.canonical import j_text, payload_text
from settlement.core.errors import (
    ChainConflict,
    DealNotFound,
    IdempotencyConflict,
    InvalidField,
    PartyMismatch,
)
from settlement.core.event_types import check_numbers, check_statement
from settlement.core.events import FROM_CALL, Chain, Submitted
from settlement.core.ids import SYSTEM_PREFIX, EventId
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import acting_id, change_deal, role_of
from settlement.core.principal import PrincipalKind
from settlement.core.state import ChainHead, Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.canonical import Json
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal, Event

_RFC3339: Final = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,9})?"
    r"(Z|[+-][0-2][0-9]:[0-5][0-9])"
)
#: What makes two submissions one: all but the timestamp, which may have been filled in.
_SUBMITTED: Final = (
    "event_type",
    "actor_id",
    "actor_role",
    "counterparty_id",
    "amount_minor",
    "asset",
    "source",
    "payload",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendEvent:
    """A record to append; `event_id`, `timestamp`, `prev_hash`, `hash` are filled in."""

    name: ClassVar[str] = "append_event"

    principal: Principal
    record: Mapping[str, Json]
    expected_prev: str | None = None

    def call(self) -> Call:
        """No claim: the event id itself is the key."""
        return Call(principal=self.principal, operation=self.name, deal_id=self._text("deal_id"))

    def _text(self, name: str) -> str:
        value = self.record.get(name)
        return value if isinstance(value, str) else ""

    def _text_or_none(self, name: str) -> str | None:
        return self._text(name) or None

    def footprint(self) -> Footprint:
        """The deal, if there is one."""
        return Footprint(deals=(self._text("deal_id"),))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def needs(self, state: State, ctx: Context) -> Needs:
        """The chain's head and whether the event id is taken."""
        event_id, deal_id = self._text("event_id"), self._text("deal_id")
        return Needs(
            events=(event_id,) if event_id else (),
            chains=(deal_id,) if state.deals[deal_id] is None else (),
            parties=(deal_id,) if self._is_statement() else (),
        )

    def _is_statement(self) -> bool:
        """Everybody but the system itself can only state things."""
        return self.principal.kind is not PrincipalKind.SYSTEM

    def decide(self, state: State, ctx: Context) -> Decision:
        """Append, or answer the stored record."""
        # 5 schema
        payload = self._check_form()
        # 9 existence, 10 party
        deal_id = self._text("deal_id")
        deal = state.deals[deal_id]
        if self._is_statement():
            self._check_party(state, deal)
        submitted = self._submitted(payload, ctx)
        # 11 state: an id taken by the same content is that event; else the head must be expected
        stored = state.events[submitted.event_id] if self._text("event_id") else None
        if stored is not None:
            if not self._is_same(stored, submitted):
                raise IdempotencyConflict(event_id=submitted.event_id)
            return Decision(result=event_record(stored, appended=False), writes=WriteSet())
        head = self._head(state, deal)
        if self.expected_prev is not None and self.expected_prev != head.head_hash:
            raise ChainConflict(deal_id=deal_id, head=head.head_hash)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        chain = Chain(
            deal_id=deal_id,
            version=head.version,
            head_hash=head.head_hash,
            ctx=ctx,
            writes=writes,
        )
        event = chain.link(submitted)
        if deal is not None:
            change_deal(writes, deal, chain, ctx.now)
        return Decision(result=event_record(event, appended=True), writes=writes)

    def _check_form(self) -> Mapping[str, Json]:
        payload = self.record.get("payload")
        payload = {} if payload is None else payload
        if not isinstance(payload, Mapping):
            raise InvalidField(field="payload", reason="must be an object")
        for name in ("deal_id", "event_type"):
            if not self._text(name):
                raise InvalidField(field=name, reason="must be text that is not empty")
        if self._text("timestamp") and not _RFC3339.fullmatch(self._text("timestamp")):
            raise InvalidField(field="timestamp", reason="must be an RFC 3339 time")
        if self._text("timestamp") and self._text("deal_id").startswith(SYSTEM_PREFIX):
            # What is decided next on such a stream is stamped after it.
            raise InvalidField(field="timestamp", reason="is given by us on a stream of ours")
        if self._text("event_id"):
            EventId.parse(self._text("event_id"), "event_id")
        if self._is_statement():
            check_statement(self._text("event_type"), payload)
        check_numbers(payload)
        return payload

    def _check_party(self, state: State, deal: Deal | None) -> None:
        """A statement is made by a party of the deal, or by an operator."""
        if deal is None:
            raise DealNotFound(deal_id=self._text("deal_id"))
        own = self.principal.agent_id
        if self.principal.is_operator or role_of(deal, own) is not None:
            return
        if not any(agent == own for agent, _ in state.parties[deal.deal_id]):
            raise PartyMismatch(deal_id=deal.deal_id)

    def _head(self, state: State, deal: Deal | None) -> ChainHead:
        if deal is not None:
            return ChainHead(version=deal.version, head_hash=deal.head_hash, at=deal.updated_at)
        return state.chains[self._text("deal_id")]

    def _submitted(self, payload: Mapping[str, Json], ctx: Context) -> Submitted:
        amount = self.record.get("amount_minor")
        signature = self.record.get("actor_signature")
        return Submitted(
            event_id=self._text("event_id") or ctx.ids.new("evt_"),
            event_type=self._text("event_type"),
            actor_id=acting_id(self.principal, self._text_or_none("actor_id")),
            actor_role=self._text_or_none("actor_role"),
            counterparty_id=self._text_or_none("counterparty_id"),
            amount_minor=amount if type(amount) is int else None,
            asset=self._text_or_none("asset"),
            source=self._text("source") or FROM_CALL,
            timestamp=self._text("timestamp") or ctx.now,
            payload=payload_text(payload),
            actor_signature=j_text(signature) if signature is not None else None,
        )

    def _is_same(self, stored: Event, submitted: Submitted) -> bool:
        """Compare what was submitted; place in the chain, and a time we chose, are ours."""
        if self._text("timestamp") and stored.timestamp != submitted.timestamp:
            return False
        if stored.deal_id != self._text("deal_id"):
            return False
        return all(getattr(stored, name) == getattr(submitted, name) for name in _SUBMITTED)


def event_record(event: Event, *, appended: bool) -> dict[str, Any]:
    """An event as the event store answers it, which says itself whether it was there already."""
    return {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "deal_id": event.deal_id,
        "actor_id": event.actor_id,
        "timestamp": event.timestamp,
        "payload": json.loads(event.payload),
        "prev_hash": event.prev_hash,
        "hash": event.hash,
        "version": event.version,
        "actor_role": event.actor_role,
        "counterparty_id": event.counterparty_id,
        "amount_minor": event.amount_minor,
        "asset": event.asset,
        "source": event.source,
        "_idempotent": not appended,
    }
