"""Row 24 of the readiness report: one deal, many identical payouts, one debit and one call."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.once import CALLS, money_moves_here, one_original
from tests.support import wire

if TYPE_CHECKING:
    from tests.chaos.site import Site

pytestmark = pytest.mark.chaos


def test_fifty_identical_payouts_pay_once(site: Site) -> None:
    """Row 24. Catches: a payout keyed on the attempt, a rail called before the claim is committed,
    a second debit of the payee."""
    money_moves_here(site)
    seller = site.agent()
    pack = site.pack(seller)
    deal = pack["deal_id"]
    body = {"deal_id": deal, "amount": 99, "actor_id": seller.agent_id, "counterparty_id": "buyer"}
    site.post("/protocol/settle", body, seller.headers)
    calls = site.race(CALLS, "/protocol/payouts", {"deal_id": deal}, seller.headers)
    one_original(calls)
    timeline = site.timeline(deal)
    found = wire.types(timeline)
    assert found.count("PAYOUT_INITIATED") == 1
    assert found.count("PAYOUT_CONFIRMED") == 1
    wire.chain_holds(timeline["events"])
    wire.ledger_holds(timeline["ledger"])
    assert wire.entries(timeline, "payout", "debit") == [Decimal("95.95")]
    assert site.rail_kinds(deal) in (None, ["charge", "payout"])
    site.audit()
