"""Who is calling: an agent by key, an operator, the system itself, or nobody we know.

For: every operation; the principal owns the idempotency namespace (spec §6.1).
Guarantees: a name that a body claims never becomes a principal.
Does not: authenticate; the edge does.
Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PrincipalKind(StrEnum):
    """Spec §1.1."""

    AGENT = "agent"
    OPERATOR = "operator"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller. `agent_id` is None for anonymous, system and token operators."""

    kind: PrincipalKind
    agent_id: str | None = None
    name: str = ""
    scopes: frozenset[str] = frozenset()
    key_id: str | None = None  # the API key that was shown
    superseded: bool = False  # that key has a successor and is in its grace

    @property
    def id(self) -> str:
        """The namespace of this caller's idempotency keys."""
        return self.agent_id or self.kind.value

    @property
    def is_operator(self) -> bool:
        """Operators and the system act on all deals."""
        return self.kind in (PrincipalKind.OPERATOR, PrincipalKind.SYSTEM)

    @property
    def is_agent(self) -> bool:
        """True when a valid key of an agent was sent."""
        return self.agent_id is not None


ANONYMOUS = Principal(kind=PrincipalKind.ANONYMOUS)
SYSTEM = Principal(kind=PrincipalKind.SYSTEM)
