"""API keys as the edge needs them: by prefix, with the principal each stands for.

Guarantees: only keys that count at the database's time are found: active, or in their grace, not
expired, of an agent that is not suspended. One read serves any number of keys.
Does not: compare digests (the edge does, in constant time) or change keys.

Spec §12.1. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.store.database import Database, Tx

ADMIN: Final = "admin"
#: A superseded key in its grace loses this scope (spec §12.1).
LOST_IN_GRACE: Final = "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """A key that counts now: what to compare, and whom it stands for."""

    digest: str
    principal: Principal


def find_keys(db: Database, prefixes: Sequence[str]) -> dict[str, KnownKey]:
    """The usable keys among these prefixes."""

    def read(tx: Tx) -> dict[str, KnownKey]:
        rows = tx.all("caller_find_keys", prefixes=list(prefixes))
        return {row["key_prefix"]: _known(row) for row in rows if _counts(row, tx.now)}

    return db.read(read)


def _counts(row: dict[str, Any], now: str) -> bool:
    if row["agent_status"] != "active":
        return False
    if row["expires_at"] is not None and row["expires_at"] <= now:
        return False
    if row["status"] == "grace":
        return row["grace_until"] is not None and now < row["grace_until"]
    return bool(row["status"] == "active")


def _known(row: dict[str, Any]) -> KnownKey:
    scopes = frozenset(json.loads(row["scopes"]))
    if row["status"] == "grace":
        scopes -= {LOST_IN_GRACE}
    operator = ADMIN in scopes
    return KnownKey(
        digest=row["digest"],
        principal=Principal(
            kind=PrincipalKind.OPERATOR if operator else PrincipalKind.AGENT,
            agent_id=row["agent_id"],
            name=row["agent_name"],
            scopes=scopes,
        ),
    )
