"""Keeps checkpoints of the balances of accounts without counters: fees, clearing, transit.

For: `service/balances.py`; the audit compares them with sums of its own.
Guarantees: a checkpoint is added and never changed; it is made of the one before it and of what the
log has taken up since, so its cost is that of what is new.
Does not: touch a guarded account; those have counters.
Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from settlement.store.database import Tx


def last_checkpoint(tx: Tx) -> int:
    """How many leaves of the log the last checkpoint covers; 0 without one."""
    return int(tx.one("balance_checkpoint_last")["tree_size"])


def keep_checkpoint(tx: Tx, since: int, tree_size: int) -> int:
    """Add a checkpoint over so many leaves to the one that covers `since`; how many accounts."""
    return tx.run("balance_checkpoint_keep", since=since, tree_size=tree_size)
