"""Deals to settle: agents registered, work proved, approved and, if asked, paid into escrow.

Guarantees: everything goes through the same operations as over HTTP; every deal has the state its
name says when the function returns, committed.
Does not: time anything.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.core.clock import time_text
from settlement.core.operations import Go, ProofPack, RecordPayment, Settle
from settlement.core.principal import ANONYMOUS, SYSTEM, Principal, PrincipalKind
from settlement.service.fresh import new_id
from settlement.service.register import Profile, new_registration
from settlement.store.database import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.operation import Operation
    from settlement.service.engine import Engine

GROSS_MINOR = 10_000
RAIL = "simulated"


@dataclass(frozen=True, slots=True)
class Seller:
    """An agent with the key it got at registration."""

    agent_id: str
    api_key: str

    @property
    def principal(self) -> Principal:
        """As the edge would name the caller of this key."""
        return Principal(kind=PrincipalKind.AGENT, agent_id=self.agent_id)


@dataclass(frozen=True, slots=True)
class Approved:
    """An approved deal and its seller."""

    deal_id: str
    seller: Seller

    def settle(self) -> Settle:
        """The seller's call."""
        return Settle(
            principal=self.seller.principal,
            deal_id=self.deal_id,
            amount_minor=GROSS_MINOR,
            actor_id=self.seller.agent_id,
        )


def _all(engine: Engine, ops: Sequence[Operation]) -> list[dict[str, object]]:
    results = []
    for answer in engine.execute_all(ops):
        if answer.error is not None:
            raise answer.error
        assert answer.result is not None, "prepared operations are final"
        results.append(answer.result)
    return results


def sellers(engine: Engine, count: int) -> list[Seller]:
    """Register agents."""
    now = time_text(SystemClock().now_us())
    made = [new_registration(ANONYMOUS, Profile(name=f"seller {n}"), now=now) for n in range(count)]
    results = _all(engine, [registration.operation for registration in made])
    return [
        Seller(str(result["agent_id"]), registration.api_key)
        for result, registration in zip(results, made, strict=True)
    ]


def approved(
    engine: Engine, among: Sequence[Seller], count: int, *, funded: bool
) -> list[Approved]:
    """Deals that wait for nothing but their settle; `funded`: the escrow holds the gross."""
    chosen = [among[n % len(among)] for n in range(count)]
    quotes = [f"quote_{secrets.token_hex(16)}" for _ in chosen]
    packs = [
        ProofPack(
            principal=seller.principal,
            new_deal_id=new_id("deal_"),
            quote_id=quote,
            agent_username=seller.agent_id,
            vertical="marketing",
            price_minor=GROSS_MINOR,
        )
        for seller, quote in zip(chosen, quotes, strict=True)
    ]
    made = _all(engine, packs)
    gos = [
        Go(
            principal=ANONYMOUS,
            deal_id=str(result["deal_id"]),
            quote_id=quote,
            scope_lock_hash=str(result["scope_lock_hash"]),
            actor_id="buyer",
        )
        for result, quote in zip(made, quotes, strict=True)
    ]
    _all(engine, gos)
    deals = [
        Approved(str(result["deal_id"]), seller)
        for result, seller in zip(made, chosen, strict=True)
    ]
    if funded:
        _all(engine, [_payment(deal) for deal in deals])
    return deals


def _payment(deal: Approved) -> RecordPayment:
    reference = secrets.token_hex(12)
    return RecordPayment(
        principal=SYSTEM,
        deal_id=deal.deal_id,
        amount_minor=GROSS_MINOR,
        rail=RAIL,
        rail_ref=f"ch_{reference}",
        message_id=f"msg_{reference}",
    )
