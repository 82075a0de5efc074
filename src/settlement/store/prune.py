"""Rows that nobody needs any more.

For: `service/prune.py`.
Guarantees: a call touches at most as many rows as it is told, found by a key's index.
Does not: decide how long a thing is kept, or touch a job by which something is done only once.

Spec §6.3, §9. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.store.database import Tx


def delete_deliveries(tx: Tx, before: str, limit: int) -> int:
    """Forget the oldest deliveries before that id that are at their end; how many."""
    return tx.run("prune_deliveries", before=before, limit=limit)


def delete_periods(tx: Tx, job_type: str, keys: Sequence[str]) -> int:
    """Forget the finished jobs of these periods; how many."""
    return tx.run("prune_periods", job_type=job_type, keys=list(keys))
