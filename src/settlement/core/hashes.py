"""The named hashes: H1 to H7 in their published form, and the strong forms of our own.

Guarantees: each function covers exactly the bytes spec §2 lists. A `Digest` holds both the wire cut
and the full 64 hex; equality and uniqueness are decided on `full`, because a cut of 96 bits can be
collided by someone who chooses both inputs.
Does not: validate ids - the alphabets of spec §1.2 are what keeps `|`-joined fields unambiguous.

Spec §2, §4.4, §5.3, §6.2, §6.4, §10.1. Change colour: red (FORMAT).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Final, Protocol, TypeAlias

from settlement.core.canonical import (
    Json,
    check_text,
    event_json,
    framed_hash,
    j_text,
    k_bytes,
    k_string,
    number_text,
    sha256_hex,
)
from settlement.core.errors import CanonicalForm
from settlement.core.money import Asset, format_exact

Scalar: TypeAlias = "str | int | Decimal | bool | None"

_RESERVED: Final = frozenset({"deal_id", "action"})
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Digest:
    """A hash in both forms: `full` is compared and stored, `wire` is what clients see."""

    full: str
    wire: str


def _cut(text: str, length: int, prefix: str = "") -> Digest:
    full = hashlib.sha256(check_text(text).encode()).hexdigest()
    return Digest(full, prefix + full[:length])


def python_str(value: Scalar) -> str:
    """Spell a value the way Python's str() does: `True`, `None`, `100.0`, `1e-07`."""
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, (bool, int)):
        return str(value)
    if isinstance(value, Decimal):
        return number_text(value)
    raise CanonicalForm(reason=f"{type(value).__name__} has no plain spelling")


