"""A chain of the service itself, as an operator reads it: `sys_<agent id>` and its like.

For: `settlement deal`, which finds no deal under such a name.
Guarantees: events in order, with what each says: these chains hold ids, scopes, amounts and digests
of reasons, never a key or an address. Of a long chain the latest; the version of each shows what
came before.
Does not: verify the chain; `settlement audit` does.

Spec §4.2, §12.1. Change colour: green.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import DealNotFound
from settlement.core.ids import SYSTEM_PREFIX
from settlement.service.deals import get_deal
from settlement.store.operator import chain_tail

if TYPE_CHECKING:
    from settlement.store.database import Database, Tx

EVENTS_MAX: Final = 200


def is_system_chain(name: str) -> bool:
    """Tell whether a name can only be that of a chain without a deal."""
    return name.startswith(SYSTEM_PREFIX)


def check_chain(db: Database, name: str) -> None:
    """Raise DealNotFound unless there is such a deal or chain of the service."""

    def look(tx: Tx) -> None:
        if not is_system_chain(name):
            get_deal(tx, name)
        elif not chain_tail(tx, name, 1):
            raise DealNotFound(deal_id=name)

    db.read(look)


def chain_report(db: Database, name: str) -> dict[str, Any]:
    """The chain's latest events, oldest first; raises DealNotFound for one without events."""
    rows = db.read(lambda tx: chain_tail(tx, name, EVENTS_MAX))
    if not rows:
        raise DealNotFound(deal_id=name)
    events = [{**row, "payload": json.loads(row["payload"])} for row in reversed(rows)]
    return {"chain": name, "events": events}
