"""Prove work: make or renew a deal's proof pack, which quotes a price and locks the scope.

For: POST /protocol/proof-pack and /protocol/stamp.
Guarantees: a new pack voids the old quote; what was quoted is hashed twice, in the published form
(H3) and in the strong one; a pack made without a key makes an `open` deal.
Does not: approve or move anything.

Spec §4.3, §4.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.canonical import sha256_hex
from settlement.core.operation import Call, Context, Decision
from settlement.core.state import Footprint, Needs, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.canonical import Json
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofPack:
    """A proof of work and the price asked for it."""

    name: ClassVar[str] = "proof_pack"

    principal: Principal
    sent_key: str | None = None
    deal_id: str | None = None
    new_deal_id: str  # used when no deal is named
    quote_id: str  # fresh random bearer secret
    agent_username: str
    vertical: str = "marketing"
    sku_id: str = ""
    proof_type: str = "completion_photo"
    proof_data: Mapping[str, Json] = field(default_factory=dict)
    proof_data_text: str = "{}"
    attachment_url: str | None = None
    scope_summary: str = ""
    parent_proof_ids: tuple[str, ...] = ()
    proof_hash: str | None = None
    price_minor: int | None = None
    policy: str = "[]"

    def call(self) -> Call:
        """Repeatable, so only a sent key is remembered."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            deal_id=self._target(),
        )

    def _target(self) -> str:
        return self.deal_id or self.new_deal_id

    def footprint(self) -> Footprint:
        """The deal, be it new."""
        return Footprint(deals=(self._target(),))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """All that the caller named; ids we drew are no arguments."""
        named: dict[str, Any] = {
            "deal_id": self.deal_id,
            "agent_username": self.agent_username,
            "vertical": self.vertical,
            "sku_id": self.sku_id,
            "proof_type": self.proof_type,
            "proof_data": sha256_hex(self.proof_data_text),
            "attachment_url": self.attachment_url,
            "scope_summary": self.scope_summary,
            "parent_proof_ids": list(self.parent_proof_ids) or None,
            "proof_hash": self.proof_hash,
            "price_minor": self.price_minor,
            "policy": None if self.policy == "[]" else sha256_hex(self.policy),
        }
        return {name: value for name, value in named.items() if value is not None}

    def needs(self, state: State, ctx: Context) -> Needs:
        """The named seller and the count of proofs so far."""
        raise NotImplementedError

    def decide(self, state: State, ctx: Context) -> Decision:
        """Write the proof, the quote and PROOF_READY."""
        raise NotImplementedError
