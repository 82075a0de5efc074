"""GO: the buyer approves the quoted work, and the fee is pinned.

For: POST /protocol/go.
Guarantees: only who holds the current quote and the scope lock approves, never the seller's key;
fee policy, its hash, tier and volume are fixed here for the life of the deal (spec §3.2).
Does not: move money.

Spec §4.3, §4.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.operation import Call, Context, Decision
from settlement.core.operations.keys import once_per_deal
from settlement.core.state import Footprint, Needs, State

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Approval to pay."""

    name: ClassVar[str] = "go"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    quote_id: str
    scope_lock_hash: str
    amount_minor: int | None = None  # replaces the quoted price as approved gross
    actor_id: str | None = None

    def call(self) -> Call:
        """Once per deal: H1 with the action `go`."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            derived=once_per_deal(self.deal_id, self.name),
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Deal and amount; an amount equal to the one approved is the same as none named."""
        raise NotImplementedError

    def needs(self, state: State, ctx: Context) -> Needs:
        """The seller's volume."""
        raise NotImplementedError

    def decide(self, state: State, ctx: Context) -> Decision:
        """Pin gross and fee, bind the buyer, write GO_APPROVED."""
        raise NotImplementedError
