"""Every route's happy path on both databases: status, promised members, and what they say.

An answer is read into its promise struct, so each member of the contract marked R or D is there
with its type; money is checked in its three forms by hand-written arithmetic.
"""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import aigentsy_verify
import msgspec
import pytest

from settlement.edge.http.routing import ANSWER_OPT, routes_of
from tests.edge.calls import PAGES, calls
from tests.edge.test_refusals import UNKNOWN_IN_PATH
from tests.edge.test_transport import problem
from tests.support import wire

if TYPE_CHECKING:
    from tests.edge.world import World


def promised(live: World, method: str, route: str) -> type[msgspec.Struct]:
    for known_method, path, handler in routes_of(live.app):
        if (known_method, path) == (method, route):
            answer: type[msgspec.Struct] = handler.opt[ANSWER_OPT]
            return answer
    raise AssertionError(f"no route {method} {route}")


def keeps(live: World, method: str, route: str, text: str) -> None:
    """The answer has every promised member with its type."""
    try:
        msgspec.json.decode(text, type=promised(live, method, route))
    except msgspec.ValidationError as error:
        pytest.fail(f"{method} {route}: {error}\n{text}")


def test_every_answer_keeps_its_promise(either: World) -> None:
    for call in calls(either):
        if call.route == "/pay/{deal_id}":
            continue
        body = call.body
        if call.route == "/protocol/settle/multi":
            body = {**(body or {}), "deal_id": either.proof()["deal_id"]}
        response = either.call(call.method, call.url, body, who=call.who, headers=call.headers)
        assert response.status_code == 200, f"{call.name}: {response.text}"
        keeps(either, call.method, call.route, response.text)


def test_every_route_promises_something(either: World) -> None:
    for method, path, handler in routes_of(either.app):
        if path not in PAGES:
            assert issubclass(handler.opt[ANSWER_OPT], msgspec.Struct), f"{method} {path}"


def test_registration_shows_a_key_that_works_once_registered(either: World) -> None:
    made = either.ok(
        "POST",
        "/protocol/register",
        {"name": "Ada L.", "capabilities": ["marketing"], "unknown": 1, "description": None},
    )
    assert made["api_key"].startswith("a2a_")
    assert made["protocol_fee"] == "2.8% + $0.28"
    assert (made["ocs"], made["tier"], made["escrow_requirement"]) == (50, "standard", 0.25)
    headers = {"X-API-Key": made["api_key"]}
    assert either.ok("GET", "/protocol/payouts", headers=headers)["payouts"] == []
    shown = either.ok("GET", f"/protocol/reputation/{made['agent_id']}")
    assert (shown["ocs"], shown["total_settlements"], shown["total_volume_usd"]) == (50, 0, 0)


def test_a_registration_with_a_signing_key_checks_it(either: World) -> None:
    body = {"name": "x", "public_key_base64": base64.b64encode(bytes(32)).decode()}
    either.ok("POST", "/protocol/register", body)
    for bad in ("!", base64.b64encode(bytes(31)).decode(), "a"):
        response = either.call("POST", "/protocol/register", {**body, "public_key_base64": bad})
        assert response.status_code == 422
        assert response.json()["field"] == "public_key_base64"


def test_a_stamp_has_shareable_addresses_and_no_quote(either: World) -> None:
    seller = either.agents["seller"]
    made = either.ok(
        "POST", "/protocol/stamp", {"agent_id": seller.agent_id, "description": "Logo"}, who=seller
    )
    for name in ("proof_url", "verify_url", "badge_url"):
        assert made["deal_id"] in made[name]
    assert "quote" not in json.dumps(made)
    assert either.ok("GET", f"/proof/{made['deal_id']}/badge")["message"] == "verified"


def test_a_key_may_leave_out_who_acts_or_use_its_name(either: World) -> None:
    seller = either.agents["seller"]
    for body in ({}, {"agent_id": ""}, {"agent_id": None}, {"agent_id": seller.agent_id}):
        either.ok("POST", "/protocol/stamp", body, who=seller)
    pack = either.ok("POST", "/protocol/proof-pack", {"agent_username": "seller"}, who=seller)
    assert pack["seller"] == seller.agent_id


