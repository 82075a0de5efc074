"""What a manifest says beside the rows: size and root of the log, totals, schema, recovery epoch.

For: `service/backup.py` and the check of a restored database, which must find the same.
Guarantees: all of it is read in the caller's transaction, so it is of the rows' own snapshot.
Does not: read rows; `copying.py` does.
Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from settlement.core import merkle
from settlement.store import log
from settlement.store.recovery import read_recovery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.store.database import Tx

Totals = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The books in a few numbers."""

    schema: int
    tree_size: int
    root_hash: str
    recovery_epoch: int
    totals: Mapping[str, Mapping[str, int]]


def read_figures(tx: Tx) -> Figures:
    """Read them all."""
    size = log.log_size(tx)
    return Figures(
        schema=max((row["number"] for row in tx.all("migration_all")), default=0),
        tree_size=size,
        root_hash=merkle.root_at(size, log.TxHashes(tx)).hex(),
        recovery_epoch=read_recovery(tx).epoch,
        totals=_totals(tx),
    )


def _totals(tx: Tx) -> Totals:
    """Per asset: what was settled and how it was split, and all that ever moved."""
    totals: Totals = {}
    for query in ("backup_moved", "backup_settled"):
        for row in tx.all(query):
            members: dict[str, Any] = dict(row)
            asset = members.pop("asset")
            totals.setdefault(asset, {}).update({name: int(n) for name, n in members.items()})
    return totals
