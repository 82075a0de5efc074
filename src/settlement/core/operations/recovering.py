"""Taking back what an agent owes, from money that has just become the agent's.

For: settlements, top-ups and payouts, right after (or right before) money would be the agent's own.
Guarantees: of every such amount what is owed comes first, so nobody is paid out or spends while
owing; never more than is owed and never more than the amount, so no account falls below nothing.
What was taken stays a transfer of the deal it came from, which is how a payout knows its rest.
Does not: decide that an agent owes; refunds and chargebacks do (docs/decisions/0022).

Spec §5.2. Change colour: red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.accounts import agent_account, available, receivable_account
from settlement.core.operations._common import SYSTEM_ACTOR

if TYPE_CHECKING:
    from settlement.core.canonical import Json
    from settlement.core.events import Chain
    from settlement.core.ledger import Books
    from settlement.core.state import State


def owed_by(state: State, agent_id: str, asset: str) -> int:
    """What an agent owes, less what a rail's open refund may yet take off again."""
    return available(state.accounts[receivable_account(agent_id).ref, asset])


def recover(books: Books, chain: Chain, state: State, agent_id: str, most_minor: int) -> int:
    """Take back up to an amount, with its own event and tx; how much it was."""
    minor = min(owed_by(state, agent_id, books.asset), most_minor)
    if not minor:
        return 0
    tx = books.begin()
    tx.add("recover", agent_account(agent_id), receivable_account(agent_id), minor)
    payload: dict[str, Json] = {"agent_id": agent_id, "amount_minor": minor, **tx.facts()}
    event = chain.append(
        "RECEIVABLE_RECOVERED",
        SYSTEM_ACTOR,
        payload,
        event_id=tx.event_id,
        counterparty_id=agent_id,
    )
    tx.book(event)
    return minor
