"""The bodies of calls, as typed readers whose schema is the published one.

Guarantees: required members are there and of their type, or the refusal names the first that is
not; unknown members are ignored; `null` is absent, and so is "" where a member has no text of its
own as default (contract §1.1: clients send "" for an id they do not have).
Does not: look anything up. Answers' members are in `promises.py`.

Contract §1.1, §2. Change colour: amber.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec

from settlement.core.api_keys import GRACE_SECONDS, GRACE_SECONDS_MAX
from settlement.core.errors import AmountMalformed, InvalidField, MalformedId, MemberMissing
from settlement.core.mandates import VALID_SECONDS_MAX
from settlement.edge.http.money import Amount

T = TypeVar("T", bound=msgspec.Struct)

TEXT_CHARS_MAX: Final = 20_000
_AT: Final = re.compile(r" - at `\$\.?(.*?)`$")
_ABSENT: Final = re.compile(r"^Object missing required field `(.+?)`")


class Body(msgspec.Struct, kw_only=True, frozen=True):
    """Base of every body."""


class NoBody(Body, kw_only=True, frozen=True):
    """Nothing is needed; what is sent is ignored."""


class RegisterBody(Body, kw_only=True, frozen=True):
    name: str
    capabilities: list[str] = []
    agent_type: str = "ai_agent"
    description: str = ""
    api_endpoint: str = ""
    owner_email: str = ""
    public_key_base64: str | None = None


class StampBody(Body, kw_only=True, frozen=True):
    agent_id: str | None = None
    description: str = ""
    attachment_url: str | None = None


class ProofPackBody(Body, kw_only=True, frozen=True):
    agent_username: str | None = None
    vertical: str = "marketing"
    proof_type: str = "completion_photo"
    scope_summary: str = ""
    proof_data: dict[str, Any] = {}
    attachment_url: str | None = None
    sku_id: str = ""
    deal_id: str | None = None
    parent_proof_ids: list[str] = []
    proof_hash: str | None = None
    price: Amount | None = None
    estimated_price: Amount | None = None
    policy: list[dict[str, Any]] = []


class GoBody(Body, kw_only=True, frozen=True):
    deal_id: str
    quote_id: str
    scope_lock_hash: str
    amount: Amount | None = None
    actor_id: str | None = None
    buyer_email: str = ""
    vertical: str = ""
    scope_summary: str = ""


class AcceptanceBody(Body, kw_only=True, frozen=True):
    deal_id: str
    downstream_action: str = "settle"
    review_deadline_seconds: Annotated[int, msgspec.Meta(ge=0, le=VALID_SECONDS_MAX)] = 0


class DecisionBody(Body, kw_only=True, frozen=True):
    decision: str | None = None
    reason: str = ""
    checks_passed: list[str] = []
    checks_failed: list[str] = []
    quote_id: str | None = None


class MandateBody(Body, kw_only=True, frozen=True):
    buyer_id: str | None = None
    max_amount_per_deal_usd: Amount
    allowed_verticals: list[str]
    confidence_threshold: Any  # read digit for digit, as an amount is, but zero is one too
    reserve: Amount | None = None
    valid_seconds: Annotated[int, msgspec.Meta(ge=1, le=VALID_SECONDS_MAX)] | None = None


class AutoGoBody(Body, kw_only=True, frozen=True):
    deal_id: str
    quote_id: str
    buyer_id: str | None = None
    mandate_id: str | None = None
    seller_agent_id: str | None = None


class VerifyBody(Body, kw_only=True, frozen=True):
    deal_id: str
    proof_hash: str = ""
    proof_type: str
    provider: str | None = None
    proof_data: dict[str, Any] = {}
    metadata: dict[str, Any] = {}


class SettleBody(Body, kw_only=True, frozen=True):
    """Shape A names actor and counterparty, shape B the payee; both are one call."""

    deal_id: str
    amount: Amount | None = None
    amount_usd: Amount | None = None
    actor_id: str | None = None
    counterparty_id: str | None = None
    to_agent: str | None = None
    provider: str | None = None
    proof_hash: str | None = None


class SplitBody(Body, kw_only=True, frozen=True):
    agent_id: str
    role: str = ""
    share: Amount


class SettleMultiBody(Body, kw_only=True, frozen=True):
    deal_id: str
    total_amount_usd: Amount | None = None
    splits: list[SplitBody]
    actor_id: str | None = None
    counterparty_id: str | None = None
    provider: str | None = None
    proof_hash: str | None = None


class DestinationBody(Body, kw_only=True, frozen=True):
    owner_id: str | None = None
    rail: str
    address: str
    metadata: dict[str, Any] = {}
    auto: bool = False


class PayoutBody(Body, kw_only=True, frozen=True):
    deal_id: str
    agent_id: str | None = None
    destination_id: str | None = None


class IntentBody(Body, kw_only=True, frozen=True):
    client_id: str | None = None
    capability: str
    budget_usd: Amount
    deadline_hours: int = 24
    requirements: Any = None


class BidBody(Body, kw_only=True, frozen=True):
    agent_id: str | None = None
    price_usd: Amount
    delivery_hours: int
    message: str = ""


class BundleBody(Body, kw_only=True, frozen=True):
    """Any bundle; what it must hold is what the check says."""

    bundle: dict[str, Any] | None = None


class WebhookBody(Body, kw_only=True, frozen=True):
    url: str
    events: list[str] = []
    secret: str | None = None


class RotateSecretBody(Body, kw_only=True, frozen=True):
    secret: str | None = None
    overlap_seconds: int = 86_400


class ReplayBody(Body, kw_only=True, frozen=True):
    since_log_index: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0


class KeyBody(Body, kw_only=True, frozen=True):
    name: str = ""
    scopes: list[str] | None = None
    expires_at: str | None = None


class RotateKeyBody(Body, kw_only=True, frozen=True):
    grace_seconds: Annotated[int, msgspec.Meta(ge=0, le=GRACE_SECONDS_MAX)] = GRACE_SECONDS


class RevokeKeyBody(Body, kw_only=True, frozen=True):
    reason: str = ""


class ValidateKeyBody(Body, kw_only=True, frozen=True):
    api_key: str | None = None
    scope: str | None = None


class Problem(msgspec.Struct, kw_only=True):
    """RFC 9457 with our members; `/problems/<code>` is described in docs/errors.md."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    ok: bool
    error: str
    retry: str


