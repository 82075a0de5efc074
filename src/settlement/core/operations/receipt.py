"""Record a verification verdict as a receipt of the deal.

For: POST /protocol/verify/provider, after the provider has judged.
Guarantees: equal receipts of one authority are stored once, and PROOF_VERIFIED is written once per
receipt; an unknown deal or proof is answered and nothing is stored.
Does not: judge; `core/verification.py` does.

Spec §11. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.operation import Call, Context, Decision
from settlement.core.state import Footprint, Needs, State

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal
    from settlement.core.verification import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReceipt:
    """A verdict on one proof of one deal."""

    name: ClassVar[str] = "verify"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    proof_hash: str
    proof_type: str
    verdict: Verdict

    def call(self) -> Call:
        """Equal receipts are one by themselves, so only a sent key is remembered."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """What was judged, and how."""
        return {
            "deal_id": self.deal_id,
            "proof_hash": self.proof_hash,
            "proof_type": self.proof_type,
            "provider": self.verdict.provider,
            "verified": self.verdict.verified,
            "confidence": self.verdict.confidence,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """Whether this receipt is stored already."""
        raise NotImplementedError

    def decide(self, state: State, ctx: Context) -> Decision:
        """Store the receipt, and PROOF_VERIFIED if it passed."""
        raise NotImplementedError
