"""How many proofs a deal has and how big they are, and how many and how big they may be.

For: the proof-pack operation, which refuses what would be more, and the store, which counts.
Guarantees: counting looks at no more than `PACKS_MAX` rows of a deal, whatever it has.
Does not: bound one pack; the size of a request does (contract §1.1).

Spec §4.4. Change colour: amber (the figures are part of the contract).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from settlement.core.rows import Proof

#: Everybody who knows a deal's id may export it, and an export holds all its proofs in memory.
PACKS_MAX: Final = 100
PACKS_BYTES_MAX: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofTotals:
    """A deal's proofs so far. n: counted up to `PACKS_MAX`; size_bytes: of those."""

    n: int = 0
    size_bytes: int = 0

    def plus(self, proof: Proof) -> ProofTotals:
        """With one more."""
        added = texts_bytes(proof.proof_data, proof.parent_proof_ids, proof.attachment_url)
        return ProofTotals(n=self.n + 1, size_bytes=self.size_bytes + added)


def texts_bytes(proof_data: str, parent_proof_ids: str, attachment_url: str | None) -> int:
    """What a proof weighs: the texts whose length its sender chooses."""
    texts = (proof_data, parent_proof_ids, attachment_url or "")
    return sum(len(text.encode()) for text in texts)