def test_without_a_key_a_name_is_a_label(either: World) -> None:
    made = either.ok("POST", "/protocol/proof-pack", {"agent_username": "some.body"})
    events = either.ok("GET", f"/protocol/deals/{made['deal_id']}/timeline")["events"]
    assert events[0]["payload"]["authority"] == "open"
    assert events[0]["actor_id"] == "some.body"


def test_proof_data_with_any_numbers_is_taken_exactly(either: World) -> None:
    body = {
        "agent_username": either.agents["seller"].agent_id,
        "proof_data": {"score": 0.1, "big": 2**60, "é": "ü", "deep": [{"x": 1e-7}]},
    }
    made = either.ok("POST", "/protocol/proof-pack", body, who="seller")
    bundle = either.ok("GET", f"/protocol/proofs/{made['deal_id']}/export")
    shown = bundle["proofs"][0]["proof_data"]
    assert shown["score"] == "0.1"
    assert shown["big"] == str(2**60)


def test_the_whole_way_of_a_deal(either: World) -> None:
    seller, buyer = either.agents["seller"], either.agents["buyer"]
    pack = either.proof(price=100)
    wire.money(pack, "estimated_price", 10_000)
    assert pack["verification"] == {"status": "pending"}

    approved = either.go(pack)
    wire.money(approved, "amount", 10_000)
    assert approved["go_key"] == approved["idempotency_key"]
    assert approved["payment_url"].endswith(f"/pay/{pack['deal_id']}")

    settled = either.ok(
        "POST",
        "/protocol/settle",
        {
            "deal_id": pack["deal_id"],
            "amount": 100.0,
            "actor_id": seller.agent_id,
            "counterparty_id": buyer.agent_id,
            "proof_hash": None,
        },
        who=seller,
    )
    wire.splits_sum(settled)
    for name, cents in {
        "gross": 10_000,
        "protocol_fee": 308,
        "net": 9_692,
        "platform_fee": 0,
    }.items():
        wire.money(settled, name, cents)
    assert settled["events_emitted"][-2:] == ["SETTLED", "OUTCOME_RECORDED"]
    assert settled["to_agent"] == seller.agent_id

    paid = either.ok("POST", "/protocol/payouts", {"deal_id": pack["deal_id"]}, who=seller)
    wire.money(paid["payout"], "amount", 9_692)
    assert paid["payout"]["state"] == "confirmed"
    assert paid["payout"]["waiting_for"] is None

    timeline = either.ok("GET", f"/protocol/deals/{pack['deal_id']}/timeline")
    assert timeline["status"] == "payout_confirmed"
    wire.chain_holds(timeline["events"])
    assert [event["event_type"] for event in timeline["events"]] == [
        "PROOF_READY",
        "GO_APPROVED",
        "PAYMENT_AUTHORIZED",
        "SETTLED",
        "OUTCOME_RECORDED",
        "PAYOUT_INITIATED",
        "PAYOUT_CONFIRMED",
    ]
    ids = [row["entry_id"] for row in timeline["ledger"]]
    assert len(set(ids)) == len(ids)
    assert [row["entry_type"] for row in timeline["ledger"]].count("payout") == 2
    assert pack["quote_id"] not in json.dumps(timeline)


def test_a_clean_deal_replays_clean(either: World) -> None:
    deal = either.deals["paid"]["deal_id"]
    path = f"/protocol/deals/{deal}/replay"
    first = either.ok("GET", path, who="seller")
    assert first["verdict"] == "clean", first
    assert first["comparison"]["differences"] == []
    assert first["ledger"]["net"] == "95.95"
    again = either.ok("GET", path, who="buyer")
    assert again["audit_hash"] == first["audit_hash"]
    members = {
        name: part for name, part in first.items() if name not in ("replayed_at", "audit_hash")
    }
    text = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    import hashlib

    assert hashlib.sha256(text.encode()).hexdigest() == first["audit_hash"]


def test_the_ledger_page_balances_and_has_published_keys(either: World) -> None:
    deal = either.deals["paid"]["deal_id"]
    page = either.ok("GET", f"/protocol/deals/{deal}/ledger", who="seller")
    assert page["balanced"] is True
    assert sum(Decimal(row["debit"]) for row in page["entries"]) == sum(
        Decimal(row["credit"]) for row in page["entries"]
    )
    assert page["totals_by_type"] == {
        "entity_credit": "95.95",
        "gross_in": "99.00",
        "payout": "95.95",
        "payout_settled": "95.95",
        "protocol_fee": "3.05",
    }
    keys = {row["dedup_key"] for row in page["entries"]}
    assert len(keys) == len(page["entries"])
    for row in page["entries"]:
        assert row["dedup_key"] == wire_dedup_key(row)


