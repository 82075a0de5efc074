"""Pay a payee's net out to a rail: ask for it, and record what the rail answered.

For: POST /protocol/payouts, and the effect job.
Guarantees: one payout per deal and payee, the whole net; the money is held before the rail is
called and posted or freed only by the rail's word, so a silent rail keeps the hold.
Does not: call the rail.

Spec §4.6, §6.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.operation import Call, Context, Decision
from settlement.core.operations.keys import payout_key
from settlement.core.state import Footprint, Needs, State

if TYPE_CHECKING:
    from settlement.core.operations.outcome import RailOutcome
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPayout:
    """Ask for one payee's net of one deal."""

    name: ClassVar[str] = "payout"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    agent_id: str
    destination_id: str | None = None

    def call(self) -> Call:
        """Once per deal and payee: H1 with the action `payout` and `to`."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            derived=payout_key(self.deal_id, self.agent_id),
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Deal, payee and, if named, the destination."""
        named = {"deal_id": self.deal_id, "agent_id": self.agent_id}
        if self.destination_id is not None:
            named["destination_id"] = self.destination_id
        return named

    def needs(self, state: State, ctx: Context) -> Needs:
        """The settlement, the payee's account and destinations, and an earlier try."""
        raise NotImplementedError

    def decide(self, state: State, ctx: Context) -> Decision:
        """Hold the net and plan the effect."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPayout:
    """A rail's answer about a payout."""

    name: ClassVar[str] = "record_payout"

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
        """The payee's account, transit and clearing, and the payout."""
        raise NotImplementedError

    def decide(self, state: State, ctx: Context) -> Decision:
        """Post, free, or note the silence."""
        raise NotImplementedError
