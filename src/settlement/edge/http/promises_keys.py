"""What the calls about API keys answer; see `promises.py`.

Guarantees: a key's text is a member of two answers only, those that made it; its digest of none.
Does not: list every member; more may be there.

Contract §3.1. Change colour: green to add, red to take away.
"""

from __future__ import annotations

import msgspec

from settlement.edge.http.promises import Answer


class KeyRow(msgspec.Struct, kw_only=True):
    key_id: str
    key_prefix: str
    agent_id: str
    name: str
    scopes: list[str]
    status: str
    created_at: str
    expires_at: str | None
    grace_until: str | None
    rotated_from: str | None
    revoked_at: str | None
    revoke_reason: str | None


class Key(Answer):
    key_id: str
    key_prefix: str
    agent_id: str
    name: str
    scopes: list[str]
    status: str
    created_at: str
    expires_at: str | None
    grace_until: str | None
    rotated_from: str | None
    revoked_at: str | None
    revoke_reason: str | None


class KeyMade(Key, kw_only=True):
    api_key: str


class Keys(Answer):
    keys: list[KeyRow]
    next_cursor: str | None


class KeyValidated(Answer):
    """Of a key that does not count `valid` alone is told."""

    valid: bool
    key_id: str | None = None
    agent_id: str | None = None
    scopes: list[str] | None = None
    status: str | None = None
    reason: str | None = None