def wire_dedup_key(row: dict[str, Any]) -> str:
    """The published rule, written again with the standard library."""
    import hashlib

    members = {
        "deal_id": row["meta"]["deal_id"],
        "entry_type": row["entry_type"],
        "ref": row["ref"],
        "debit": row["debit"],
        "credit": row["credit"],
        "currency": "USD",
        "counterparty": row["meta"]["counterparty"],
        "event_id": row["meta"]["tx_id"],
    }
    return hashlib.sha256(json.dumps(members, sort_keys=True).encode()).hexdigest()[:24]


def test_the_revenue_audit_equals_the_ledger(either: World) -> None:
    agent = either.register("revenue")
    deals = [either.settled("revenue")["deal_id"] for _ in range(3)]
    either.ok("POST", "/protocol/payouts", {"deal_id": deals[0]}, who=agent)
    path = f"/protocol/agents/{agent.agent_id}/revenue-audit"
    audit = either.ok("GET", path, who=agent)
    assert sorted(audit["deals"]) == sorted(deals)
    assert (audit["deal_count"], audit["entry_count"]) == (3, 4)
    assert (audit["credits"], audit["debits"], audit["net"]) == ("287.85", "95.95", "191.90")
    assert audit["totals_by_type"] == {"entity_credit": "287.85", "payout": "95.95"}
    assert audit["deals"][deals[0]]["status"] == "payout_confirmed"
    for deal in deals:
        entries = either.ok("GET", f"/protocol/deals/{deal}/ledger", who=agent)["entries"]
        mine = [row for row in entries if row["ref"] == f"entity:{agent.agent_id}"]
        assert audit["deals"][deal]["entries"] == mine
    later = either.ok("GET", f"{path}?from=2999-01-01", who=agent)
    assert (later["deal_count"], later["net"]) == (0, "0.00")
    until = either.ok("GET", f"{path}?to=2999-01-01T00:00:00Z", who=agent)
    assert until["deal_count"] == 3
    balance = either.ok("GET", f"/protocol/agents/{agent.agent_id}/balances", who=agent)
    wire.money(balance["balances"][0], "available", 19_190)


def test_splits_sum_to_the_total(either: World) -> None:
    seller, buyer = either.agents["seller"].agent_id, either.agents["buyer"].agent_id
    third = either.agents["stranger"].agent_id
    pack = either.proof(price="100.01")
    either.go(pack)
    assert either.ok("GET", f"/protocol/deals/{pack['deal_id']}/splits")["splits"] == []
    body = {
        "deal_id": pack["deal_id"],
        "total_amount_usd": 100.01,
        "splits": [
            {"agent_id": seller, "role": "lead", "share": 0.3333},
            {"agent_id": buyer, "role": "help", "share": 0.3333},
            {"agent_id": third, "share": 0.3334},
        ],
        "provider": "balance",
        "proof_hash": None,
    }
    made = either.ok("POST", "/protocol/settle/multi", body, who="seller")
    rows = made["splits"]
    assert sum(row["gross_amount_minor"] for row in rows) == 10_001
    assert [row["share"] for row in rows] == [0.3333, 0.3333, 0.3334]
    assert sum(row["net_amount_minor"] for row in rows) == made["net_minor"]
    assert [row["role"] for row in rows] == ["lead", "help", "payee"]
    shown = either.ok("GET", f"/protocol/deals/{pack['deal_id']}/splits")["splits"]
    assert [row["net_amount_minor"] for row in shown] == [row["net_amount_minor"] for row in rows]
    again = either.ok("POST", "/protocol/settle/multi", body, who="seller")
    assert again["_idempotent"] is True
    assert again["splits"] == rows


