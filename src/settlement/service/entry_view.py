"""The ledger as rows of debits and credits: the published view of transfers (spec §5.7).

Guarantees: two rows per final or posted transfer, debit first, one side zero; each has the
published dedup key (H6); amounts are exact decimal text, never numbers. Sums are made of integers.
Does not: show holds, which have moved nothing yet, or read a database.

Change colour: amber (dedup keys are published).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.hashes import dedup_key
from settlement.core.money import Asset, format_exact
from settlement.core.rows import Phase, Transfer

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOVED: Final = frozenset({Phase.FINAL, Phase.POST})
_ENTRY_TYPE: Final = {
    "charge": "gross_in",
    "escrow_fund": "gross_in",
    "release": "entity_credit",
    "release_back": "reversal",
    "fee_back": "reversal",
    "payout_returned": "reversal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One side of a transfer."""

    transfer: Transfer
    entry_type: str
    side: str  # debit | credit
    ref: str
    other_ref: str

    @property
    def amount_minor(self) -> int:
        """What this side moved."""
        return self.transfer.amount_minor

    def document(self) -> dict[str, Any]:
        """The row as published."""
        moved = self.transfer
        asset = Asset.parse(moved.asset)
        amount, zero = format_exact(moved.amount_minor, asset), format_exact(0, asset)
        debit, credit = (amount, zero) if self.side == "debit" else (zero, amount)
        tx_id = f"{moved.tx_id}.{moved.leg}"
        meta = {
            "deal_id": moved.deal_id,
            "currency": asset.currency,
            "counterparty": self.other_ref,
            "tx_id": tx_id,
        }
        return {
            "entry_id": f"{moved.transfer_id}.{self.side}",
            "entry_type": self.entry_type,
            "side": self.side,
            "ref": self.ref,
            "debit": debit,
            "credit": credit,
            "tx_id": tx_id,
            "ts": moved.booked_at,
            "timestamp": moved.booked_at,
            "meta": meta,
            "dedup_key": dedup_key(self.entry_type, self.ref, debit, credit, meta).wire,
        }


def entry_type_of(transfer: Transfer) -> str:
    """The published name of a movement."""
    if transfer.kind == "fee":
        return "platform_fee" if transfer.credit_class == "fee_platform" else "protocol_fee"
    return _ENTRY_TYPE.get(transfer.kind, transfer.kind)


def entries_of(transfers: Iterable[Transfer]) -> list[Entry]:
    """Both rows of every transfer that moved money, in booked order."""
    found = []
    for moved in transfers:
        if moved.phase not in _MOVED:
            continue
        kind = entry_type_of(moved)
        sides = (
            ("debit", moved.debit_ref, moved.credit_ref),
            ("credit", moved.credit_ref, moved.debit_ref),
        )
        found += [
            Entry(transfer=moved, entry_type=kind, side=side, ref=ref, other_ref=other)
            for side, ref, other in sides
        ]
    return found


def totals_by_type(entries: Iterable[Entry], asset: Asset, side: str = "debit") -> dict[str, str]:
    """Amount per entry type, counting one side."""
    sums: dict[str, int] = {}
    for entry in entries:
        if entry.side == side:
            sums[entry.entry_type] = sums.get(entry.entry_type, 0) + entry.amount_minor
    return {name: format_exact(total, asset) for name, total in sorted(sums.items())}