def _decimal(value: str | int | Decimal, name: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise CanonicalForm(reason=f"{name} is not a number") from error
    if not number.is_finite():
        raise CanonicalForm(reason=f"{name} is not finite")
    return number


# --- H1 to H7 ------------------------------------------------------------------------------------


def idempotency_key(
    deal_id: str, action: str, params: Mapping[str, Scalar] | None = None
) -> Digest:
    """H1: the derived idempotency key. Extra parameters are spelled as str()."""
    members: dict[str, Json] = {"deal_id": deal_id, "action": action}
    for name, value in (params or {}).items():
        if name in _RESERVED:
            raise CanonicalForm(reason=f"a parameter may not be named {name}")
        members[name] = python_str(value)
    return _cut(j_text(members), 24, "idem_")


def event_hash(record: Mapping[str, Json]) -> str:
    """H2: the hash of an event's seven members. Never cut."""
    return sha256_hex(event_json(record))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeTerms:
    """What a quote fixes; the scope lock covers it."""

    vertical: str
    sku_id: str
    scope_summary: str
    price_minor: int
    asset: Asset
    policy_hash: str
    proof_hash: str

    def composite(self) -> str:
        """The published text: six fields joined by `|`, the price as `99.0`."""
        price = number_text(Decimal(format_exact(self.price_minor, self.asset)))
        return "|".join(
            (
                self.vertical,
                self.sku_id,
                self.scope_summary,
                price,
                self.policy_hash,
                self.proof_hash,
            )
        )


def scope_lock_of(composite: str) -> Digest:
    """H3 over a composite already joined."""
    return _cut(composite, 32)


def scope_lock_hash(terms: ScopeTerms) -> Digest:
    """H3: the scope lock clients see."""
    return scope_lock_of(terms.composite())


def scope_digest(terms: ScopeTerms) -> str:
    """The strong scope lock (spec §2.2); unlike H3 no two field lists share it."""
    return framed_hash(
        "settle/scope_lock/v2",
        terms.vertical,
        terms.sku_id,
        terms.scope_summary,
        str(terms.price_minor),
        terms.asset.currency,
        terms.policy_hash,
        terms.proof_hash,
    )


def policy_hash(predicates: Sequence[Json]) -> Digest:
    """H4: the settlement policy; the order of predicates counts, the order of keys does not."""
    return _cut(j_text(list(predicates)), 24)


def receipt_hash(
    deal_id: str, proof_hash: str, provider: str, *, verified: bool, confidence: str | Decimal
) -> Digest:
    """H5: the receipt hash; confidence is decimal text, `0.80` and `0.8` are one, `1` is `1.0`."""
    shown = number_text(_decimal(confidence, "confidence"))
    return _cut(f"{deal_id}|{proof_hash}|{provider}|{bool(verified)}|{shown}", 24)


def verification_hash(deal_id: str, proof_hash: str, provider: str, *, verified: bool) -> Digest:
    """H7: the verification hash."""
    return _cut(f"{deal_id}|{proof_hash}|{provider}|{bool(verified)}", 24)


def dedup_key(
    entry_type: str,
    ref: str,
    debit: str | int | Decimal,
    credit: str | int | Decimal,
    meta: Mapping[str, Json],
) -> Digest:
    """H6: the ledger line's key. Amounts are quantised to cents, half-even; negatives refused."""
    members: dict[str, Json] = {
        "deal_id": _first_text(meta, "deal_id"),
        "entry_type": entry_type,
        "ref": ref,
        "debit": _cents(debit, "debit"),
        "credit": _cents(credit, "credit"),
        "currency": _first_text(meta, "currency") or "USD",
        "counterparty": _first_text(meta, "from", "to", "counterparty"),
        "event_id": _first_text(meta, "event_id", "tx_id"),
    }
    return _cut(j_text(members), 24)


def _first_text(meta: Mapping[str, Json], *names: str) -> str:
    for name in names:
        value = meta.get(name)
        if isinstance(value, str) and value:
            return value
        if not (value is None or isinstance(value, str)):
            raise CanonicalForm(reason=f"meta {name} is not text")
    return ""


def _cents(value: str | int | Decimal, name: str) -> str:
    number = _decimal(value, name)
    if number < 0:
        raise CanonicalForm(reason=f"{name} is negative")
    try:
        # abs() so that a written -0.00 is the one zero.
        return format(abs(number.quantize(_CENT, rounding=ROUND_HALF_EVEN)), "f")
    except InvalidOperation as error:
        raise CanonicalForm(reason=f"{name} is too large") from error


# --- strong forms --------------------------------------------------------------------------------


class HashedLeg(Protocol):
    """What the ledger hash covers of one transfer; accounts as refs, not row ids."""

    @property
    def leg(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def asset(self) -> str: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def debit(self) -> str: ...
    @property
    def credit(self) -> str: ...
    @property
    def hold_id(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LegFacts:
    """The hashed facts of one transfer, for callers that hold no richer record."""

    leg: int
    kind: str
    phase: str
    asset: str
    amount_minor: int
    debit: str
    credit: str
    hold_id: str | None = None


def tx_hash(tx_id: str, deal_id: str, legs: Sequence[HashedLeg]) -> str:
    """F(ledger-tx; K({tx_id, deal_id, legs})): binds an event to the transfers it caused."""
    return framed_hash("ledger-tx", tx_text(tx_id, deal_id, legs))


def tx_text(tx_id: str, deal_id: str, legs: Sequence[HashedLeg]) -> str:
    """The K text under `tx_hash`, assembled from parts: this is on the hot path of every settle."""
    lines = ",".join(
        [
            f'{{"amount_minor":{leg.amount_minor:d},"asset":{k_string(leg.asset)},'
            f'"credit":{k_string(leg.credit)},"debit":{k_string(leg.debit)},'
            f'"hold_id":{"null" if leg.hold_id is None else k_string(leg.hold_id)},'
            f'"kind":{k_string(leg.kind)},"leg":{leg.leg:d},"phase":{k_string(leg.phase)}}}'
            for leg in legs
        ]
    )
    return f'{{"deal_id":{k_string(deal_id)},"legs":[{lines}],"tx_id":{k_string(tx_id)}}}'


def proof_digest(proof_type: str, proof_data: Json, attachment_url: str | None) -> str:
    """F(proof; K(..)): the proof hash we make when the caller sends none (spec §4.4)."""
    members: Json = {
        "proof_type": proof_type,
        "proof_data": _proof_form(proof_data),
        "attachment_url": attachment_url,
    }
    return framed_hash("proof", k_bytes(members))


def proof_data_text(proof_data: Json) -> str:
    """The text of proof data as it is hashed and stored: K of its exact form."""
    return k_bytes(_proof_form(proof_data)).decode()


def _proof_form(value: Json) -> Json:
    """Numbers as exact text, member names in ASCII, so that any caller's data has a K form."""
    if isinstance(value, Mapping):
        members: dict[str, Json] = {}
        for name, part in value.items():
            shown = name if name.isascii() else j_text(name)[1:-1]
            if shown in members:
                raise CanonicalForm(reason="two member names share one ASCII form")
            members[shown] = _proof_form(part)
        return members
    if isinstance(value, (list, tuple)):
        return [_proof_form(part) for part in value]
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    return value


def fingerprint(op: str, args: Mapping[str, Json]) -> str:
    """SHA-256(K({op, args})) with null arguments dropped: what a key was used for (spec §6.2)."""
    kept = {name: value for name, value in args.items() if value is not None}
    return sha256_hex(k_bytes({"op": op, "args": kept}))


def rail_key(obligation_key: str) -> str:
    """F(obligation; key): what a rail is given, from what is owed, never from the attempt."""
    return framed_hash("obligation", obligation_key)


def webhook_event_id(rail: str, provider_event_id: str) -> str:
    """The event id a provider's message becomes, equal on every delivery of it (spec §10.1)."""
    return "evt_" + framed_hash("webhook-event", rail, provider_event_id)[:32]
