"""Mandates for their buyer: the list, and which of them an auto-go that names none may try.

Guarantees: one snapshot; a mandate past its time says so.
Does not: choose or spend; the operation does, on rows it has locked.

Contract §5.4. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import NotOwner
from settlement.core.operations.mandates import mandate_result
from settlement.store import mandates as rows

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.store.database import Database, Tx

LISTED_MAX: Final = 200
#: An auto-go locks every mandate it may try.
CANDIDATES_MAX: Final = 20


def check_owner(buyer_id: str, caller: Principal) -> None:
    """Raise NotOwner for another agent's mandates."""
    if not caller.is_operator and caller.agent_id != buyer_id:
        raise NotOwner(owner_id=buyer_id)


def listed(db: Database, buyer_id: str) -> dict[str, Any]:
    """A buyer's mandates, newest first; the caller has been checked."""

    def read(tx: Tx) -> list[dict[str, Any]]:
        found = rows.mandates_of(tx, buyer_id, LISTED_MAX)
        return [mandate_result(one, available_minor, tx.now) for one, available_minor in found]

    return {"buyer_id": buyer_id, "mandates": db.read(read)}


def candidates(db: Database, buyer_id: str) -> tuple[str, ...]:
    """The mandates to try for a buyer who named none."""
    return db.read(lambda tx: rows.live_mandates(tx, buyer_id, CANDIDATES_MAX))
