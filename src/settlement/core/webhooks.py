"""Webhooks without the network: names, body, signatures, and when to try again.

For: the service that plans deliveries, the sender that makes them, and the routes that take in what
rails send.
Guarantees: one event makes one body, to the byte, however often it is sent; a signature is compared
in constant time, over the raw body, and only within the tolerance; the schedule is integers and
its jitter is handed in.
Does not: read a clock, draw random numbers, or open a connection (`edge/outgoing.py`).

Spec §10, contract §2.13. Change colour: amber (receivers verify these bytes).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from settlement.core.canonical import compact_text, framed_hash
from settlement.core.clock import SECOND_US
from settlement.core.errors import InvalidField

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from settlement.core.canonical import Json

# --- names ---------------------------------------------------------------------------------------

EVERY_EVENT: Final = "*"

#: Event type -> the name under which it is sent.
_NAMES: Final[Mapping[str, str]] = {
    "PROOF_READY": "proof.created",
    "PROOF_VERIFIED": "proof.verified",
    "GO_APPROVED": "go.approved",
    "AUTO_GO_APPROVED": "go.auto_approved",
    "SETTLED": "settled",
    "PAYOUT_INITIATED": "payout.initiated",
    "PAYOUT_CONFIRMED": "payout.confirmed",
    "PAYOUT_FAILED": "payout.failed",
    "MANDATE_CREATED": "mandate.created",
    "MANDATE_REVOKED": "mandate.revoked",
    "DISPUTE_OPENED": "dispute.opened",
    "AGENT_REGISTERED": "agent.registered",
    "AGENT_SUSPENDED": "agent.suspended",
    "OUTCOME_RECORDED": "outcome.recorded",
    "ACCEPTED": "accepted",
    "REJECTED": "rejected",
    "REFUNDED": "refunded",
    "INTENT_AWARDED": "intent.awarded",
}
MULTIPARTY: Final = "settled.multiparty"
TEST: Final = "webhook.test"
DISABLED: Final = "webhook.disabled"
#: Named in the published documents; accepted, and never sent.
_NEVER_SENT: Final = ("proof.chain_linked", "graph.stage_settled")
NAMES: Final = frozenset({*_NAMES.values(), MULTIPARTY, TEST, DISABLED, *_NEVER_SENT})


def find_unknown_name(names: Sequence[str]) -> str | None:
    """The first name that a hook cannot ask for."""
    return next((name for name in names if name != EVERY_EVENT and name not in NAMES), None)


def event_names(event_type: str, payload: Mapping[str, Json]) -> tuple[str, ...]:
    """The names of an event, the most telling first; none if it is not sent."""
    name = _NAMES.get(event_type)
    if name is None:
        return ()
    payees = payload.get("payees")
    if event_type == "SETTLED" and isinstance(payees, (list, tuple)) and len(payees) > 1:
        return MULTIPARTY, name
    return (name,)


def find_delivered_name(
    wanted: Collection[str], event_type: str, payload: Mapping[str, Json]
) -> str | None:
    """The name under which a hook gets an event; None if it did not ask for it.

    Who asked for `settled` alone gets settlements of several payees too, under that name: a
    receiver must not miss money because it was split.
    """
    names = event_names(event_type, payload)
    if EVERY_EVENT in wanted:
        return names[0] if names else None
    return next((name for name in names if name in wanted), None)


# --- body ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is delivered; `event_id` stays the same over all tries, and is the receiver's key."""

    event_id: str
    name: str
    deal_id: str | None
    created_at: str
    log_index: int | None
    data: Mapping[str, Json]


def body_bytes(message: Message) -> bytes:
    """The exact bytes of a delivery: compact JSON, members sorted, ASCII. Raises CanonicalForm."""
    members: dict[str, Json] = {
        "id": message.event_id,
        "type": message.name,
        "deal_id": message.deal_id,
        "created_at": message.created_at,
        "log_index": message.log_index,
        "data": message.data,
    }
    return compact_text(members).encode("ascii")


# --- signatures ----------------------------------------------------------------------------------

KEY_PREFIX: Final = "whsec_"
TOLERANCE_SECONDS: Final = 300
#: A hook has its current secret, and for a while after a rotation the one before.
SECRETS_MAX: Final = 2
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_HEX_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def secret_bytes(secret: str) -> bytes:
    """The key that a secret stands for: base64 after `whsec_`, else its UTF-8.

    Raises InvalidField for an empty one and for what is not base64 after the prefix.
    """
    try:
        if secret.startswith(KEY_PREFIX):
            key = base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
        else:
            key = secret.encode()
    except (binascii.Error, ValueError) as error:  # a lone surrogate is a ValueError, too
        reason = "it is neither base64 after whsec_ nor text"
        raise InvalidField(field="secret", reason=reason) from error
    if not key:
        raise InvalidField(field="secret", reason="it is empty")
    return key


def secret_text(key: bytes) -> str:
    """The secret that stands for 32 random bytes, as it is shown once."""
    return KEY_PREFIX + base64.b64encode(key).decode("ascii")


