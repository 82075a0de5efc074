"""An agent's API keys, as lists and single rows.

For: `service/api_keys.py`. Guarantees: a page is one index range, whatever the agent's history.
Does not: judge whether a key counts (`core/api_keys.py`) or change one.
Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.api_keys import ApiKey

if TYPE_CHECKING:
    from settlement.store.database import Tx


def agent_page(tx: Tx, agent_id: str, before: str, limit: int) -> list[ApiKey]:
    """Keys of an agent, newest first, older than the key `before`."""
    rows = tx.all("key_agent_page", agent_id=agent_id, before=before, limit=limit)
    return [ApiKey(**row) for row in rows]


def find_key(tx: Tx, key_id: str) -> ApiKey | None:
    """The key of that id."""
    row = tx.maybe("key_get", key_id=key_id)
    return ApiKey(**row) if row is not None else None
