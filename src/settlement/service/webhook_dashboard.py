"""The owner's view over all webhooks at once, and one button: try again now.

Guarantees: own hooks only; never a secret. Counts look at a bounded number of the latest
deliveries, so that a hook of many years costs what a new one does. `retry` uses the delivery that
is there, so a receiver sees the id it has seen before.
Does not: send; the worker's loop does, at once.

Contract §5.16. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from settlement.service.webhooks import OWNED_MAX, hook_view, own_hook, owner_of
from settlement.store import webhooks as rows
from settlement.store.pauses import Switch, read_pauses

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.store.database import Database, Tx

#: How many of a hook's latest deliveries the counts look at, and a retry.
LATEST: Final = 100
RETRY_LATEST: Final = 1000


def dashboard(db: Database, caller: Principal) -> dict[str, Any]:
    """All hooks of the caller with what each is owed and how its latest deliveries went."""
    owner = owner_of(caller)

    def look(tx: Tx) -> dict[str, Any]:
        counts = {row["hook_id"]: row for row in rows.summaries(tx, owner, OWNED_MAX, LATEST)}
        hooks = [
            {**hook_view(hook, tx.now_us), **_figures(counts[hook.hook_id])}
            for hook in rows.hooks_of(tx, owner, OWNED_MAX)
        ]
        return {
            "webhooks": hooks,
            "total": len(hooks),
            "pending": sum(hook["pending"] for hook in hooks),
            "paused": read_pauses(tx).stops(Switch.WEBHOOKS.value) is not None,
            "latest_counted": LATEST,
        }

    return db.read(look)


def retry(db: Database, caller: Principal, hook_id: str) -> dict[str, Any]:
    """Owe what has failed again, and all that waits now; takes a disabled hook up again.

    Raises HookNotFound.
    """

    def write(tx: Tx) -> dict[str, Any]:
        own_hook(tx, caller, hook_id)
        rows.enable_hook(tx, hook_id)
        return {"hook_id": hook_id, "queued": rows.retry(tx, hook_id, RETRY_LATEST)}

    return db.transaction(write)


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    done = row["delivered"] + row["failed"]
    return {
        "pending": row["pending"],
        "delivered": row["delivered"],
        "failed": row["failed"],
        "success_percent": 100 * row["delivered"] // done if done else None,
        "last_delivered_at": row["last_delivered_at"],
    }
