"""What a rail has not answered: 202, never to be paid again, until it is known (contract §1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from settlement.edge.http import answers
from tests.edge.world import World, settle_in, world
from tests.support import wire
from tests.support.house import Play

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def still(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A world whose worker moves only when told, and whose calls do not wait for it."""
    directory = tmp_path_factory.mktemp("still")
    with world(directory, f"sqlite:///{directory / 'settlement.db'}") as live:
        settle_in(live)
        live.quiet()
        monkeypatch.setattr(answers, "WAIT_SECONDS", 0)
        yield live


def not_final(response: Any, state: str) -> dict[str, Any]:
    """A 202 in the contract's form."""
    assert response.status_code == 202, response.text
    body: dict[str, Any] = response.json()
    said = {name: body[name] for name in ("ok", "final", "state", "retry", "do_not_pay_again")}
    assert said == {
        "ok": True,
        "final": False,
        "state": state,
        "retry": "same_key",
        "do_not_pay_again": True,
    }
    return body


def test_a_settle_is_pending_then_unknown_then_final(still: World) -> None:
    play = Play(still.services)
    body = {"deal_id": still.deals["approved"]["deal_id"]}
    first = not_final(still.call("POST", "/protocol/settle", body, who="seller"), "pending")
    wire.splits_sum(first)
    wire.money(first, "net", 9595)
    assert first["_idempotent"] is False
    play.misbehave("charge_then_silence", "charge:")
    still.services.effects.step()
    again = still.call("POST", "/protocol/settle", body, who="seller")
    second = not_final(again, "outcome_unknown")
    assert second["_idempotent"] is True
    assert again.headers["idempotency-replayed"] == "true"
    key = still.ok("GET", f"/protocol/idempotency/{first['idempotency_key']}")
    assert key["state"] == "unknown"
    # Another amount is still another call, and a GO is not touched by it.
    other = still.call("POST", "/protocol/settle", {**body, "amount": 1}, who="seller")
    assert (other.status_code, other.json()["error"]) == (409, "already_decided")
    timeline = still.ok("GET", f"/protocol/deals/{body['deal_id']}/timeline")
    assert timeline["status"] == "settling"
    assert "SETTLED" not in [event["event_type"] for event in timeline["events"]]


def test_a_payout_is_pending_until_the_worker_has_asked(still: World) -> None:
    body = {"deal_id": still.deals["settled"]["deal_id"]}
    first = not_final(still.call("POST", "/protocol/payouts", body, who="seller"), "pending")
    assert first["payout"]["state"] == "planned"
    assert first["payout"]["waiting_for"] == "effect_open"
    while still.services.effects.step():
        pass
    done = still.ok("POST", "/protocol/payouts", body, who="seller")
    assert done["payout"]["state"] == "confirmed"
    assert done["_idempotent"] is True


def test_a_refused_charge_lets_the_deal_be_settled_again(still: World) -> None:
    play = Play(still.services)
    body = {"deal_id": still.deals["approved"]["deal_id"]}
    headers = {"Idempotency-Key": "first-try"}
    play.misbehave("decline", "charge:")
    not_final(
        still.call("POST", "/protocol/settle", body, who="seller", headers=headers), "pending"
    )
    while still.services.effects.step():
        pass
    told = still.call("POST", "/protocol/settle", body, who="seller", headers=headers)
    assert (told.status_code, told.json()["error"]) == (409, "payment_refused")
    assert told.json()["_idempotent"] is True
    play.behave()
    not_final(still.call("POST", "/protocol/settle", body, who="seller"), "pending")
    while still.services.effects.step():
        pass
    assert still.ok("POST", "/protocol/settle", body, who="seller")["status"] == "settled"
