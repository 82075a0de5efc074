"""The order of checks (spec §1.6): a request wrong in two ways is refused for the earlier reason.

The numbers are those of the list in docs/http.md. 2 and 7 (limits) are not served yet;
8 (pause) is attacked in tests/service/test_pauses.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.edge.test_transport import problem
from tests.edge.world import unknown_key
from tests.support.rows import count_rows

if TYPE_CHECKING:
    from tests.edge.world import World

SETTLE = "/protocol/settle"


@pytest.fixture
def own(quiet: World) -> dict[str, Any]:
    """A deal of the seller's that is approved."""
    return quiet.deals["approved"]


def test_1_the_body_comes_before_the_key(quiet: World) -> None:
    headers = {"X-API-Key": unknown_key()}
    problem(quiet.call("POST", SETTLE, content=b"{", headers=headers), 400, "json_malformed")
    problem(quiet.call("POST", SETTLE, content=b"{"), 400, "json_malformed")
    problem(quiet.call("POST", SETTLE, content=b"{", who="scopeless"), 400, "json_malformed")


def test_1_size_comes_before_form(quiet: World) -> None:
    huge = b"{" * (300 * 1024)
    problem(quiet.call("POST", SETTLE, content=huge), 400, "body_too_large")


def test_3_the_key_comes_before_the_schema(quiet: World) -> None:
    headers = {"X-API-Key": unknown_key()}
    problem(quiet.call("POST", SETTLE, {"deal_id": 5}, headers=headers), 401, "key_invalid")
    problem(quiet.call("POST", SETTLE, {"deal_id": 5}), 401, "key_required")


def test_4_the_scope_comes_before_the_schema(quiet: World) -> None:
    problem(quiet.call("POST", SETTLE, {"deal_id": 5}, who="scopeless"), 403, "scope_missing")


def test_5_the_schema_comes_before_existence(quiet: World) -> None:
    body = {"deal_id": "deal_unknown", "amount": "1e2"}
    problem(quiet.call("POST", SETTLE, body, who="seller"), 422, "amount_malformed")
    foreign = {"deal_id": "deal_unknown", "actor_id": quiet.agents["stranger"].agent_id}
    problem(quiet.call("POST", SETTLE, foreign, who="seller"), 403, "actor_mismatch")


def test_5_the_schema_comes_before_a_replay(quiet: World) -> None:
    settled = quiet.deals["settled"]["deal_id"]
    body = {"deal_id": settled, "amount": -1}
    problem(quiet.call("POST", SETTLE, body, who="seller"), 422, "amount_malformed")


def test_6_the_claim_comes_before_party_and_state(quiet: World) -> None:
    settled = quiet.deals["settled"]["deal_id"]
    other = {"deal_id": settled, "amount": 1}
    problem(quiet.call("POST", SETTLE, other, who="stranger"), 409, "already_decided")
    replay = quiet.call("POST", SETTLE, {"deal_id": settled}, who="seller")
    assert replay.json()["_idempotent"] is True


def test_6_a_sent_key_of_other_content_comes_before_existence(quiet: World) -> None:
    headers = {"Idempotency-Key": "order-of-checks"}
    settled = quiet.deals["settled"]["deal_id"]
    quiet.ok("POST", SETTLE, {"deal_id": settled}, who="seller", headers=headers)
    response = quiet.call(
        "POST", SETTLE, {"deal_id": "deal_unknown"}, who="seller", headers=headers
    )
    problem(response, 422, "idempotency_mismatch")


def test_9_existence_comes_before_party_and_state(quiet: World) -> None:
    for who in ("seller", "stranger"):
        response = quiet.call("POST", SETTLE, {"deal_id": "deal_unknown"}, who=who)
        problem(response, 404, "deal_not_found")


def test_10_the_party_comes_before_state_and_amount(quiet: World, own: dict[str, Any]) -> None:
    body = {"deal_id": own["deal_id"], "amount": 1}
    problem(quiet.call("POST", SETTLE, body, who="stranger"), 403, "party_mismatch")
    unsettled = {"deal_id": own["deal_id"]}
    response = quiet.call("POST", "/protocol/payouts", unsettled, who="stranger")
    assert problem(response)["error"] != "not_settled"


def test_11_the_state_comes_before_the_destination(quiet: World, own: dict[str, Any]) -> None:
    body = {
        "deal_id": own["deal_id"],
        "destination_id": quiet.deals["destination"]["destination_id"],
    }
    problem(quiet.call("POST", "/protocol/payouts", body, who="seller"), 409, "not_settled")


def test_12_the_amount_comes_before_funds(live_mode: World) -> None:
    pack = live_mode.proof()
    live_mode.go(pack)
    wrong = {"deal_id": pack["deal_id"], "amount": 1}
    problem(live_mode.call("POST", SETTLE, wrong, who="seller"), 409, "amount_mismatch")


def test_13_funds_come_last(live_mode: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # As with a real rail: it cannot charge unless the buyer pays.
    rules = replace(live_mode.services.rules, rails_charging_alone=frozenset())
    monkeypatch.setattr(live_mode.services.engine, "_rules", rules)
    pack = live_mode.proof()
    live_mode.go(pack)
    before = count_rows(live_mode.url)
    response = live_mode.call("POST", SETTLE, {"deal_id": pack["deal_id"]}, who="seller")
    found = problem(response, 409, "payment_not_authorized")
    assert (found["waiting_for"], found["retry"]) == ("payment", "later")
    assert found["payment_url"].endswith(f"/pay/{pack['deal_id']}")
    assert count_rows(live_mode.url) == before


def test_what_fails_in_checks_1_to_5_stores_nothing(quiet: World) -> None:
    headers = {"Idempotency-Key": "nothing-stored"}
    before = count_rows(quiet.url)
    deal = quiet.deals["approved"]["deal_id"]
    for body, who in (
        ({"deal_id": deal, "amount": "x"}, "seller"),
        ({"deal_id": deal}, "scopeless"),
        ({}, "seller"),
    ):
        assert quiet.call("POST", SETTLE, body, who=who, headers=headers).status_code >= 400
    assert count_rows(quiet.url) == before
