"""The whole house on Stripe: deals whose buyers pay there and whose payees are paid through it.

Guarantees: as `tests/support/house.py`; nothing runs by itself, and time passes for the database,
for Stripe and for everything that waits alike.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from settlement.core.clock import SECOND_US, parse_time, time_text
from settlement.core.operations import RequestPayout
from settlement.service import destinations
from settlement.service.destinations import NewDestination
from settlement.signing import create_key_file
from settlement.store.database import SystemClock
from tests.support.house import Play, SteppingClock, house
from tests.support.logs import raw_sql
from tests.support.rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from settlement.core.principal import Principal
    from settlement.service.answers import Answer
    from settlement.wiring import Services
    from tests.support.stripe import Stripe


class StripePlay(Play):
    """Lets things happen in a house on Stripe."""

    def __init__(
        self, services: Services, stripe: Stripe, url: str, clock: SteppingClock | None
    ) -> None:
        self.services = services
        self.stripe = stripe
        self.url = url
        self._clock = clock

    # --- time ------------------------------------------------------------------------------------

    def due(self) -> None:
        """Let every job that waits be due."""
        raw_sql(self.url, "UPDATE job SET run_at_us = 0 WHERE status = 'retry'")

    def later(self, seconds: int) -> None:
        """Let time pass, for Stripe too. PostgreSQL's clock cannot be set: its rows get older."""
        self.stripe.advance(seconds)
        if self._clock is not None:
            self._clock.advance(seconds)
        else:
            for effect_id, sent in read_rows(self.url, "SELECT effect_id, sent_at FROM effect"):
                if sent is not None:
                    older = time_text(parse_time(sent) - seconds * SECOND_US)
                    raw_sql(
                        self.url,
                        f"UPDATE effect SET sent_at = '{older}' WHERE effect_id = '{effect_id}'",
                    )
        self.due()

    # --- money -----------------------------------------------------------------------------------

    def hear(self, ids: Sequence[str]) -> list[str]:
        """Stripe's events come in, in this order, and are applied; what became of each."""
        kept = [self.take(*self.stripe.signed(one)) for one in ids]
        self.services.inbox.step()
        return [self.status(one)[0] for one in kept]

    def take(self, body: bytes, headers: dict[str, str]) -> str:
        """One message comes in; our id for it."""
        now_us = int(time.time()) * SECOND_US
        return self.services.inbox.receive("stripe", headers, body, now_us).event_id

    def status(self, event_id: str) -> tuple[str, str | None]:
        row = self.services.db.read(lambda tx: tx.one("inbox_get", event_id=event_id))
        return row["status"], row["note"]

    def approved(self) -> tuple[dict[str, Any], Principal]:
        """A deal that waits for its money, and its seller, who has an account at Stripe."""
        seller = self.agent("seller")
        wanted = NewDestination(
            owner_id=str(seller.agent_id), rail="STRIPE_CONNECT", address="acct_seller", auto=False
        )
        destinations.create(self.services.db, wanted, "{}", self.services.rules)
        deal = self.proof(seller)
        self.go(deal, self.agent("buyer"))
        return deal, seller

    def payment(self, deal: dict[str, Any], amount_minor: int = 10_000) -> str:
        """Stripe's id of the deal's payment, as its page shows it."""
        assert self.services.desk is not None
        return (
            self.services.desk.open(deal["deal_id"], "USD/2", amount_minor).result(30).payment_ref
        )

    def paid(self, deal: dict[str, Any]) -> str:
        """The buyer has paid, and we have heard of it; Stripe's id of the payment."""
        payment = self.payment(deal)
        self.stripe.control("pay", payment=payment)
        assert self.hear(self.stripe.events("payment_intent.succeeded")[-1:]) == ["applied"]
        return payment

    def settled(self) -> tuple[dict[str, Any], Principal]:
        """A settled deal, and its seller."""
        deal, seller = self.approved()
        self.paid(deal)
        self.settle(deal, seller)
        return deal, seller

    def ask_payout(self, deal: dict[str, Any], seller: Principal) -> Answer:
        """The seller asks for the net."""
        agent_id = str(seller.agent_id)
        return self.services.engine.execute(
            RequestPayout(principal=seller, deal_id=deal["deal_id"], agent_id=agent_id)
        )

    def effect(self, deal: dict[str, Any]) -> dict[str, Any]:
        """The deal's latest effect."""
        rows = self.services.db.read(lambda tx: tx.all("deals_effects", deal_id=deal["deal_id"]))
        return dict(rows[-1])

    def transfers(self, deal: dict[str, Any], kind: str) -> list[tuple[str, int]]:
        """Phase and amount of the deal's ledger transfers of a kind."""
        rows = self.services.db.read(lambda tx: tx.all("deals_transfers", deal_id=deal["deal_id"]))
        return [(row["phase"], row["amount_minor"]) for row in rows if row["kind"] == kind]


@contextmanager
def stripe_house(directory: Path, url: str, stripe: Stripe) -> Iterator[StripePlay]:
    """A live house on this Stripe, over a new database."""
    key = directory / "keys" / "log_signing.key"
    if not key.exists():
        create_key_file(key)
    # From now on: processes beside this one, which have the real clock, write to the same rows.
    now = time_text(SystemClock().now_us())
    clock = SteppingClock(now) if url.startswith("sqlite") else None
    with house(directory, url, clock, **stripe.settings) as services:
        yield StripePlay(services, stripe, url, clock)