def test_both_shapes_of_a_settle_are_one_call(either: World) -> None:
    seller, buyer = either.agents["seller"], either.agents["buyer"]
    pack = either.proof()
    either.go(pack)
    shape_b = {
        "deal_id": pack["deal_id"],
        "amount_usd": 0,
        "to_agent": seller.agent_id,
        "proof_hash": "",
        "provider": "balance",
    }
    shape_a = {
        "deal_id": pack["deal_id"],
        "amount": "99.00",
        "actor_id": seller.agent_id,
        "counterparty_id": buyer.agent_id,
    }
    first = either.ok("POST", "/protocol/settle", shape_b, who=seller)
    second = either.call("POST", "/protocol/settle", shape_a, who=seller)
    assert second.headers["idempotency-replayed"] == "true"
    body = second.json()
    assert (first["_idempotent"], body["_idempotent"]) == (False, True)
    assert body["_original_key"] == first["idempotency_key"]
    assert body["tx_id"] == first["tx_id"]
    other = either.call("POST", "/protocol/settle", {**shape_a, "amount": 98}, who=seller)
    assert (other.status_code, other.json()["error"]) == (409, "already_decided")
    assert other.json()["retry"] == "never"


def test_amounts_that_differ_between_shapes_are_refused(either: World) -> None:
    body = {"deal_id": either.deals["approved"]["deal_id"], "amount": 99, "amount_usd": 98}
    response = either.call("POST", "/protocol/settle", body, who="seller")
    assert (response.status_code, response.json()["field"]) == (422, "amount_usd")


def test_a_go_is_replayed_with_the_same_key(either: World) -> None:
    pack = either.proof()
    first, second = either.go(pack), either.go(pack)
    for name in ("go_key", "deal_id", "amount", "payment_url"):
        assert first[name] == second[name]
    assert (first["_idempotent"], second["_idempotent"]) == (False, True)


def test_a_sent_key_is_a_second_name_of_the_outcome(either: World) -> None:
    pack = either.proof()
    either.go(pack)
    body = {"deal_id": pack["deal_id"]}
    headers = {"Idempotency-Key": '"my settle"'.replace(" ", "-")}
    first = either.ok("POST", "/protocol/settle", body, who="seller", headers=headers)
    again = either.ok("POST", "/protocol/settle", body, who="seller", headers=headers)
    assert again["_idempotent"] is True
    assert again["tx_id"] == first["tx_id"]
    other = {"deal_id": either.deals["approved"]["deal_id"]}
    mismatch = either.call("POST", "/protocol/settle", other, who="seller", headers=headers)
    assert (mismatch.status_code, mismatch.json()["error"]) == (422, "idempotency_mismatch")
    assert mismatch.json()["field"] == "deal_id"
    mine = either.ok("GET", "/protocol/idempotency/my-settle", who="seller")
    assert mine["state"] == "done"
    hidden = either.call("GET", "/protocol/idempotency/my-settle", who="buyer")
    assert hidden.status_code == 404


def test_a_refusal_is_replayed_under_a_sent_key_only(either: World) -> None:
    pack = either.proof()
    wrong = {
        **{n: pack[n] for n in ("deal_id", "scope_lock_hash")},
        "quote_id": "quote_" + 32 * "0",
    }
    headers = {"Idempotency-Key": f"refused-{pack['deal_id'][-20:]}"}
    first = either.call("POST", "/protocol/go", wrong, who="buyer", headers=headers)
    again = either.call("POST", "/protocol/go", wrong, who="buyer", headers=headers)
    assert (first.status_code, first.json()["error"]) == (409, "quote_mismatch")
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["_idempotent"] is True
    assert again.json()["error"] == "quote_mismatch"
    either.go(pack)


def test_a_derived_key_is_public_and_its_outcome_is_not(either: World) -> None:
    pack = either.proof()
    key = either.go(pack)["go_key"]
    anyone = either.ok("GET", f"/protocol/idempotency/{key}")
    assert (anyone["state"], anyone["deal_id"], anyone["operation"]) == (
        "done",
        pack["deal_id"],
        "go",
    )
    assert "outcome" not in anyone
    assert "outcome" not in either.ok("GET", f"/protocol/idempotency/{key}", who="stranger")
    for who in ("seller", "buyer", "operator"):
        assert "result" in either.ok("GET", f"/protocol/idempotency/{key}", who=who)["outcome"]
    assert either.call("GET", f"/protocol/claims/{key}", who="stranger").status_code == 404
    claim = either.ok("GET", f"/protocol/claims/{key}", who="buyer")
    assert (claim["state"], claim["retry"]) == ("done", "never")


