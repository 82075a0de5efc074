"""The SDK's calls of the intelligence feeds: public without a key, premium with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.clients.sdk import SyncSdk
    from tests.support.server import Server

pytestmark = pytest.mark.clients

MEMBERS = {
    "verticals",
    "sla_benchmarks",
    "netting",
    "marketplace",
    "credentials",
    "k_anonymity_threshold",
    "delay_applied_seconds",
}


def test_the_public_feed_names_no_single_deal(sdk: SyncSdk, server: Server) -> None:
    """Catches a feed that shows what is too fresh, or a vertical of one deal."""
    seller = sdk.registered()
    pack = sdk.ok("create_proof_pack", seller, vertical="rare_vertical")
    sdk.ok("go", pack["deal_id"], pack["quote_id"], pack["scope_lock_hash"])
    sdk.ok("settle", pack["deal_id"], pack["estimated_price"], seller, "buyer")
    found = sdk.ok("get_intelligence_feed")
    assert found.keys() >= MEMBERS
    assert "brain_intelligence" not in found
    assert found["k_anonymity_threshold"] == 5
    assert found["delay_applied_seconds"] >= 3600
    assert "rare_vertical" not in found["verticals"]
    assert seller not in str(found)
    assert "rare_vertical" not in str(server.get("/protocol/econ/feed"))


def test_the_premium_feed_needs_a_key(sdk: SyncSdk) -> None:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        sdk.call("get_premium_intelligence")
    assert caught.value.response.status_code == 401
    sdk.registered()
    found = sdk.ok("get_premium_intelligence")
    assert found.keys() >= MEMBERS
    assert isinstance(found["brain_intelligence"], dict)
