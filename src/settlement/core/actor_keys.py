"""The public keys agents sign events with.

For: registration, which enrols the first one, and bundles of signed events, which show them.
Guarantees: only public keys; an actor has at most one that is active (the database refuses two).
Does not: hold or ask for a private key, or check a signature.
Change colour: red (a field here is a column in two databases).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from settlement.core.errors import InvalidField

KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorKey:
    """An Ed25519 public key of one actor, valid from `issued_at` until `revoked_at`."""

    key_id: str
    actor_id: str
    actor_type: str
    key_class: str
    public_key_base64: str
    status: str  # active | revoked
    issued_at: str
    revoked_at: str | None


def check_public_key(text: str, field: str = "public_key_base64") -> str:
    """The same text when it is 32 bytes in strict base64; raises InvalidField."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise InvalidField(field=field, reason="not 32 bytes in base64")
    return text
