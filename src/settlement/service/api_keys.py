"""API keys: drawing them, the operations on them, lists, and validation.

For: the routes of `/protocol/keys`, registration and `settlement keys`.
Guarantees: a key's 32 secret bytes come from the operating system's generator; only its digest goes
into an operation; the plaintext is the caller's to show, once. Validation checks the digits before
it reads, compares in constant time, and says of a key that does not count nothing but that.
Does not: decide (`core/operations/api_keys.py`) or authenticate requests (the edge does).

Spec §12.1, contract §3.1. Change colour: red.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from settlement.core.api_keys import (
    ADMIN,
    GRACE_SECONDS,
    SCOPES,
    ApiKey,
    KeyStatus,
    counts,
    record_of,
    scopes_text,
)
from settlement.core.clock import parse_time
from settlement.core.errors import (
    CursorMalformed,
    InvalidField,
    KeyInvalid,
    KeyNotFound,
    MalformedId,
)
from settlement.core.ids import KeyId
from settlement.core.keys import (
    KEY_ID_HEX,
    KEY_PREFIX,
    SECRET_BYTES,
    format_key,
    key_digest,
    parse_key,
    same_digest,
)
from settlement.core.operations.api_keys import CreateKey, RevokeKey, RotateKey
from settlement.service.agents import check_agent
from settlement.service.callers import KnownKey, find_keys
from settlement.service.fresh import new_id
from settlement.store import api_keys as rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from settlement.core.principal import Principal
    from settlement.store.database import Database, Tx

_Op = TypeVar("_Op")
Runner: TypeAlias = "Callable[[RevokeKey], dict[str, Any]]"
NAME_CHARS_MAX: Final = 200
REASON_CHARS_MAX: Final = 500
PAGE_MAX: Final = 200
#: Sorts after every key id.
_NEWEST: Final = "key_~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A key's row and, apart from it, its text."""

    key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made(Generic[_Op]):
    """An operation to run, and the key to show when it has run. Never log or store one."""

    operation: _Op
    api_key: str = field(repr=False)


def draw_key(
    agent_id: str, name: str, scopes: Iterable[str], *, now: str, expires_at: str | None = None
) -> Drawn:
    """Draw a new key; `now` is replaced by the transaction's time."""
    public = secrets.token_hex(KEY_ID_HEX // 2)
    text = format_key(public, os.urandom(SECRET_BYTES))
    key = ApiKey(
        key_prefix=KEY_PREFIX + public,
        key_id=new_id(KeyId.prefix),
        agent_id=agent_id,
        name=name,
        digest=key_digest(text),
        scopes=scopes_text(scopes),
        status=KeyStatus.ACTIVE.value,
        created_at=now,
        expires_at=expires_at,
        grace_until=None,
        rotated_from=None,
        revoked_at=None,
    )
    return Drawn(key=key, text=text)


def new_key(
    principal: Principal,
    agent_id: str,
    *,
    name: str = "",
    scopes: Iterable[str] | None = None,
    expires_at: str | None = None,
) -> Made[CreateKey]:
    """A further key; without `scopes` it opens what the calling key does, but never admin."""
    wanted = (principal.scopes & SCOPES.keys()) - {ADMIN} if scopes is None else scopes
    drawn = draw_key(agent_id, name, wanted, now="", expires_at=_end(expires_at))
    operation = CreateKey(principal=principal, agent_id=agent_id, key=drawn.key)
    return Made(operation=operation, api_key=drawn.text)


def _end(text: str | None) -> str | None:
    if text is not None:
        try:
            parse_time(text)
        except ValueError:
            reason = "must be a time like 2026-01-31T12:00:00.000000Z"
            raise InvalidField(field="expires_at", reason=reason) from None
    return text


def new_rotation(
    principal: Principal, agent_id: str, key_id: str, grace_seconds: int = GRACE_SECONDS
) -> Made[RotateKey]:
    """The successor of a key. Its name, scopes and expiry are the old key's."""
    drawn = draw_key(agent_id, "", SCOPES, now="")
    operation = RotateKey(
        principal=principal,
        agent_id=agent_id,
        key_id=key_id,
        successor=drawn.key,
        grace_seconds=grace_seconds,
    )
    return Made(operation=operation, api_key=drawn.text)


def new_revocation(db: Database, principal: Principal, key_id: str, reason: str = "") -> RevokeKey:
    """The end of a key: the caller's own or, for an operator, anybody's; raises KeyNotFound."""
    owner = principal.agent_id
    if owner is None or principal.is_operator:
        owner = owner_of(db, key_id)
    return RevokeKey(principal=principal, agent_id=owner, key_id=key_id, reason=reason)


def revoke_all(
    db: Database, principal: Principal, agent_id: str, reason: str, run: Runner
) -> list[dict[str, Any]]:
    """End every key of an agent that counts, each as its own step; their records, as listed.

    Raises AgentNotFound. A key may make another while this goes on, so it looks again until none
    counts: from then on nothing but an operator makes one, as a key must count to make a key.
    """
    check_agent(db, agent_id)
    ended: list[dict[str, Any]] = []
    while living := _living(db, agent_id):
        ended += [
            run(RevokeKey(principal=principal, agent_id=agent_id, key_id=key_id, reason=reason))
            for key_id in living
        ]
    return ended


def _living(db: Database, agent_id: str) -> list[str]:
    """Ids of an agent's keys that count, newest first."""

    def read(tx: Tx) -> list[str]:
        found: list[str] = []
        before = _NEWEST
        while page := rows.agent_page(tx, agent_id, before, PAGE_MAX):
            found += [key.key_id for key in page if counts(key, tx.now)]
            before = page[-1].key_id
        return found

    return db.read(read)


def owner_of(db: Database, key_id: str) -> str:
    """Whose key it is, for operators; raises KeyNotFound."""
    found = db.read(lambda tx: rows.find_key(tx, key_id))
    if found is None:
        raise KeyNotFound(key_id=key_id)
    return found.agent_id


def keys_page(
    db: Database, agent_id: str, *, limit: int = PAGE_MAX, cursor: str | None = None
) -> dict[str, Any]:
    """An agent's keys, newest first; revoked and expired ones too."""
    before = _cursor(cursor)

    def read(tx: Tx) -> dict[str, Any]:
        found = rows.agent_page(tx, agent_id, before, limit + 1)
        shown = found[:limit]
        return {
            "keys": [record_of(key, tx.now) for key in shown],
            "next_cursor": shown[-1].key_id if len(found) > limit else None,
        }

    return db.read(read)


def _cursor(text: str | None) -> str:
    if text is None:
        return _NEWEST
    try:
        return str(KeyId.parse(text))
    except MalformedId:
        raise CursorMalformed() from None


def validate(db: Database, text: str, scope: str | None = None) -> dict[str, Any]:
    """Whether a key counts and, if a scope is asked for, opens it; never raises for a bad key."""
    known = _find(db, text)
    if known is None:
        return {"valid": False}
    holder = known.principal
    opens = scope is None or scope in holder.scopes or ADMIN in holder.scopes
    return {
        "valid": opens,
        "key_id": holder.key_id,
        "agent_id": holder.agent_id,
        "scopes": sorted(holder.scopes & SCOPES.keys()),
        "status": known.status,
        "reason": None if opens else "scope_missing",
    }


def _find(db: Database, text: str) -> KnownKey | None:
    try:
        parsed = parse_key(text)
    except KeyInvalid:
        return None
    known = find_keys(db, [parsed.lookup_prefix]).get(parsed.lookup_prefix)
    if known is None or not same_digest(known.digest, parsed.digest):
        return None
    return known
