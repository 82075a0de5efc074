"""Register an agent and its first key.

For: POST /protocol/register.
Guarantees: agent, key and the event of both are one commit; no claim is taken, because the answer
holds a plaintext key that must never be stored (spec §6.1).
Does not: make the key; the service draws it and hands in its digest.

Spec §4.2, §12.1. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.canonical import sha256_hex
from settlement.core.events import FROM_CALL, Actor, Chain
from settlement.core.ids import system_stream
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import authority_of
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.actor_keys import ActorKey
    from settlement.core.api_keys import ApiKey
    from settlement.core.canonical import Json
    from settlement.core.principal import Principal
    from settlement.core.rows import Agent, Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A new agent with its first key."""

    name: ClassVar[str] = "register"

    principal: Principal
    agent: Agent
    key: ApiKey
    signing_key: ActorKey | None = None
    sent_key: str | None = None  # accepted and ignored

    def call(self) -> Call:
        """No keys: the answer must not be stored."""
        return Call(principal=self.principal, operation=self.name)

    def footprint(self) -> Footprint:
        """Nothing exists yet."""
        return Footprint()

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def needs(self, state: State, ctx: Context) -> Needs:
        """Nothing exists yet."""
        return Needs()

    def decide(self, state: State, ctx: Context) -> Decision:
        """Write agent, key and AGENT_REGISTERED; nothing can be refused."""
        # ---- point of no return: construction only
        writes = WriteSet()
        agent = replace(self.agent, created_at=ctx.now)
        writes.agents.append(agent)
        writes.api_keys.append(replace(self.key, agent_id=agent.agent_id, created_at=ctx.now))
        signing: dict[str, Json] = {}
        if self.signing_key is not None:
            signing_key = replace(self.signing_key, issued_at=ctx.now)
            writes.actor_keys.append(signing_key)
            signing["signing_key_id"] = signing_key.key_id
            signing["signing_key_digest"] = sha256_hex(signing_key.public_key_base64)
        chain = Chain(
            deal_id=system_stream(agent.agent_id), version=0, head_hash="", ctx=ctx, writes=writes
        )
        by = Actor(
            actor_id=agent.agent_id, authority=authority_of(self.principal), source=FROM_CALL
        )
        chain.append(
            "AGENT_REGISTERED",
            by,
            {
                "agent_id": agent.agent_id,
                "name_hash": sha256_hex(agent.name),
                "key_id": self.key.key_id,
                **signing,
            },
        )
        result = {
            "agent_id": agent.agent_id,
            "name": agent.name,
            "status": agent.status,
            "registered_at": agent.created_at,
        }
        return Decision(result=result, writes=writes)
