"""A bid before it is sealed and after it is opened: its terms, its commitment, its padded text.

For: the exchange's service, which commits and seals, the close, which opens and compares, and
whoever checks an award.
Guarantees: the commitment fixes intent, bidder and every term, and with a nonce of 32 random bytes
tells nothing about them; ordinary bids are all of one length once padded.
Does not: encrypt. The keys are in `settlement/sealing.py`; a decision gets an `Opener` from there.

Spec §13. Change colour: red (FORMAT: published bytes, and bids sealed long ago).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from settlement.core.canonical import framed_hash, k_bytes, load_json
from settlement.core.errors import CanonicalForm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settlement.core.intent_rows import Bid, Intent

NONCE_BYTES: Final = 32
SEAL_KEY_BYTES: Final = 32
#: Every padded text is a multiple of this, so that a length tells no price and no short message.
BLOCK_BYTES: Final = 1024
_LENGTH_BYTES: Final = 4


class BidUnreadable(ValueError):
    """A text or a member that no bid of ours has; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BidTerms:
    """What is secret until the close."""

    asset: str
    delivery_hours: int
    message: str
    price_minor: int

    def text(self) -> bytes:
        """K of the four members, as the commitment covers them."""
        return k_bytes(
            {
                "asset": self.asset,
                "delivery_hours": self.delivery_hours,
                "message": self.message,
                "price_minor": self.price_minor,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedBid:
    """The terms of one bid and the nonce that opens its commitment."""

    terms: BidTerms
    nonce: bytes


def commitment_of(intent_id: str, agent_id: str, terms: BidTerms, nonce: bytes) -> str:
    """F(bid; intent, agent, terms, nonce)."""
    assert len(nonce) == NONCE_BYTES, "a nonce is 32 bytes"
    return framed_hash("bid", intent_id, agent_id, terms.text(), nonce)


def budget_commitment(intent_id: str, asset: str, budget_minor: int, nonce: bytes) -> str:
    """F(budget; ..): fixes the budget before the first bid without telling it."""
    assert len(nonce) == NONCE_BYTES, "a nonce is 32 bytes"
    text = k_bytes({"asset": asset, "budget_minor": budget_minor})
    return framed_hash("budget", intent_id, text, nonce)


def padded(opened: OpenedBid) -> bytes:
    """What is encrypted: a length, the bid with its nonce, zeros up to a whole block."""
    terms = opened.terms
    text = k_bytes(
        {
            "asset": terms.asset,
            "delivery_hours": terms.delivery_hours,
            "message": terms.message,
            "nonce": opened.nonce.hex(),
            "price_minor": terms.price_minor,
        }
    )
    body = len(text).to_bytes(_LENGTH_BYTES, "big") + text
    return body + bytes(-len(body) % BLOCK_BYTES)


def unpadded(text: bytes) -> OpenedBid:
    """Read `padded` back; raises BidUnreadable for anything it cannot have made."""
    end = _LENGTH_BYTES + int.from_bytes(text[:_LENGTH_BYTES], "big")
    if len(text) % BLOCK_BYTES or end > len(text) or any(text[end:]):
        raise BidUnreadable("its padding is not ours")
    try:
        opened = opened_from(load_json(text[_LENGTH_BYTES:end]))
    except CanonicalForm as error:
        raise BidUnreadable("it is not JSON") from error
    if padded(opened) != text:
        raise BidUnreadable("it is not in the form that was sealed")
    return opened


def opened_from(members: Any) -> OpenedBid:
    """The terms and nonce of a revealed bid; raises BidUnreadable when a member is not one."""
    if not isinstance(members, dict):
        raise BidUnreadable("it is not an object")
    return OpenedBid(
        terms=BidTerms(
            asset=_member(members, "asset", str),
            delivery_hours=_member(members, "delivery_hours", int),
            message=_member(members, "message", str),
            price_minor=_member(members, "price_minor", int),
        ),
        nonce=nonce_from(_member(members, "nonce", str)),
    )


def nonce_from(text: str) -> bytes:
    """The 32 bytes of a nonce written in hex; raises BidUnreadable."""
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_BYTES or nonce.hex() != text:
        raise BidUnreadable("its nonce is not 32 bytes in hex")
    return nonce


def parse_seal_key(text: str) -> bytes:
    """The operator's seal key out of base64; raises ValueError."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != SEAL_KEY_BYTES:
        raise ValueError("it must be 32 bytes in base64, as `openssl rand -base64 32` makes them")
    return key


def _member(members: Mapping[str, Any], name: str, kind: type) -> Any:
    value = members.get(name)
    if type(value) is not kind:
        raise BidUnreadable(f"{name} is missing or of the wrong type")
    return value


class Opener(Protocol):
    """Opens the sealed bids of one intent: a pure function once it has its key.

    It comes with the operation that closes, so that a decision stays free of files and settings.
    """

    def open_bids(self, intent: Intent, bids: Sequence[Bid]) -> tuple[OpenedBid, ...]:
        """The bids in the order given; raises SealKeyMissing, StoreCorrupt."""
        ...
