"""The money of one settlement: gross, fees, and each payee's part of the net.

For: settle, which fixes the terms, and the rail's confirmation, which books exactly those.
Guarantees: gross = platform fee + protocol fee + net; the payees' nets sum to the net and their
fees to the fees, with no payee at nothing (spec §5.5). Terms survive a round trip through the
effect's plan unchanged.
Does not: choose payees or look anything up.

Spec §3, §5.5. Change colour: red.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from settlement.core.money import allocate, parse_shares, split_shares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settlement.core.fees import FeeQuote
    from settlement.core.rows import Deal

WHOLE_SHARE = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A payee as the caller named it."""

    agent_id: str
    role: str
    share: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A payee with its money."""

    agent_id: str
    role: str
    share: str
    fee_minor: int
    net_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A gross taken apart among its payees."""

    gross_minor: int
    platform_fee_minor: int
    protocol_fee_minor: int
    net_minor: int
    components: tuple[tuple[str, int], ...]  # named platform fees
    fee_policy: str
    fee_policy_hash: str
    tier: str
    volume_minor: int
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        fees = self.platform_fee_minor + self.protocol_fee_minor
        assert self.gross_minor == fees + self.net_minor, "net is what remains of the gross"
        assert sum(amount for _, amount in self.components) == self.platform_fee_minor
        assert sum(part.net_minor for part in self.parts) == self.net_minor
        assert sum(part.fee_minor for part in self.parts) == fees

    def as_plan(self) -> dict[str, Any]:
        """The form kept in an effect's plan."""
        return asdict(self)


def fix_terms(quote: FeeQuote, payees: Sequence[Named]) -> Terms:
    """Divide the quoted net and fees; raises NetBelowMinimum when a payee would get nothing."""
    fees = quote.platform_minor + quote.protocol_minor
    if len(payees) == 1:
        nets: Sequence[int] = (quote.net_minor,)
        fee_parts: Sequence[int] = (fees,)
    else:
        shares = [payee.share for payee in payees]
        nets = split_shares(quote.net_minor, shares, gross_minor=quote.gross_minor)
        fee_parts = allocate(fees, parse_shares(shares))
    return Terms(
        gross_minor=quote.gross_minor,
        platform_fee_minor=quote.platform_minor,
        protocol_fee_minor=quote.protocol_minor,
        net_minor=quote.net_minor,
        components=tuple((part.name, part.amount_minor) for part in quote.components),
        fee_policy=quote.policy_id,
        fee_policy_hash=quote.policy_hash,
        tier=quote.tier,
        volume_minor=quote.volume_minor,
        parts=tuple(
            Part(
                agent_id=payee.agent_id,
                role=payee.role,
                share=payee.share,
                fee_minor=fee,
                net_minor=net,
            )
            for payee, net, fee in zip(payees, nets, fee_parts, strict=True)
        ),
    )


def terms_from_plan(plan: Mapping[str, Any]) -> Terms:
    """Read terms back from an effect's plan."""
    return Terms(
        **{
            **plan,
            "components": tuple((name, amount) for name, amount in plan["components"]),
            "parts": tuple(Part(**part) for part in plan["parts"]),
        }
    )


def settle_result(
    deal: Deal, terms: Terms, *, provider: str, closing: Mapping[str, Any]
) -> dict[str, Any]:
    """The answer of a settle, the same members whether it is final or waits for the rail.

    closing: status, events_emitted, tx_id, settled_at, payouts.
    """
    parts = terms.parts
    buyer = deal.buyer_id or deal.buyer_label or "anonymous"
    return {
        "deal_id": deal.deal_id,
        "asset": deal.asset,
        "gross_minor": terms.gross_minor,
        "platform_fee_minor": terms.platform_fee_minor,
        "protocol_fee_minor": terms.protocol_fee_minor,
        "net_minor": terms.net_minor,
        "gross_amount_minor": terms.gross_minor,
        "net_to_recipient_minor": terms.net_minor,
        "from_agent": buyer,
        "to_agent": parts[0].agent_id,
        "provider": provider,
        "fee_tier": terms.tier,
        "splits": [
            {
                "agent_id": part.agent_id,
                "role": part.role,
                "share": part.share,
                "gross_amount_minor": part.net_minor + part.fee_minor,
                "fee_amount_minor": part.fee_minor,
                "net_amount_minor": part.net_minor,
            }
            for part in parts
        ],
        **closing,
    }
