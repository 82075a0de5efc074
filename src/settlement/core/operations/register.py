"""Register an agent and its first key.

For: POST /protocol/register.
Guarantees: agent, key and the event of both are one commit; no claim is taken, because the answer
holds a plaintext key that must never be stored (spec §6.1).
Does not: make the key; the service draws it and hands in its digest.

Spec §4.2, §12.1. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.operation import Call, Context, Decision
from settlement.core.state import Footprint, Needs, State

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Agent, ApiKey, Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A new agent with its first key."""

    name: ClassVar[str] = "register"

    principal: Principal
    agent: Agent
    key: ApiKey
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
        """Agent, key and AGENT_REGISTERED."""
        raise NotImplementedError
