"""Reads settled facts of an hour and keeps what was released of it.

For: `service/feed.py`.
Guarantees: facts are found by the time in the settlement's own tx id, which is in the order of
booking: no index has to be kept for the feed, and no settle pays for it. A release is kept once.
Does not: judge what may be shown (`core/feed.py`).
Change colour: amber.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from settlement.core.clock import time_text
from settlement.core.feed import Fact

if TYPE_CHECKING:
    from settlement.store.database import Tx


def tx_id_at(unix_us: int) -> str:
    """The smallest tx id of transactions booked at a time or later."""
    return f"tx_{unix_us // 1000:012x}"


def facts_between(tx: Tx, asset: str, start_us: int, end_us: int) -> list[Fact]:
    """What was settled in [start, end) between authenticated parties, by vertical and pair."""
    rows = tx.all("feed_facts", asset=asset, from_tx=tx_id_at(start_us), before_tx=tx_id_at(end_us))
    return [Fact(**row) for row in rows]


def first_settled_us(tx: Tx) -> int | None:
    """When the first settlement of all was booked, to the millisecond."""
    row = tx.maybe("feed_first_settlement")
    return None if row is None else int(row["tx_id"][3:15], 16) * 1000


def last_epoch(tx: Tx) -> str | None:
    """The start of the last hour released."""
    row = tx.maybe("feed_last_epoch")
    return None if row is None else str(row["epoch"])


def keep_release(tx: Tx, epoch_us: int, public: dict[str, Any], premium: dict[str, Any]) -> bool:
    """Store what is released of an hour; False when another process was first."""
    return bool(
        tx.run(
            "feed_keep",
            epoch=time_text(epoch_us),
            released_at=tx.now,
            public=json.dumps(public, sort_keys=True),
            premium=json.dumps(premium, sort_keys=True),
        )
    )


def last_releases(tx: Tx, limit: int) -> list[dict[str, Any]]:
    """The latest releases, newest first, each with both documents."""
    return [
        {
            "epoch": row["epoch"],
            "released_at": row["released_at"],
            "public": json.loads(row["public"]),
            "premium": json.loads(row["premium"]),
        }
        for row in tx.all("feed_last_releases", limit=limit)
    ]
