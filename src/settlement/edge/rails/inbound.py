"""Reads what rails send: who signed it, which message it is, what it says.

For: the webhook route, which checks and stores, and `service/inbox.py`, which applies.
Guarantees: without a secret nothing is signed; amounts are the message's integers in minor units,
and nothing else is taken for one; a type that is not listed here is no news.
Does not: store, apply or answer.

Spec §10.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from settlement.core.inbound import RailNews, Unreadable
from settlement.core.webhooks import verify_standard

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE_CHARS_MAX: Final = 200
#: Type -> what it is news of.
_Kind = Literal["charge", "payout", "refund", "chargeback"]
_SAID: Final[Mapping[str, tuple[_Kind, Literal["confirmed", "refused"]]]] = {
    "charge.succeeded": ("charge", "confirmed"),
    "charge.failed": ("charge", "refused"),
    "payout.paid": ("payout", "confirmed"),
    "payout.failed": ("payout", "refused"),
    "refund.succeeded": ("refund", "confirmed"),
    "refund.failed": ("refund", "refused"),
    "charge.disputed": ("chargeback", "confirmed"),
}


@dataclass(frozen=True, slots=True)
class SimulatedInbound:
    """The simulated rail's messages: Standard Webhooks around `{type, data}`."""

    secrets: tuple[str, ...] = field(repr=False)

    def is_signed(self, headers: Mapping[str, str], body: bytes, now_us: int) -> bool:
        """By the current secret or the one before."""
        return verify_standard(headers, body, self.secrets, now_us)

    def message_id(self, headers: Mapping[str, str], members: Mapping[str, Any]) -> str | None:
        """The signed header's."""
        del members
        return reference(headers.get("webhook-id"))

    def read(self, members: Mapping[str, Any]) -> RailNews | None:
        """`data` has rail_ref, asset, amount_minor, and deal_id, rail_key, code where known."""
        said = _SAID.get(str(members.get("type")))
        if said is None:
            return None
        data = object_in(members, "data")
        return RailNews(
            kind=said[0],
            state=said[1],
            rail_ref=text_in(data, "rail_ref"),
            asset=text_in(data, "asset"),
            amount_minor=amount_in(data, "amount_minor"),
            deal_id=reference(data.get("deal_id")),
            rail_key=reference(data.get("rail_key")),
            code=reference(data.get("code")),
        )


def object_in(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A member that is an object; raises Unreadable."""
    found = members.get(name)
    if not isinstance(found, dict):
        raise Unreadable(f"{name} is no object")
    return found


def reference(value: object) -> str | None:
    """A short printable text, or none."""
    if not isinstance(value, str) or not 0 < len(value) <= _REFERENCE_CHARS_MAX:
        return None
    return value if value.isascii() and value.isprintable() else None


def text_in(members: Mapping[str, Any], name: str) -> str:
    """A member that is a short printable text; raises Unreadable."""
    found = reference(members.get(name))
    if found is None:
        raise Unreadable(f"{name} is missing or no short text")
    return found


def amount_in(members: Mapping[str, Any], name: str) -> int:
    """A member that is an amount; raises Unreadable."""
    found = members.get(name)
    if type(found) is not int or found <= 0:
        raise Unreadable(f"{name} is no whole number above zero")
    return found
