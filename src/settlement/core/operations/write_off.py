"""Write off what an agent owes and will not pay.

For: `settlement ledger write-off`, by an operator.
Guarantees: never more than is owed; who did it and the digest of why stay on the agent's stream.
Does not: happen by itself. Debts are taken out of later income first (`recovering.py`).

Spec §5.2. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.accounts import WRITE_OFF, receivable_account
from settlement.core.errors import AgentNotFound, NotOwner, OverWriteOff
from settlement.core.events import Actor, Chain
from settlement.core.ids import system_stream
from settlement.core.ledger import Books
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations.recovering import owed_by
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOff:
    """Forgive a part of a debt, or all of it."""

    name: ClassVar[str] = "write_off"

    principal: Principal
    sent_key: str | None = None
    agent_id: str
    asset: str
    amount_minor: int
    operator: str
    reason_hash: str

    def call(self) -> Call:
        """Only a sent key makes two calls one."""
        return Call(principal=self.principal, operation=self.name, sent_key=self.sent_key)

    def footprint(self) -> Footprint:
        """No deal: the debt's account is the lock."""
        return Footprint()

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Whose debt, and how much of it."""
        return {
            "agent_id": self.agent_id,
            "asset": self.asset,
            "amount_minor": self.amount_minor,
            "reason_hash": self.reason_hash,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """The agent, the debt, and the agent's stream."""
        refs = (receivable_account(self.agent_id).ref, WRITE_OFF.ref)
        return Needs(
            agents=(self.agent_id,),
            chains=(system_stream(self.agent_id),),
            accounts=tuple((ref, self.asset) for ref in refs),
        )

    def decide(self, state: State, ctx: Context) -> Decision:
        """Book the loss."""
        # 9 existence, 10 party
        if state.agents[self.agent_id] is None:
            raise AgentNotFound(agent_id=self.agent_id)
        if not self.principal.is_operator:
            raise NotOwner(owner_id=self.agent_id)
        # 12 amount
        owed = owed_by(state, self.agent_id, self.asset)
        if not 0 < self.amount_minor <= owed:
            raise OverWriteOff(
                agent_id=self.agent_id, owed_minor=owed, amount_minor=self.amount_minor
            )

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        stream = system_stream(self.agent_id)
        head = state.chains[stream]
        chain = Chain(
            deal_id=stream, version=head.version, head_hash=head.head_hash, ctx=ctx, writes=writes
        )
        books = Books(
            accounts=state.accounts, ctx=ctx, writes=writes, deal_id=stream, asset=self.asset
        )
        tx = books.begin()
        tx.add("write_off", WRITE_OFF, receivable_account(self.agent_id), self.amount_minor)
        event = chain.append(
            "RECEIVABLE_WRITTEN_OFF",
            Actor(actor_id=self.operator, authority="operator", role="operator"),
            {
                "agent_id": self.agent_id,
                "amount_minor": self.amount_minor,
                "operator": self.operator,
                "reason_hash": self.reason_hash,
                **tx.facts(),
            },
            event_id=tx.event_id,
            counterparty_id=self.agent_id,
        )
        tx.book(event)
        result = {
            "agent_id": self.agent_id,
            "asset": self.asset,
            "amount_minor": self.amount_minor,
            "owes_minor": owed - self.amount_minor,
            "tx_id": tx.tx_id,
        }
        return Decision(result=result, writes=writes)
