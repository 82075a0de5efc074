"""The acceptance gate over HTTP: one review, one decision, and what a second one is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.edge.test_transport import problem
from tests.support import wire

if TYPE_CHECKING:
    from tests.edge.world import World


def decide(live: World, pack: dict[str, Any], verb: str, who: str = "buyer", **members: Any) -> Any:
    path = f"/protocol/acceptance/{pack['acceptance_id']}/{verb}"
    return live.call("POST", path, members, who=who)


def review_of(live: World, pack: dict[str, Any]) -> Any:
    return live.ok("GET", f"/protocol/acceptance/deal/{pack['deal_id']}")["acceptance"]


def test_submitting_twice_answers_the_review_there_is(either: World) -> None:
    """Catches: a second review, a repeat that calls itself an original."""
    pack = either.proof()
    assert review_of(either, pack) is None
    body = {"deal_id": pack["deal_id"], "downstream_action": "settle"}
    first = either.ok("POST", "/protocol/acceptance/submit", body, who="seller")
    again = either.call("POST", "/protocol/acceptance/submit", body, who="buyer")
    assert again.json()["acceptance"] == first["acceptance"] == review_of(either, pack)
    assert (first["_idempotent"], again.json()["_idempotent"]) == (False, True)
    assert again.headers["idempotency-replayed"] == "true"


def test_the_gate_holds_until_the_buyer_accepts(either: World) -> None:
    pack = either.reviewed()
    either.go(pack)
    settle = {"deal_id": pack["deal_id"]}
    refused = either.call("POST", "/protocol/settle", settle, who="seller")
    problem(refused, 409, "acceptance_required")
    problem(decide(either, pack, "accept", "seller"), 403, "self_approval")
    problem(decide(either, pack, "accept", "stranger"), 403, "party_mismatch")
    accepted = decide(either, pack, "accept", decision="accept", reason="as agreed").json()
    assert (accepted["downstream_triggered"], accepted["acceptance"]["status"]) == (
        True,
        "accepted",
    )
    assert review_of(either, pack)["reviewer_id"] == either.agents["buyer"].agent_id
    either.ok("POST", "/protocol/settle", settle, who="seller")
    timeline = either.ok("GET", f"/protocol/deals/{pack['deal_id']}/timeline")
    wire.in_order(
        wire.types(timeline), ["ACCEPTANCE_PENDING", "GO_APPROVED", "ACCEPTED", "SETTLED"]
    )
    told = next(e for e in timeline["events"] if e["event_type"] == "ACCEPTED")
    assert told["payload"]["reason"] == "as agreed"
    replay = either.ok("GET", f"/protocol/deals/{pack['deal_id']}/replay", who="seller")
    assert replay["verdict"] == "clean"


def test_a_name_that_looks_like_the_buyers_id_reviews_nothing(either: World) -> None:
    """Catches: a review by whoever registered the buyer's id as its name."""
    pack, buyer = either.proof(), either.agents["buyer"].agent_id
    body = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
    either.ok("POST", "/protocol/go", {**body, "actor_id": buyer})
    either.register(buyer)
    submit = {"deal_id": pack["deal_id"]}
    refused = either.call("POST", "/protocol/acceptance/submit", submit, who=buyer)
    problem(refused, 403, "party_mismatch")
    made = either.ok("POST", "/protocol/acceptance/submit", submit, who="seller")
    pack["acceptance_id"] = made["acceptance"]["acceptance_id"]
    for verb in ("accept", "reject"):
        problem(decide(either, pack, verb, buyer), 403, "party_mismatch")
    assert decide(either, pack, "accept").json()["acceptance"]["reviewer_id"] == buyer


def test_a_second_decision_is_told_there_was_one(either: World) -> None:
    """Catches: an acceptance taken back, a rejection turned, two events of one review."""
    pack = either.reviewed()
    first = decide(either, pack, "reject", reason="late").json()
    assert first["_idempotent"] is False
    same = decide(either, pack, "reject", reason="late")
    assert same.json()["_idempotent"] is True
    assert same.json()["acceptance"] == first["acceptance"]
    for verb, reason in (("accept", "late"), ("accept", ""), ("reject", "other")):
        problem(decide(either, pack, verb, reason=reason), 409, "already_decided")
    timeline = either.ok("GET", f"/protocol/deals/{pack['deal_id']}/timeline")
    assert wire.types(timeline).count("REJECTED") == 1
    refused = either.call("POST", "/protocol/settle", {"deal_id": pack["deal_id"]}, who="seller")
    problem(refused, 409, "rejected_by_buyer")


def test_a_review_that_a_new_pack_ended_is_not_accepted(either: World) -> None:
    pack = either.reviewed(price=10)
    either.proof(deal_id=pack["deal_id"], price=500)
    problem(decide(either, pack, "accept"), 409, "acceptance_superseded")


def test_what_is_no_review_and_no_decision_is_refused(quiet: World) -> None:
    for unknown in ("acc_" + "0" * 32, "x", "%00"):
        path = f"/protocol/acceptance/{unknown}/accept"
        problem(quiet.call("POST", path, {}, who="buyer"), 404, "acceptance_not_found")
    pack = quiet.deals["reviewed"]
    problem(decide(quiet, pack, "accept", decision="reject"), 422, "field_invalid")
    problem(decide(quiet, pack, "accept", reason="x" * 2_001), 422, "field_invalid")
    problem(decide(quiet, pack, "reject", checks_failed=["x"] * 101), 422, "field_invalid")
    nowhere = quiet.call("GET", "/protocol/acceptance/deal/deal_unknown")
    problem(nowhere, 404, "deal_not_found")
