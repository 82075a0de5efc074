"""Record money paid from outside into a deal's escrow.

For: the inbox job, after a rail's message was verified.
Guarantees: one message of a rail is booked once; the whole amount is booked, whatever it is.
Does not: settle; the escrow waits for the settle.

Spec §4.5 case 1, §10.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.operation import Call, Context, Decision
from settlement.core.state import Footprint, Needs, State

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPayment:
    """A charge that a rail says has been captured."""

    name: ClassVar[str] = "record_payment"

    principal: Principal  # the system
    deal_id: str
    amount_minor: int
    rail: str
    rail_ref: str
    message_id: str

    def call(self) -> Call:
        """One message, one booking: rail and message id are the key."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=f"{self.rail}:{self.message_id}",
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """What was paid."""
        return {
            "deal_id": self.deal_id,
            "amount_minor": self.amount_minor,
            "rail": self.rail,
            "rail_ref": self.rail_ref,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """Clearing and escrow."""
        raise NotImplementedError

    def decide(self, state: State, ctx: Context) -> Decision:
        """Book the charge with PAYMENT_AUTHORIZED."""
        raise NotImplementedError
