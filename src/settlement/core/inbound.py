"""What a rail tells us by itself, and what the house asks of whoever reads a rail's messages.

For: `service/inbox.py`, which applies news, and `edge/rails/inbound.py`, which reads messages.
Guarantees: news is about one charge, payout or refund, or about money that left a charge by itself,
with whole minor units and the rail's own reference for the money; what cannot be read as news
raises `Unreadable` or is none.
Does not: check a signature or move money.

Spec §10.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Unreadable(Exception):
    """A message of a known type whose members are not what that type has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RailNews:
    """One thing a rail says has happened.

    kind: `refunded_total` says how much of a charge has gone back in all, by whomever; `chargeback`
    that the buyer's bank takes it back.
    rail_ref: the rail's own name of the money, the same in every message about it.
    deal_id: None where the rail does not know it, and the charge that is named tells.
    rail_key: the key we sent, where the rail was asked by us; None for money paid in from outside.
    """

    kind: Literal["charge", "payout", "refund", "refunded_total", "chargeback"]
    state: Literal["confirmed", "refused"]
    rail_ref: str
    asset: str
    amount_minor: int
    deal_id: str | None = None
    rail_key: str | None = None
    code: str | None = None


class Inbound(Protocol):
    """Reads one rail's messages. Pure, but for the secrets it holds."""

    def is_signed(self, headers: Mapping[str, str], body: bytes, now_us: int) -> bool:
        """The rail sent these bytes, lately. `headers` have lower-case names."""
        ...

    def message_id(self, headers: Mapping[str, str], members: Mapping[str, Any]) -> str | None:
        """The rail's own id of the message, the same every time it sends it."""
        ...

    def read(self, members: Mapping[str, Any]) -> RailNews | None:
        """The news; None for a type we do not know. Raises Unreadable."""
        ...
