"""One operation in hand: its keys and deals, worked out once, in the thread of the caller.

For: the engine, which queues tickets, and the batch procedure, which runs them.
Guarantees: `choose` takes tickets in the order of arrival, at most one running operation per deal;
identical calls ride along with the first. What it leaves keeps its order, and a deal left once is
left for the rest of the pass, so no later call overtakes an earlier one of the same deal.
Does not: touch the database.

Spec §6.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from settlement import tracing
from settlement.core.errors import DerivedKeyReserved, SettlementError
from settlement.core.principal import PrincipalKind

if TYPE_CHECKING:
    from collections import deque

    from settlement.core.limits import Charge
    from settlement.core.operation import Call, Operation
    from settlement.core.state import Footprint
    from settlement.service.answers import ClaimKey

DERIVED_PREFIX: Final = "idem_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An operation with the claims it takes. `sent` is None when nobody but us chose a key."""

    op: Operation
    call: Call
    footprint: Footprint
    sent: ClaimKey | None
    derived: ClaimKey | None
    refusal: SettlementError | None = None
    #: What the call is counted as; None for our own.
    charge: Charge | None = None
    #: The trace it belongs to, as a parent; "" for none.
    trace: str = ""

    @property
    def key(self) -> str | None:
        """The key to show to the caller."""
        if self.derived is not None:
            return self.derived[2]
        return self.sent[2] if self.sent is not None else None

    def same_call(self, other: Ticket) -> bool:
        """True when both take one claim, so one of them is the other's replay."""
        return (self.derived is not None and self.derived == other.derived) or (
            self.sent is not None and self.sent == other.sent
        )


def make_ticket(op: Operation, charge: Charge | None = None, trace: str = "") -> Ticket:
    """Ask an operation for its keys and deals; it goes on in that trace, or the caller's own."""
    call = op.call()
    derived = call.derived
    wire = derived.key if derived is not None else None
    sent_key = None if call.principal.kind is PrincipalKind.ANONYMOUS else call.sent_key
    refusal: SettlementError | None = None
    if sent_key is not None and sent_key == wire:
        sent_key = None  # the derived key by its name: not a second one
    elif sent_key is not None and sent_key.startswith(DERIVED_PREFIX):
        refusal = DerivedKeyReserved(expected=wire or "")
    return Ticket(
        op=op,
        call=call,
        footprint=op.footprint(),
        sent=(call.principal.id, call.operation, sent_key) if sent_key is not None else None,
        derived=(derived.scope, derived.operation, derived.key) if derived is not None else None,
        refusal=refusal,
        charge=charge,
        trace=trace or tracing.current(),
    )


class HasTicket(Protocol):
    """Whatever waits in the queue with a ticket."""

    @property
    def ticket(self) -> Ticket: ...


W = TypeVar("W", bound=HasTicket)


def choose(waiting: deque[W], limit: int) -> list[W]:
    """Take the next batch out of the waiting ones; the rest stay, in order of arrival."""
    taken: list[W] = []
    left: list[W] = []
    runners: dict[str, Ticket | None] = {}  # deal -> who runs on it; None: left, so blocked
    while waiting and len(taken) < limit:
        item = waiting.popleft()
        ticket = item.ticket
        deals = ticket.footprint.deals
        if _may_join(ticket, runners):
            taken.append(item)
            for deal_id in deals:
                runners.setdefault(deal_id, ticket)
        else:
            left.append(item)
            for deal_id in deals:
                runners.setdefault(deal_id, None)
    waiting.extendleft(reversed(left))
    return taken


def _may_join(ticket: Ticket, runners: dict[str, Ticket | None]) -> bool:
    for deal_id in ticket.footprint.deals:
        if deal_id in runners:
            runner = runners[deal_id]
            if runner is None or not ticket.same_call(runner):
                return False
    return True
