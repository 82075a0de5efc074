"""API keys as the edge needs them: by prefix, with the principal each stands for.

Guarantees: only keys that count at the database's time are found: active, or in their grace, not
expired, of an agent that is not suspended. How long a found one will go on counting is told as a
span measured at the database, so that no clock but the database's is ever compared with an end.
One read serves any number of keys.
Does not: compare digests (the edge does, in constant time) or change keys.

Spec §11, §12.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.api_keys import ADMIN, ApiKey, KeyStatus, counts, counts_until, scopes_of
from settlement.core.clock import parse_time
from settlement.core.operations.receipt import VERIFIER_SCOPE
from settlement.core.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.store.database import Database, Tx

#: The scope that makes an approved agent's word a verifier's.
_VERIFY: Final = "verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """A key that counts now: what to compare, whom it stands for, and for how long it counts."""

    digest: str
    principal: Principal
    status: str = "active"
    #: Microseconds, from the read on, until it ends by itself; None: it does not.
    left_us: int | None = None


def find_keys(db: Database, prefixes: Sequence[str]) -> dict[str, KnownKey]:
    """The usable keys among these prefixes."""

    def read(tx: Tx) -> dict[str, KnownKey]:
        found = {}
        for row in tx.all("caller_find_keys", prefixes=list(prefixes)):
            agent = {name: row.pop(f"agent_{name}") for name in ("name", "status", "verifier")}
            key = ApiKey(**row)
            if agent["status"] == "active" and counts(key, tx.now):
                found[key.key_prefix] = _known(key, agent, tx.now_us)
        return found

    return db.read(read)


def _known(key: ApiKey, agent: dict[str, Any], now_us: int) -> KnownKey:
    scopes = scopes_of(key)
    if agent["verifier"] and _VERIFY in scopes:
        scopes |= {VERIFIER_SCOPE}
    end = counts_until(key)
    return KnownKey(
        digest=key.digest,
        principal=Principal(
            kind=PrincipalKind.OPERATOR if ADMIN in scopes else PrincipalKind.AGENT,
            agent_id=key.agent_id,
            name=agent["name"],
            scopes=scopes,
            key_id=key.key_id,
            superseded=key.status == KeyStatus.GRACE,
        ),
        status=key.status,
        left_us=None if end is None else parse_time(end) - now_us,
    )
