"""Many identical calls at once from four processes, against two servers on one database.

Rows 23, 24 and 27 of the readiness report, and the same for settle. A call whose answer is lost or
not final is resolved by asking again with the same key. With `AME_BASE` set, that server is driven.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.support import wire
from tests.support.callers import read

if TYPE_CHECKING:
    from tests.chaos.site import Site
    from tests.support.callers import Row

pytestmark = pytest.mark.chaos
CALLS = 50
GO_MEMBERS = ("deal_id", "quote_id", "scope_lock_hash")


def one_original(calls: list[list[Row]]) -> None:
    """One call made it happen; the others got its outcome, equal to the byte.

    The original may hear a 202 first and then, asking again, a replay. Its only answer may also be
    lost on the way; then all who asked got replays.
    """
    for rows in calls:
        assert rows[-1].get("status") == 200, rows
    answered = [[read(row) for row in rows if row.get("status") in (200, 202)] for rows in calls]
    originals = [bodies for bodies in answered if any(not b["_idempotent"] for b in bodies)]
    lost = sum("failed" in row for rows in calls for row in rows)
    assert len(originals) == 1 or (lost and not originals), f"{len(originals)} originals"
    finals = [rows[-1] for rows in calls]
    replays = [row for row in finals if read(row)["_idempotent"]]
    assert len(replays) >= len(calls) - 1
    assert len({row["body"] for row in replays}) == 1, "replays differ"
    assert all(row["headers"].get("idempotency-replayed") == "true" for row in replays)
    for row in finals:
        assert wire.without_replay_members(read(row)) == (
            wire.without_replay_members(read(replays[0]))
        )


def money_moves_here(site: Site) -> None:
    """Settling needs pretended money; a live server has none for us."""
    mode = site.get("/health").get("mode")
    if mode != "sandbox":
        pytest.skip(f"the server that AME_BASE names is in mode {mode}: no pretended money")


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
