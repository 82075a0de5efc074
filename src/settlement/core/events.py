"""Appending events to a chain.

For: every operation; nothing happens to a deal without its event.
Guarantees: an event is linked to the head it found, hashed over exactly the bytes stored, and has
its outbox message beside it. The envelope's amount is the payload's own.
Does not: write or read a store; a fork is refused there by the chain's key.

Spec §2.3, §8.1. Change colour: red (FORMAT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from settlement.core.canonical import EventTemplate, Json, payload_text
from settlement.core.event_types import EVENT_TYPES
from settlement.core.rows import Event, OutboxRow

if TYPE_CHECKING:
    from settlement.core.operation import Context
    from settlement.core.writeset import WriteSet

#: Sources of an event: who brought it about, as far as the envelope tells.
FROM_CALL: Final = "api"
FROM_RAIL: Final = "rail"
FROM_SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who an event is by, and by what right."""

    actor_id: str
    authority: str
    role: str | None = None
    source: str = FROM_CALL


class Chain:
    """The end of one chain while a decision appends to it."""

    __slots__ = (
        "_actor_id",
        "_ctx",
        "_template",
        "_writes",
        "deal_id",
        "head_hash",
        "types",
        "version",
    )

    def __init__(
        self, *, deal_id: str, version: int, head_hash: str, ctx: Context, writes: WriteSet
    ) -> None:
        self.deal_id = deal_id
        self.version = version
        self.head_hash = head_hash
        self.types: list[str] = []  # what this decision appended, in order
        self._ctx = ctx
        self._writes = writes
        self._actor_id: str | None = None
        self._template: EventTemplate | None = None

    def append(
        self,
        event_type: str,
        actor: Actor,
        payload: dict[str, Json],
        *,
        event_id: str | None = None,
        counterparty_id: str | None = None,
    ) -> Event:
        """Append one event of ours, and its outbox message."""
        known = EVENT_TYPES[event_type]
        payload["authority"] = actor.authority
        problem = known.problem(payload)
        assert problem is None, f"{event_type}: {problem}"
        amount = payload.get(known.amount) if known.amount else 0 if known.untold else None
        asset = payload.get("asset") if amount is not None else None
        return self.link(
            Submitted(
                event_id=event_id or self._ctx.ids.new("evt_"),
                event_type=event_type,
                actor_id=actor.actor_id,
                actor_role=actor.role,
                counterparty_id=counterparty_id,
                amount_minor=amount if isinstance(amount, int) else None,
                asset=asset if isinstance(asset, str) else None,
                source=actor.source,
                timestamp=self._ctx.now,
                payload=payload_text(payload),
            )
        )

    def link(self, submitted: Submitted) -> Event:
        """Link a complete record to the head; `append` is the way for events of ours."""
        digest = self._template_for(submitted).hash(
            submitted.event_id, submitted.event_type, submitted.payload, self.head_hash
        )
        event = Event(
            deal_id=self.deal_id,
            version=self.version,
            event_id=submitted.event_id,
            event_type=submitted.event_type,
            actor_id=submitted.actor_id,
            actor_role=submitted.actor_role,
            counterparty_id=submitted.counterparty_id,
            amount_minor=submitted.amount_minor,
            asset=submitted.asset,
            source=submitted.source,
            timestamp=submitted.timestamp,
            payload=submitted.payload,
            actor_signature=submitted.actor_signature,
            prev_hash=self.head_hash,
            hash=digest,
        )
        self.version += 1
        self.head_hash = digest
        self.types.append(event.event_type)
        self._writes.events.append(event)
        self._writes.outbox.append(
            OutboxRow(
                outbox_id=self._ctx.ids.new("obx_"),
                deal_id=self.deal_id,
                event_id=event.event_id,
                event_type=event.event_type,
                actor_id=event.actor_id,
                counterparty_id=event.counterparty_id,
                payload=None,
                source=event.source,
                timestamp=event.timestamp,
            )
        )
        return event

    def _template_for(self, submitted: Submitted) -> EventTemplate:
        if submitted.timestamp != self._ctx.now:
            # A caller's own time, used once.
            return EventTemplate(
                deal_id=self.deal_id,
                actor_id=submitted.actor_id,
                timestamp=submitted.timestamp,
            )
        if self._template is None or self._actor_id != submitted.actor_id:
            self._actor_id = submitted.actor_id
            self._template = EventTemplate(
                deal_id=self.deal_id, actor_id=submitted.actor_id, timestamp=self._ctx.now
            )
        return self._template


class Submitted(NamedTuple):
    """A record whose members are final but for its place in the chain; `payload` is J text."""

    event_id: str
    event_type: str
    actor_id: str
    actor_role: str | None
    counterparty_id: str | None
    amount_minor: int | None
    asset: str | None
    source: str
    timestamp: str
    payload: str
    actor_signature: str | None = None
