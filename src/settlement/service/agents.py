"""What an operator decides about an agent: suspended or not, approved as a verifier or not.

For: `settlement agents`.
Guarantees: a change and its event on the agent's chain commit together; an agent that is as it
should be is left alone, and no event says otherwise. A suspended agent's keys do not count, within
a second everywhere; a receipt has a verifier's authority only from an approved agent.
Does not: take back what was done before, or touch the agent's money.

Spec §11, §12.1. Change colour: amber.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from settlement.core.canonical import sha256_hex
from settlement.core.errors import AgentNotFound, InvalidField
from settlement.core.ids import system_stream
from settlement.core.operation import Rules
from settlement.core.operations import AppendEvent
from settlement.core.principal import SYSTEM
from settlement.service import batch
from settlement.service.tickets import make_ticket
from settlement.store import agents as rows
from settlement.store.database import ConstraintViolated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.rows import Agent
    from settlement.store.database import Database, Tx

REASON_MAX: Final = 500
_TRIES: Final = 5


class Verdict(StrEnum):
    """The four things an operator can decide."""

    SUSPEND = "suspend"
    RESUME = "resume"
    APPROVE_VERIFIER = "approve-verifier"
    WITHDRAW_VERIFIER = "withdraw-verifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effect:
    """What a verdict makes of an agent, and its event."""

    event_type: str
    status: str | None = None
    verifier: int | None = None

    def holds(self, agent: Agent) -> bool:
        """Tell whether the agent is so already."""
        return self.status in (None, agent.status) and self.verifier in (None, agent.verifier)


_EFFECTS: Final[Mapping[Verdict, _Effect]] = {
    Verdict.SUSPEND: _Effect(event_type="AGENT_SUSPENDED", status="suspended"),
    Verdict.RESUME: _Effect(event_type="AGENT_RESUMED", status="active"),
    Verdict.APPROVE_VERIFIER: _Effect(event_type="VERIFIER_APPROVED", verifier=1),
    Verdict.WITHDRAW_VERIFIER: _Effect(event_type="VERIFIER_WITHDRAWN", verifier=0),
}


def decide(db: Database, agent_id: str, verdict: Verdict, *, reason: str, operator: str) -> bool:
    """Make the agent so; True if it was not. Raises AgentNotFound and InvalidField."""
    if not reason.strip() or len(reason) > REASON_MAX or not reason.isprintable():
        raise InvalidField(
            field="reason", reason=f"must be one line of 1 to {REASON_MAX} characters"
        )
    effect = _EFFECTS[verdict]

    def change(tx: Tx) -> bool:
        agent = rows.find_agent(tx, agent_id)
        if agent is None:
            raise AgentNotFound(agent_id=agent_id)
        if effect.holds(agent):
            return False
        _record(tx, agent_id, effect.event_type, reason=reason, operator=operator)
        rows.set_standing(
            tx,
            agent_id,
            status=agent.status if effect.status is None else effect.status,
            verifier=agent.verifier if effect.verifier is None else effect.verifier,
        )
        return True

    for tries_left in reversed(range(_TRIES)):
        try:
            return db.transaction(change)
        except ConstraintViolated:  # the agent's chain grew meanwhile; look again
            if not tries_left:
                raise
    raise AssertionError("the last try answers")


def check_agent(db: Database, agent_id: str) -> None:
    """Raise AgentNotFound unless there is such an agent."""
    if db.read(lambda tx: rows.find_agent(tx, agent_id)) is None:
        raise AgentNotFound(agent_id=agent_id)


def _record(tx: Tx, agent_id: str, event_type: str, *, reason: str, operator: str) -> None:
    """Append the event, as every event is appended: by a batch, here in our own transaction."""
    event = AppendEvent(
        principal=SYSTEM,
        record={
            "deal_id": system_stream(agent_id),
            "event_type": event_type,
            "actor_id": operator,
            "source": "operator",
            "payload": {
                "authority": "operator",
                "agent_id": agent_id,
                "operator": operator,
                "reason_hash": sha256_hex(reason),
            },
        },
    )
    done = batch.run(tx, [make_ticket(event)], Rules(), lambda: secrets.token_bytes(16))
    done.answers[0].unwrap()


def agents_page(db: Database, limit: int, *, only: str = "") -> list[dict[str, Any]]:
    """The latest agents, newest first; `only`: suspended or verifier."""
    return db.read(
        lambda tx: [
            {
                "agent_id": agent.agent_id,
                "name": agent.name,
                "status": agent.status,
                "verifier": bool(agent.verifier),
                "created_at": agent.created_at,
            }
            for agent in rows.page(tx, only, limit)
        ]
    )
