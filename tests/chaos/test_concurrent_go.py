"""Rows 23 and 27 of the readiness report: one deal, many identical GOs, one approval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.once import CALLS, one_original
from tests.support import wire

if TYPE_CHECKING:
    from tests.chaos.site import Site

pytestmark = pytest.mark.chaos
GO_MEMBERS = ("deal_id", "quote_id", "scope_lock_hash")


@pytest.mark.parametrize("calls", [CALLS, 10])
def test_identical_gos_approve_once(site: Site, calls: int) -> None:
    """Rows 23 (50) and 27 (10). Catches: a claim looked up before it is taken, a lock that holds in
    one process only, a second GO_APPROVED."""
    pack = site.pack(site.agent())
    body = {name: pack[name] for name in GO_MEMBERS}
    one_original(site.race(calls, "/protocol/go", body))
    timeline = site.timeline(pack["deal_id"])
    assert wire.types(timeline) == ["PROOF_READY", "GO_APPROVED"]
    wire.chain_holds(timeline["events"])
    assert timeline["ledger"] == []
    assert site.rail_kinds(pack["deal_id"]) in (None, [])
    site.audit()
