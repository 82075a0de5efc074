"""Refunds, disputes and cancelling over HTTP: keys, answers, refusals, who sees what."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from tests.edge.test_transport import problem
from tests.support import wire

if TYPE_CHECKING:
    from tests.edge.world import World


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def refund(live: World, deal: str, body: object = None, **more: Any) -> Any:
    given = {"who": "seller", "headers": key(secrets.token_hex(8)), **more}
    return live.call("POST", f"/protocol/deals/{deal}/refund", body or {}, **given)


def final(live: World, deal: str, name: str) -> dict[str, Any]:
    """Ask until the rail has answered: the same key is the same refund."""
    for _ in range(50):
        response = refund(live, deal, headers=key(name))
        if response.status_code == 200:
            found: dict[str, Any] = response.json()
            return found
        assert response.status_code == 202, response.text
    raise AssertionError("the rail never answered")


def test_a_refund_goes_through_and_is_a_replay_under_its_key(either: World) -> None:
    """Catches a build that refunds twice what was asked for once."""
    deal = either.settled()["deal_id"]
    mine = {"headers": key("mine")}
    first = refund(either, deal, {"amount": "10.00", "reason": "late"}, **mine)
    assert first.status_code in (200, 202)
    wire.money(first.json(), "amount", 1000)
    again = refund(either, deal, {"amount": 10, "reason": "late"}, **mine)
    assert again.json()["_idempotent"] is True
    assert again.json()["refund_id"] == first.json()["refund_id"]
    other = refund(either, deal, {"amount": 11, "reason": "late"}, **mine)
    problem(other, 422, "idempotency_mismatch")
    rest = final(either, deal, "rest")
    wire.money(rest, "amount", 8900)
    assert (rest["state"], rest["status"]) == ("confirmed", "refunded")
    shown = either.ok("GET", f"/protocol/deals/{deal}/refunds", who="buyer")
    wire.money(shown, "refunded", 9900)
    timeline = either.ok("GET", f"/protocol/deals/{deal}/timeline")
    assert timeline["status"] == "refunded"
    types = {row["entry_type"] for row in timeline["ledger"]}
    assert {"refund", "reversal"} <= types
    replay = either.ok("GET", f"/protocol/deals/{deal}/replay", who="seller")
    assert replay["verdict"] == "clean"


def test_a_refund_says_why_not(either: World) -> None:
    deal = either.settled()["deal_id"]
    url = f"/protocol/deals/{deal}/refund"
    problem(either.call("POST", url, {}, who="seller"), 400, "idempotency_key_required")
    problem(either.call("POST", url, {}), 401, "key_required")
    problem(refund(either, deal, who="scopeless"), 403, "scope_missing")
    problem(refund(either, deal, who="buyer"), 403, "party_mismatch")
    problem(refund(either, "deal_unknown"), 404, "deal_not_found")
    over = problem(refund(either, deal, {"amount": 100}, headers=key("over")), 409, "over_refund")
    assert over["refundable_minor"] == 9900
    problem(refund(either, either.proof()["deal_id"]), 409, "illegal_transition")
    problem(
        either.call("GET", f"/protocol/deals/{deal}/refunds", who="stranger"),
        404,
        "deal_not_found",
    )


def test_a_dispute_from_opening_to_ruling(either: World) -> None:
    """Catches a build that opens two disputes of one deal, or shows the reason to everybody."""
    deal = either.settled()["deal_id"]
    url = f"/protocol/disputes/{deal}"
    problem(either.call("GET", url), 404, "dispute_not_found")
    opened = either.ok("POST", f"{url}/open", {"reason": "secret words"}, who="buyer")
    assert opened["dispute"]["status"] == "opened"
    wire.money(opened["dispute"], "amount", 9595)
    again = either.ok("POST", f"{url}/open", {"reason": "other words"}, who="seller")
    assert again["dispute"]["dispute_id"] == opened["dispute"]["dispute_id"]
    assert again["_idempotent"] is True
    shown = either.call("GET", url)
    assert "secret" not in shown.text
    problem(
        either.call("POST", "/protocol/payouts", {"deal_id": deal}, who="seller"), 409, "disputed"
    )
    ruling = {"seller_ppm": 250_000, "reason": "mostly late"}
    problem(either.call("POST", f"{url}/resolve", ruling, who="buyer"), 403, "scope_missing")
    too_much = {"seller_ppm": 2_000_000}
    problem(either.call("POST", f"{url}/resolve", too_much, who="operator"), 409, "bad_share")
    ruled = either.ok("POST", f"{url}/resolve", ruling, who="operator")
    assert ruled["dispute"]["seller_ppm"] == 250_000
    assert ruled["status"] == "settled"
    wire.money(ruled, "refund", 7425)
    other = either.call("POST", f"{url}/resolve", {"seller_ppm": 0}, who="operator")
    problem(other, 409, "already_decided")
    assert either.ok("GET", url)["dispute"]["status"] == "resolved"


def test_a_dispute_says_why_not(either: World) -> None:
    deal = either.settled()["deal_id"]
    url = f"/protocol/disputes/{deal}/open"
    problem(either.call("POST", url, {}), 401, "key_required")
    problem(either.call("POST", url, {}, who="stranger"), 403, "party_mismatch")
    stranger = either.agents["stranger"].agent_id
    problem(either.call("POST", url, {"claimant_id": stranger}, who="buyer"), 403, "actor_mismatch")
    problem(
        either.call("POST", "/protocol/disputes/deal_none/open", {}, who="buyer"),
        404,
        "deal_not_found",
    )


def test_a_deal_is_cancelled_once_and_only_without_money(either: World) -> None:
    deal = either.proof()["deal_id"]
    url = f"/protocol/deals/{deal}/cancel"
    problem(either.call("POST", url, {}, who="stranger"), 403, "party_mismatch")
    assert either.ok("POST", url, {}, who="seller")["status"] == "cancelled"
    assert either.ok("POST", url, {}, who="seller")["_idempotent"] is True
    settled = either.settled()["deal_id"]
    problem(
        either.call("POST", f"/protocol/deals/{settled}/cancel", {}, who="seller"),
        409,
        "illegal_transition",
    )


def test_a_top_up_over_http_pays_a_deal(either: World) -> None:
    """Catches a build that tops up without a key, for somebody else, or twice under one key."""
    url, body = "/protocol/topups", {"amount": "250.00"}
    problem(either.call("POST", url, body, who="buyer"), 400, "idempotency_key_required")
    problem(either.call("POST", url, body), 401, "key_required")
    problem(either.call("POST", url, {}, who="buyer", headers=key("t0")), 422, "member_missing")
    asked = either.call("POST", url, body, who="buyer", headers=key("t1"))
    assert asked.status_code in (200, 202), asked.text
    wire.money(asked.json(), "amount", 25_000)
    page = either.call("GET", f"/pay/{asked.json()['topup_id']}")
    assert "250.00 USD" in page.text
    for _ in range(50):
        again = either.call("POST", url, body, who="buyer", headers=key("t1"))
        if again.status_code == 200:
            break
    assert again.json()["state"] == "confirmed"
    assert again.json()["topup_id"] == asked.json()["topup_id"]
    assert asked.json()["payment_url"].endswith(f"/pay/{asked.json()['topup_id']}")
    other = either.call("POST", url, {"amount": 1}, who="buyer", headers=key("t1"))
    problem(other, 422, "idempotency_mismatch")
    buyer = either.agents["buyer"].agent_id
    shown = either.ok("GET", f"/protocol/agents/{buyer}/balances", who="buyer")
    (own,) = [one for one in shown["balances"] if one["account"] == f"entity:{buyer}"]
    wire.money(own, "available", 25_000)
    pack = either.proof()
    right = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
    either.ok("POST", "/protocol/go", right, who="buyer")
    settle = {"deal_id": pack["deal_id"], "provider": "balance"}
    assert either.ok("POST", "/protocol/settle", settle, who="buyer")["provider"] == "balance"
