"""Settle: split the approved gross in our books, once per deal.

For: POST /protocol/settle and /protocol/settle/multi.
Guarantees: gross = platform fee + protocol fee + net, leg by leg; money in escrow or on the buyer's
own balance settles in one commit, and only a charge leaves an effect for the worker.
Does not: call a rail, or pay out.

Spec §4.4, §4.5. Change colour: red.
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
class Split:
    """One payee's part of a net; `share` is exact decimal text."""

    agent_id: str
    role: str
    share: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Close a deal. `splits` given: settle_multi; both share one claim."""

    name: ClassVar[str] = "settle"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    amount_minor: int | None = None
    actor_id: str | None = None
    counterparty_id: str | None = None
    to_agent: str | None = None
    provider: str | None = None
    proof_hash: str | None = None
    splits: tuple[Split, ...] | None = None

    def call(self) -> Call:
        """Once per deal: H1 with the action `settle`."""
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
        """Deal, payee or splits, amount, asset; an amount equal to the approved one is left out."""
        raise NotImplementedError

    def needs(self, state: State, ctx: Context) -> Needs:
        """Accounts, payees, receipts, volume and payout destinations."""
        raise NotImplementedError

    def decide(self, state: State, ctx: Context) -> Decision:
        """Decide by the first source of money that applies."""
        raise NotImplementedError
