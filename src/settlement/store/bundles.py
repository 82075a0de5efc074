"""What a proof bundle is made of, as stored.

For: `service/bundles.py`, which reads all of it in one snapshot.
Guarantees: the exact stored texts.
Does not: parse, hash or prove.
Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.core.rows import Proof

if TYPE_CHECKING:
    from settlement.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class DealHead:
    """Where the deal row says its chain ends."""

    deal_id: str
    version: int
    head_hash: str


def find_deal_head(tx: Tx, deal_id: str) -> DealHead | None:
    """The chain's end as the deal row has it; None when there is no such deal."""
    row = tx.maybe("bundle_deal", deal_id=deal_id)
    return DealHead(**row) if row else None


def count_proofs(tx: Tx, deal_id: str) -> int:
    """How many proofs the deal has; none of them is read."""
    return int(tx.one("bundle_proof_count", deal_id=deal_id)["n"])


def load_proofs(tx: Tx, deal_id: str) -> list[Proof]:
    """The deal's proofs, oldest first."""
    return [Proof(**row) for row in tx.all("bundle_proofs", deal_id=deal_id)]
