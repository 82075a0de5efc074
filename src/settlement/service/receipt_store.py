"""Verification receipts under the readiness report's names: store and list.

For: the verify route and whoever audits receipts.
Guarantees: equal receipts of one authority are stored once, however many ask at once; the answer
to a repeat is the receipt that was stored.
Does not: judge a proof; `core/verification.py` does, and its verdict comes in.

Spec §11. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from settlement.core.canonical import load_json
from settlement.core.operations.receipt import RecordReceipt
from settlement.core.principal import SYSTEM, Principal
from settlement.store.receipts import find_receipt, list_receipts

if TYPE_CHECKING:
    from settlement.core.rows import Receipt
    from settlement.core.verification import Verdict
    from settlement.service.engine import Engine
    from settlement.store.database import Database


class ReceiptStore:
    """Receipts of all deals."""

    def __init__(self, db: Database, engine: Engine) -> None:
        self._db = db
        self._engine = engine

    def store(
        self,
        deal_id: str,
        proof_hash: str,
        proof_type: str,
        verdict: Verdict,
        *,
        principal: Principal = SYSTEM,
    ) -> tuple[dict[str, Any] | None, bool]:
        """The stored receipt and whether it is new; (None, False) for an unknown deal or proof."""
        operation = RecordReceipt(
            principal=principal,
            deal_id=deal_id,
            proof_hash=proof_hash,
            proof_type=proof_type,
            verdict=verdict,
        )
        result = self._engine.execute(operation).unwrap()
        receipt_id = result.get("receipt_id")
        if not isinstance(receipt_id, str):
            return None, False
        stored = self._db.read(lambda tx: find_receipt(tx, receipt_id))
        assert stored is not None, "a receipt that was answered is committed"
        return receipt_document(stored), bool(result["is_new"])

    def list(self, deal_id: str) -> list[dict[str, Any]]:
        """The deal's receipts, oldest first; empty for an unknown deal."""
        receipts = self._db.read(lambda tx: list_receipts(tx, deal_id))
        return [receipt_document(receipt) for receipt in receipts]


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """A receipt as routes show it; the confidence stays exact text until the edge."""
    return {
        "receipt_id": receipt.receipt_id,
        "deal_id": receipt.deal_id,
        "proof_hash": receipt.proof_hash,
        "provider": receipt.provider,
        "provider_type": receipt.provider_type,
        "proof_type": receipt.proof_type,
        "verified": bool(receipt.verified),
        "confidence": receipt.confidence,
        "verification_hash": receipt.verification_hash,
        "receipt_hash": receipt.receipt_hash,
        "checks_run": load_json(receipt.checks_run),
        "authority": receipt.authority,
        "created_at": receipt.created_at,
    }