def read(members: dict[str, Any], shape: type[T]) -> T:
    """Read a parsed body; raises MemberMissing, InvalidField or AmountMalformed."""
    required, spoken = _plan(shape)
    kept = {
        name: value
        for name, value in members.items()
        if value is not None and (value != "" or name in spoken)
    }
    for name in required:
        if name not in kept:
            raise MemberMissing(field=name)
    try:
        return msgspec.convert(kept, shape, dec_hook=_decode)
    except msgspec.ValidationError as error:
        _refuse(str(error))


@cache
def _plan(shape: type[msgspec.Struct]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Required members, and those in which "" is a text like any other."""
    fields = msgspec.structs.fields(shape)
    required = tuple(one.encode_name for one in fields if one.required)
    spoken = frozenset(one.encode_name for one in fields if isinstance(one.default, str))
    return required, spoken


def _decode(wanted: type, value: object) -> object:
    if wanted is Amount:
        return Amount(value)
    raise NotImplementedError(wanted)


def _refuse(message: str) -> NoReturn:
    """Turn the reader's sentence into one of ours, keeping which member it is about."""
    place = _AT.search(message)
    where = place[1] if place else ""
    reason = _AT.sub("", message)
    absent = _ABSENT.match(reason)
    if absent:
        raise MemberMissing(field=f"{where}.{absent[1]}" if where else absent[1])
    if reason == "not a number or its text":
        raise AmountMalformed(field=where)
    raise InvalidField(field=where or "body", reason=reason[:1].lower() + reason[1:])


def free_text(text: str, field: str, limit: int = TEXT_CHARS_MAX) -> str:
    """Accept text up to a limit; the body's own limit would let one member fill a page."""
    if len(text) > limit:
        raise InvalidField(field=field, reason=f"longer than {limit} characters")
    return text


def optional(value: str | None, check: Any, field: str) -> str | None:
    """Check an id or hash when there is one."""
    return None if value is None else str(check(value, field))


def word(text: str, field: str) -> str:
    """A word of an open vocabulary such as a proof type: 1 to 64 of letters, digits, `_.-`."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", text):
        raise MalformedId(field=field)
    return text
