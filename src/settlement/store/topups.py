"""Top-ups, read back from the events that are their only rows.

For: the payment page and the inbox.
Guarantees: a request is the first event of its stream, found by its key; the sum is of what was
booked for it on its agent's stream.
Does not: write; operations do.

Spec §4.2, §5.2. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.topups import TopupRequest, read_request

if TYPE_CHECKING:
    from settlement.store.database import Tx


def find_request(tx: Tx, stream: str) -> TopupRequest | None:
    """What was asked for under this stream."""
    row = tx.maybe("topup_request", stream=stream)
    return None if row is None else read_request(row["payload"])
