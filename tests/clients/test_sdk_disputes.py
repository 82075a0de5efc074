"""Disputes through the SDK: opened once, read by anybody, money out of reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.sdk import fresh_name
from tests.clients.test_sdk_settlement import refusal, settled
from tests.support import wire
from tests.support.wire import members

if TYPE_CHECKING:
    from tests.clients.sdk import SyncSdk

pytestmark = pytest.mark.clients


def test_a_seller_opens_a_dispute_and_anybody_reads_it(sdk: SyncSdk) -> None:
    """Catches: a dispute opened twice, or one that leaves the money where it can be taken out."""
    seller = sdk.registered("seller")
    deal = settled(sdk, seller, 100)["deal_id"]
    made = sdk.ok("open_dispute", deal, seller, fresh_name("buyer"), "not as agreed")
    members(made["dispute"], dispute_id=str, status=str, claimant_id=str)
    assert made["dispute"]["status"] == "opened"
    wire.money(made["dispute"], "amount", 9692)
    again = sdk.ok("open_dispute", deal, seller, fresh_name("buyer"), "once more")
    assert again["dispute"]["dispute_id"] == made["dispute"]["dispute_id"]
    assert again["_idempotent"] is True
    shown = sdk.ok("get_dispute", deal)
    assert shown["dispute"]["dispute_id"] == made["dispute"]["dispute_id"]
    timeline = sdk.ok("get_timeline", deal)
    assert timeline["status"] == "disputed"
    assert timeline["events"][-1]["event_type"] == "DISPUTE_OPENED"


def test_a_stranger_opens_none(sdk: SyncSdk) -> None:
    """Catches: a dispute in somebody else's name."""
    seller = sdk.registered("seller")
    deal = settled(sdk, seller, 100)["deal_id"]
    other = sdk.registered("other")
    assert refusal(sdk, "open_dispute", deal, seller, other, "") == (403, "actor_mismatch")
    assert refusal(sdk, "open_dispute", deal, other, seller, "") == (403, "party_mismatch")
    assert refusal(sdk, "get_dispute", deal) == (404, "dispute_not_found")