def test_a_claim_shows_its_effect(either: World) -> None:
    pack = either.settled()
    found = either.call("POST", "/protocol/settle", {"deal_id": pack["deal_id"]}, who="seller")
    claim = either.ok("GET", f"/protocol/claims/{found.json()['idempotency_key']}", who="seller")
    assert claim["effect"]["state"] == "confirmed"
    assert claim["effect"]["obligation_key"] == f"charge:{pack['deal_id']}:0"
    assert claim["effect"]["rail"] == "simulated"


def test_verification_is_recorded_once(either: World) -> None:
    pack = either.proof()
    body = {
        "deal_id": pack["deal_id"],
        "proof_hash": pack["proof_hash"],
        "proof_type": "creative_preview",
        "provider": None,
        "proof_data": {"preview_url": "https://example.org/x"},
    }
    first = either.ok("POST", "/protocol/verify/provider", body)
    again = either.ok("POST", "/protocol/verify/provider", body)
    assert first["receipt_id"] == again["receipt_id"]
    assert first["verification"]["verified"] is True
    assert first["verification"]["confidence"] == 0.8
    assert len(first["receipt_hash"]) == len(first["verification"]["verification_hash"]) == 24
    listed = either.ok("GET", f"/protocol/verify/{pack['deal_id']}/receipt")
    assert listed["receipt_count"] == 1
    assert listed["receipts"][0]["receipt_hash"] == first["receipt_hash"]
    assert either.ok("GET", "/protocol/verify/deal_none/receipt")["receipt_count"] == 0


def test_payouts_are_listed_a_page_at_a_time(either: World) -> None:
    agent = either.register("paged")
    made = []
    for _ in range(3):
        deal = either.settled("paged")["deal_id"]
        answer = either.ok("POST", "/protocol/payouts", {"deal_id": deal}, who=agent)
        made.append(answer["payout"]["payout_id"])
    seen: list[str] = []
    cursor = ""
    while True:
        page = either.ok("GET", f"/protocol/payouts?limit=2&cursor={cursor}", who=agent)
        seen += [one["payout_id"] for one in page["payouts"]]
        cursor = page["next_cursor"] or ""
        if not cursor:
            break
    assert seen == made
    done = either.ok("GET", "/protocol/payouts?state=confirmed", who=agent)["payouts"]
    assert len(done) == 3
    assert either.ok("GET", "/protocol/payouts?state=refused", who=agent)["payouts"] == []


def test_a_payout_asked_for_again_is_the_same(either: World) -> None:
    pack = either.settled()
    body = {"deal_id": pack["deal_id"]}
    first = either.ok("POST", "/protocol/payouts", body, who="seller")
    again = either.ok("POST", "/protocol/payouts", body, who="seller")
    assert again["_idempotent"] is True
    assert again["payout"]["payout_id"] == first["payout"]["payout_id"]
    assert again["idempotency_key"] == first["idempotency_key"]


def test_destinations_are_masked_paused_and_taken_up(either: World) -> None:
    seller = either.register("paid elsewhere")
    made = either.ok(
        "POST",
        "/protocol/payout-destinations",
        {"rail": "simulated", "address": "acct_0123456789", "metadata": {"a": 1.5}, "auto": False},
        who=seller,
    )
    assert (made["status"], made["address"], made["rail"]) == ("active", "****6789", "SIMULATED")
    base = f"/protocol/payout-destinations/{made['destination_id']}"
    assert either.ok("POST", f"{base}/pause", who=seller)["status"] == "paused"
    assert either.ok("POST", f"{base}/pause", who=seller)["status"] == "paused"
    assert either.ok("POST", f"{base}/verify", {}, who=seller)["status"] == "active"
    listed = either.ok("GET", f"/protocol/payout-destinations/{seller.agent_id}", who=seller)
    assert "acct_0123456789" not in json.dumps(listed)
    ach = either.deals["destination"]
    assert ach["status"] == "unsupported"


def test_fees_add_up(either: World) -> None:
    found = either.ok("GET", "/protocol/fee-estimate?amount=100.0&rail=stripe&autonomy=auto")
    wire.money(found, "gross", 10_000)
    assert found["protocol_fee"]["amount_minor"] == 308
    assert found["protocol_fee"]["tier"] == "Starter"
    assert found["total_fees_minor"] + found["net_payout_minor"] == found["gross_minor"]
    assert found["aigx_rebate_estimate"] == 0


