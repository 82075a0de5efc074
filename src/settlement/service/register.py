"""Registration: a new agent and its first API key, drawn here and shown once.

Guarantees: the key's 32 secret bytes come from the operating system's generator; only its digest
leaves this module inside the operation; the plaintext is the caller's to show, once.
Does not: rotate signing keys, or let a call make an operator.

Spec §12.1, contract §2.1. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.core.actor_keys import ActorKey, check_public_key
from settlement.core.api_keys import FIRST_SCOPES
from settlement.core.ids import AgentId, KeyId
from settlement.core.operations import Register
from settlement.core.rows import Agent
from settlement.service.api_keys import draw_key
from settlement.service.fresh import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What an agent says of itself."""

    name: str
    agent_type: str = "ai_agent"
    capabilities: Sequence[str] = ()
    description: str = ""
    api_endpoint: str = ""
    owner_email: str = ""
    public_key_base64: str | None = None  # an Ed25519 public key to enrol at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """An operation to run, and the key to show when it has run. Never log or store one."""

    operation: Register
    api_key: str

    def __repr__(self) -> str:
        return f"Registration({self.operation.agent.agent_id})"


def new_registration(
    principal: Principal,
    profile: Profile,
    *,
    now: str,
    scopes: Sequence[str] = FIRST_SCOPES,
) -> Registration:
    """Draw ids and key for a new agent; `now` is replaced by the transaction's time.

    `scopes` other than the usual are for whoever runs the service, who makes operators so.
    """
    agent_id = new_id(AgentId.prefix)
    agent = Agent(
        agent_id=agent_id,
        name=profile.name,
        agent_type=profile.agent_type,
        capabilities=json.dumps(list(profile.capabilities)),
        description=profile.description,
        api_endpoint=profile.api_endpoint,
        owner_email=profile.owner_email,
        status="active",
        operator=0,
        created_at=now,
    )
    drawn = draw_key(agent_id, "first", scopes, now=now)
    operation = Register(
        principal=principal,
        agent=agent,
        key=drawn.key,
        signing_key=_signing_key(agent_id, profile.public_key_base64, now),
    )
    return Registration(operation=operation, api_key=drawn.text)


def _signing_key(agent_id: str, public_key_base64: str | None, now: str) -> ActorKey | None:
    if public_key_base64 is None:
        return None
    return ActorKey(
        key_id=new_id(KeyId.prefix),
        actor_id=agent_id,
        actor_type="agent",
        key_class="production",
        public_key_base64=check_public_key(public_key_base64),
        status="active",
        issued_at=now,
        revoked_at=None,
    )