def body_signature(secret: str, body: bytes) -> str:
    """Value of `X-AiGentsy-Signature`."""
    return "sha256=" + hmac.new(secret_bytes(secret), body, hashlib.sha256).hexdigest()


def standard_signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature of Standard Webhooks: `v1,` and base64 over `id.timestamp.body`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode("ascii")


def delivery_headers(
    message: Message, body: bytes, secrets: Sequence[str], now_us: int
) -> dict[str, str]:
    """All headers of one try; `secrets` are the current one, then the one it replaced, if any.

    `X-AiGentsy-Signature` has room for one, the current; `webhook-signature` has both.
    """
    assert 1 <= len(secrets) <= SECRETS_MAX
    timestamp = now_us // SECOND_US
    signatures = [
        standard_signature(secret, message.event_id, timestamp, body) for secret in secrets
    ]
    return {
        "Content-Type": "application/json",
        "X-AiGentsy-Event": message.name,
        "X-AiGentsy-Signature": body_signature(secrets[0], body),
        "webhook-id": message.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _within(timestamp: str, now_us: int, tolerance_seconds: int) -> bool:
    if not _SECONDS.fullmatch(timestamp):
        return False
    return abs(now_us // SECOND_US - int(timestamp)) <= tolerance_seconds


def verify_standard(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now_us: int,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> bool:
    """A Standard Webhooks message is from one who has one of the secrets, and is fresh.

    `headers` have lower-case names. Signatures of other versions are ignored.
    """
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or not _within(timestamp, now_us, tolerance_seconds):
        return False
    # The sender signed the digits it sent, so these are used, not the number they mean.
    signed = f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body
    found = [
        part.removeprefix("v1,").encode("utf-8", "replace")
        for part in headers.get("webhook-signature", "").split(" ")
        if part.startswith("v1,")
    ]
    wanted = [
        base64.b64encode(hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest())
        for secret in secrets
    ]
    return _any_equal(found, wanted)


def verify_stripe(
    header: str,
    body: bytes,
    secrets: Sequence[str],
    now_us: int,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> bool:
    """A `Stripe-Signature: t=..,v1=..` is by one who has one of the secrets, and is fresh.

    Stripe signs with the secret's own characters, `whsec_` included.
    """
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    if len(times) != 1 or not _within(times[0], now_us, tolerance_seconds):
        return False
    found = [
        value.encode("ascii")
        for name, _, value in pairs
        if name == "v1" and _HEX_SHA256.fullmatch(value)
    ]
    signed = times[0].encode("ascii") + b"." + body
    wanted = [
        hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode("ascii")
        for secret in secrets
    ]
    return _any_equal(found, wanted)


def _any_equal(found: Sequence[bytes], wanted: Sequence[bytes]) -> bool:
    # Every pair is compared, so that the time taken does not tell which secret is in use.
    return sum(hmac.compare_digest(one, other) for one in found for other in wanted) > 0


def inbound_event_id(rail: str, provider_id: str) -> str:
    """Our id for what a rail told us under an id of its own."""
    return "evt_" + framed_hash("webhook-event", rail, provider_id)[:32]


# --- tries ---------------------------------------------------------------------------------------

TRY_SECONDS: Final = 15
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
#: Seconds from one try to the next; the first comes at once.
TRY_DELAYS: Final = (
    *(0, 5, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR),
    *(5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR),
)
TRIES_MAX: Final = len(TRY_DELAYS)
#: A draw is a whole number from 0 up to this, evenly: where in +-10 % the next try falls.
DRAW_MAX: Final = 2**32 - 1
_GONE: Final = 410


class AfterTry(StrEnum):
    """What follows from one try."""

    DELIVERED = "delivered"
    RETRY = "retry"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The delivery's next step; `delay_us` counts from the end of the try."""

    then: AfterTry
    delay_us: int = 0


def after_try(tries: int, status: int | None, draw: int) -> Next:
    """What to do after the `tries`-th try; `status` is None when no answer came.

    2xx is success. 3xx is a failure like 4xx and 5xx: nothing is followed. 410 disables the hook at
    once, and so does the last failure.
    """
    assert tries >= 1
    if status is not None and status // 100 == 2:  # noqa: PLR2004  # a class of statuses
        return Next(then=AfterTry.DELIVERED)
    if status == _GONE or tries >= TRIES_MAX:
        return Next(then=AfterTry.DISABLE)
    return Next(then=AfterTry.RETRY, delay_us=try_delay_us(tries, draw))


def try_delay_us(tries: int, draw: int) -> int:
    """From the end of the `tries`-th try to the next: the schedule's delay, +-10 % as drawn."""
    assert 0 <= draw <= DRAW_MAX
    base_us = TRY_DELAYS[tries] * SECOND_US
    spread_us = base_us // 5
    return base_us - spread_us // 2 + spread_us * draw // DRAW_MAX
