"""One deal, many identical settles, one split and one charge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.once import CALLS, money_moves_here, one_original
from tests.support import wire

if TYPE_CHECKING:
    from tests.chaos.site import Site

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("key", [None, "one-settle-of-fifty"])
def test_fifty_identical_settles_settle_once(site: Site, key: str | None) -> None:
    """Catches: two sets of legs, two charges, an answer with other money than was booked; a sent
    key that opens a second way in."""
    money_moves_here(site)
    seller = site.agent()
    pack = site.pack(seller)
    deal = pack["deal_id"]
    body = {"deal_id": deal, "amount": 99, "actor_id": seller.agent_id, "counterparty_id": "buyer"}
    headers = {**seller.headers, **({"Idempotency-Key": key} if key else {})}
    one_original(site.race(CALLS, "/protocol/settle", body, headers))
    wire.settled_once(site.timeline(deal), "99.00")
    assert site.rail_kinds(deal) in (None, ["charge"])
    site.audit()
