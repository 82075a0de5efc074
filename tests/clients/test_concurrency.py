"""Fifty identical calls at once through the SDK: one outcome, forty-nine replays of it.

The same from several processes against several servers: `tests/chaos/test_concurrent_go.py`.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.sdk import GO_MEMBERS, SyncSdk
from tests.support import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.server import Server

pytestmark = pytest.mark.clients
CALLS = 50


def at_once(server: Server, key: str | None, call: Callable[[SyncSdk], Any]) -> list[Any]:
    """The answers of one call made by 50 clients at the same moment, over 50 connections."""
    barrier = threading.Barrier(CALLS)

    def one(_: int) -> Any:
        with SyncSdk(server.url, key) as client:
            barrier.wait()
            return call(client)

    with ThreadPoolExecutor(CALLS) as pool:
        return list(pool.map(one, range(CALLS)))


def one_original(answers: list[Any]) -> None:
    """Exactly one answer is no replay; all tell the same."""
    assert all(answer["ok"] is True for answer in answers)
    originals = [answer for answer in answers if not answer["_idempotent"]]
    replays = [answer for answer in answers if answer["_idempotent"]]
    assert (len(originals), len(replays)) == (1, CALLS - 1)
    assert all(replay == replays[0] for replay in replays)
    assert wire.without_replay_members(replays[0]) == wire.without_replay_members(originals[0])


def test_fifty_gos_settles_and_payouts_of_one_deal(sdk: SyncSdk, server: Server) -> None:
    """Catches: a claim checked before it is taken, so that two callers both find it free."""
    seller = sdk.registered()
    pack = sdk.ok("create_proof_pack", seller)
    deal = pack["deal_id"]
    lock = [pack[name] for name in GO_MEMBERS]
    one_original(at_once(server, None, lambda client: client.call("go", *lock)))
    assert wire.types(sdk.ok("get_timeline", deal)).count("GO_APPROVED") == 1

    terms = (deal, 99, seller, "buyer")
    one_original(at_once(server, sdk.key, lambda client: client.call("settle", *terms)))
    wire.settled_once(sdk.ok("get_timeline", deal), "99.00")

    def pay_out(client: SyncSdk) -> Any:
        return client.client._post("/protocol/payouts", {"deal_id": deal}, auth=True)

    answers = at_once(server, sdk.key, pay_out)
    assert sum(not answer["_idempotent"] for answer in answers) == 1
    assert len({answer["payout"]["payout_id"] for answer in answers}) == 1
    timeline = sdk.ok("get_timeline", deal)
    assert wire.types(timeline).count("PAYOUT_INITIATED") == 1
    assert wire.entries(timeline, "payout", "debit") == [Decimal("95.95")]
    wire.ledger_holds(timeline["ledger"])
    lines = [line for line in server.deployment.rail_entries() if line.deal_id == deal]
    assert [line.kind for line in lines] == ["charge", "payout"]
    server.deployment.assert_audit_is_clean()