def test_fee_tiers_have_the_published_names(either: World) -> None:
    found = either.ok("GET", "/protocol/fee-tiers")
    assert [row["tier"] for row in found["tiers"]] == ["Starter", "Growth", "Scale", "Enterprise"]
    volumes = [row["min_volume_usd"] for row in found["tiers"]]
    assert volumes == sorted(volumes)
    assert found["tiers"][0]["fee_pct"] == 0.028
    assert found["tiers"][1]["fee_pct"] == 0.0266


def test_past_settlements_move_an_agents_tier(either: World) -> None:
    agent = either.register("volume")
    pack = either.proof("volume", price=1000)
    either.go(pack)
    either.ok("POST", "/protocol/settle", {"deal_id": pack["deal_id"]}, who=agent)
    tier = either.ok("GET", f"/protocol/fee-tiers/{agent.agent_id}")
    assert (tier["tier"], tier["next_tier"], tier["volume_30d_usd"]) == ("Growth", "Scale", 1000)
    estimate = either.ok("GET", f"/protocol/fee-estimate?amount=100&agent_id={agent.agent_id}")
    assert estimate["protocol_fee"]["amount_minor"] == 293
    shown = either.ok("GET", f"/protocol/reputation/{agent.agent_id}")
    assert (shown["total_settlements"], shown["total_volume_usd"]) == (1, 1000)
    assert shown["ocs"] > 50


def test_bundles_verify_offline_at_every_stage(either: World) -> None:
    key = either.ok("GET", "/protocol/merkle/public-key")["public_key_base64"]
    for stage in ("proof", "approved", "settled", "paid"):
        deal = either.deals[stage]["deal_id"]
        for path in (f"/protocol/proofs/{deal}/export", f"/proof/{deal}"):
            bundle = either.ok("GET", path)
            found = aigentsy_verify.verify_bundle(bundle, public_key_base64=key)
            assert found["verified"] is True, f"{stage}: {found}"
            assert found["verification_level"] == "full", f"{stage}: {found}"
            checked = either.ok("POST", "/protocol/proofs/verify-bundle", bundle)
            assert checked["verified"] is True
        spoilt = {**bundle, "deal_id": "deal_other"}
        assert (
            either.ok("POST", "/protocol/proofs/verify-bundle", {"bundle": spoilt})["verified"]
            is False
        )


def test_the_payment_page_is_html_and_escapes(either: World) -> None:
    pack = either.proof(scope_summary="<script>alert(1)</script>")
    page = either.call("GET", f"/pay/{pack['deal_id']}")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "<script>" not in page.text
    assert "99.00 USD" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_timeline_comes_in_pages_when_it_is_long(
    either: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal = either.deals["paid"]["deal_id"]
    path = f"/protocol/deals/{deal}/timeline"
    whole = either.ok("GET", path)
    assert whole["next_cursor"] is None
    monkeypatch.setattr(
        "settlement.service.deals.timeline.__kwdefaults__", {"from_version": 0, "limit": 3}
    )
    seen: list[Any] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = either.ok("GET", f"{path}?cursor={cursor}")
        assert len(page["events"]) <= 3
        seen += page["events"]
        cursor = page["next_cursor"]
    assert [event["hash"] for event in seen] == [event["hash"] for event in whole["events"]]


def test_health_and_readiness_need_no_key(either: World) -> None:
    health = either.ok("GET", "/health")
    assert health["mode"] == "sandbox"
    assert health["rails"] == ["simulated"]
    assert health["database"] in ("sqlite", "postgres")
    for figure in ("queue_depth", "dead_jobs", "oldest_outbox_ms", "log_lag_ms", "unknown_effects"):
        assert isinstance(health[figure], int), figure
    assert health["paused"] == []
    assert health["loops"]["sequencer"]["alive"] is True
    ready = either.ok("GET", "/ready")
    named = {"database", "migrations", "signing_key", "checkpoint", "rail", "disk"}
    assert set(ready["checks"]) == named


def test_hostile_text_in_a_path_is_just_unknown(either: World) -> None:
    for route, code in UNKNOWN_IN_PATH.items():
        start, _, rest = route.partition("{")
        for text in ("%00", "%ED%A0%80", "x" * 300, "'%20OR%201=1--", "9" * 30):
            path = start + text + rest.partition("}")[2]
            problem(either.call("GET", path, who="seller"), 404, code)
