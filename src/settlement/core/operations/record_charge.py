"""Record what the rail answered to a settle's charge, and finish that settle.

For: the effect job, after it called or asked the rail.
Guarantees: confirmed money is booked and the deal settled in one commit; a refusal returns the deal
to go_approved; a silent rail changes the effect's state only. A stale fence records nothing.
Does not: call the rail.

Spec §4.5 case 3, §6.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.operation import Call, Context, Decision
from settlement.core.state import Footprint, Needs, State

if TYPE_CHECKING:
    from settlement.core.operations.outcome import RailOutcome
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCharge:
    """A rail's answer about a charge."""

    name: ClassVar[str] = "record_charge"

    principal: Principal  # the system
    effect_id: str
    deal_id: str
    fence: int
    outcome: RailOutcome

    def call(self) -> Call:
        """No keys: fence and state of the effect make it happen once."""
        return Call(principal=self.principal, operation=self.name, deal_id=self.deal_id)

    def footprint(self) -> Footprint:
        """The deal, then the effect."""
        return Footprint(deals=(self.deal_id,), effects=(self.effect_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def needs(self, state: State, ctx: Context) -> Needs:
        """What the settle would have needed, plus clearing."""
        raise NotImplementedError

    def decide(self, state: State, ctx: Context) -> Decision:
        """Settle, return to go_approved, or note the silence."""
        raise NotImplementedError
