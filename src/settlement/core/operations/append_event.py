"""Append one event to a chain: spec §8.1's `EventStore.append`.

For: the event store, signed events and statements of callers.
Guarantees: an event id is on one chain once; the same content again answers the stored record;
a caller can add statements only, never what our own operations record.
Does not: move money; money events are written by the operation that moves it.

Spec §2.3, §8.1, contract §7. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.operation import Call, Context, Decision
from settlement.core.state import Footprint, Needs, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.canonical import Json
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendEvent:
    """A record to append; `event_id`, `timestamp`, `prev_hash`, `hash` are filled in."""

    name: ClassVar[str] = "append_event"

    principal: Principal
    record: Mapping[str, Json]
    expected_prev: str | None = None

    def call(self) -> Call:
        """No claim: the event id itself is the key."""
        return Call(principal=self.principal, operation=self.name, deal_id=self._deal_id())

    def _deal_id(self) -> str:
        return str(self.record["deal_id"])

    def footprint(self) -> Footprint:
        """The deal, if there is one."""
        return Footprint(deals=(self._deal_id(),))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def needs(self, state: State, ctx: Context) -> Needs:
        """The chain's head and whether the event id is taken."""
        raise NotImplementedError

    def decide(self, state: State, ctx: Context) -> Decision:
        """Append, or answer the stored record."""
        raise NotImplementedError
