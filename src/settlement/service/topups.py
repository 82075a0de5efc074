"""Top-ups for their payer: what the payment page shows.

Guarantees: public to whoever knows the id, as a deal's page is; it names no agent.
Does not: know whether it was paid: the rail shows that, and the balance.

Contract §3.4. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.ids import TopupId, system_stream
from settlement.store.topups import find_request

if TYPE_CHECKING:
    from settlement.core.topups import TopupRequest
    from settlement.store.database import Database


def is_topup_id(text: str) -> bool:
    """Tell a top-up's id from a deal's, which callers may choose."""
    return text.startswith(TopupId.prefix)


def find_topup(db: Database, topup_id: str) -> TopupRequest | None:
    """The request of this id; None when there is none, and it may be a deal's."""
    return db.read(lambda tx: find_request(tx, system_stream(topup_id)))
