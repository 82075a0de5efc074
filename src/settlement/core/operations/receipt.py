"""Record a verification verdict as a receipt of the deal.

For: POST /protocol/verify/provider, after the provider has judged.
Guarantees: equal receipts of one authority are stored once, and PROOF_VERIFIED is written once per
receipt; an unknown deal or proof is answered and nothing is stored.
Does not: judge; `core/verification.py` does.

Spec §11. Change colour: amber.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.deal import check_transition
from settlement.core.events import Actor
from settlement.core.hashes import Digest, receipt_hash, verification_hash
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    authority_of,
    chain_of,
    change_deal,
    own_key,
    role_of,
    shown_seller,
)
from settlement.core.rows import Receipt
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.canonical import Json
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal
    from settlement.core.verification import Verdict

#: Given to a key by operators only; registration never grants it. It is the approval of spec §11.
VERIFIER_SCOPE: Final = "verifier"


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
        return Needs(known_receipts=((self._digest().full, self._authority(state)),))

    def _digest(self) -> Digest:
        verdict = self.verdict
        return receipt_hash(
            self.deal_id,
            self.proof_hash,
            verdict.provider,
            verified=verdict.verified,
            confidence=verdict.confidence,
        )

    def _authority(self, state: State) -> str:
        """Whose word it is. Only `verifier` and `operator` count (spec §11)."""
        if self.principal.is_operator:
            return "operator"
        deal = state.deals[self.deal_id]
        own = own_key(self.principal)
        if own is None or deal is None:
            return "open"
        if role_of(deal, own) is not None:
            return "party"
        return "verifier" if VERIFIER_SCOPE in self.principal.scopes else "open"

    def decide(self, state: State, ctx: Context) -> Decision:
        """Store the receipt, and PROOF_VERIFIED if it passed."""
        # 9 existence: an unknown deal or proof is answered, and nothing is stored
        deal = state.deals[self.deal_id]
        authority = self._authority(state)
        if deal is None or deal.proof_hash != self.proof_hash:
            return Decision(result=self._result(None, authority), writes=WriteSet())
        known = state.known_receipts[self._digest().full, authority]
        if known is not None:
            return Decision(result=self._result(known, authority), writes=WriteSet())
        # 11 state
        check_transition(deal, self.name)

        # ---- point of no return: construction only
        writes = WriteSet()
        event_id = ctx.ids.new("evt_") if self.verdict.verified else None
        receipt = self._receipt(authority, event_id, ctx)
        writes.receipts.append(receipt)
        if event_id is not None:
            chain = chain_of(deal, ctx, writes)
            by = Actor(
                actor_id=self.verdict.provider,
                authority=authority_of(self.principal),
                role="verifier",
            )
            chain.append(
                "PROOF_VERIFIED",
                by,
                _payload(receipt),
                event_id=event_id,
                counterparty_id=shown_seller(deal) or None,
            )
            change_deal(writes, deal, chain, ctx.now)
        return Decision(result=self._result(receipt, authority, is_new=True), writes=writes)

    def _receipt(self, authority: str, event_id: str | None, ctx: Context) -> Receipt:
        verdict, digest = self.verdict, self._digest()
        return Receipt(
            receipt_id=ctx.ids.new("rcpt_"),
            deal_id=self.deal_id,
            proof_hash=self.proof_hash,
            provider=verdict.provider,
            provider_type=verdict.provider_type,
            proof_type=self.proof_type,
            verified=int(verdict.verified),
            confidence=verdict.confidence,
            verification_hash=self._verification_hash(),
            receipt_hash=digest.wire,
            receipt_digest=digest.full,
            checks_run=json.dumps(list(verdict.checks_run)),
            authority=authority,
            event_id=event_id,
            created_at=ctx.now,
        )

    def _verification_hash(self) -> str:
        verdict = self.verdict
        return verification_hash(
            self.deal_id, self.proof_hash, verdict.provider, verified=verdict.verified
        ).wire

    def _result(
        self, receipt: Receipt | None, authority: str, *, is_new: bool = False
    ) -> dict[str, Any]:
        verdict = self.verdict
        return {
            "deal_id": self.deal_id,
            "recorded": receipt is not None,
            "is_new": is_new,
            "receipt_id": receipt.receipt_id if receipt is not None else None,
            "receipt_hash": self._digest().wire,
            "authority": authority,
            "proof_hash": self.proof_hash,
            "proof_type": self.proof_type,
            "provider": verdict.provider,
            "provider_type": verdict.provider_type,
            "verified": verdict.verified,
            "confidence": verdict.confidence,
            "verification_hash": self._verification_hash(),
            "checks_run": list(verdict.checks_run),
        }


def _payload(receipt: Receipt) -> dict[str, Json]:
    return {
        "provider": receipt.provider,
        "provider_type": receipt.provider_type,
        "proof_hash": receipt.proof_hash,
        "proof_type": receipt.proof_type,
        "verification_hash": receipt.verification_hash,
        "receipt_hash": receipt.receipt_hash,
        "receipt_id": receipt.receipt_id,
        "confidence": receipt.confidence,
        "receipt_authority": receipt.authority,
    }
