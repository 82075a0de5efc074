"""Mandates and auto-go over HTTP: what is kept under which key, and whose mandates these are."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.principal import SYSTEM
from tests.edge.test_routes import keeps
from tests.edge.test_transport import problem
from tests.edge.world import MANDATE
from tests.support import wire
from tests.support.house import Play

if TYPE_CHECKING:
    from tests.edge.world import World

RESERVED = {**MANDATE, "reserve": "60.00"}


_numbers = itertools.count(1)


def shopper(live: World) -> str:
    """An agent of its own for a test, which has earned 95.95."""
    name = f"shopper{next(_numbers)}"
    live.register(name)
    pack = live.proof(name)
    live.go(pack, "stranger")
    live.ok("POST", "/protocol/settle", {"deal_id": pack["deal_id"]}, who=name)
    return name


def make(live: World, who: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Idempotency-Key": "m1"}
    made = live.ok("POST", "/protocol/mandates", body or MANDATE, who=who, headers=headers)
    return {**made["mandate"], "again": made["_idempotent"]}


def quoted(live: World, price: int = 50) -> dict[str, Any]:
    """A deal with a receipt that counts."""
    pack = live.proof(price=price)
    play = Play(live.services)
    play.receipt(pack, SYSTEM)
    return pack


def auto_go(live: World, pack: dict[str, Any], who: str | None, **more: Any) -> Any:
    key = more.pop("key", None)
    body = {name: pack[name] for name in ("deal_id", "quote_id")} | more
    headers = {"Idempotency-Key": key} if key else {}
    return live.call("POST", "/protocol/auto-go", body, who=who, headers=headers)


def test_a_reserve_needs_a_key_and_is_put_aside_once(either: World) -> None:
    """Catches: a retry of a lost answer that puts the money aside twice."""
    who = shopper(either)
    refused = either.call("POST", "/protocol/mandates", RESERVED, who=who)
    problem(refused, 400, "idempotency_key_required")
    made = make(either, who, RESERVED)
    again = make(either, who, RESERVED)
    assert (made["again"], again["again"]) == (False, True)
    assert made["mandate_id"] == again["mandate_id"]
    wire.money(made, "reserve", 6_000)
    buyer = either.agents[who].agent_id
    balances = either.ok("GET", f"/protocol/agents/{buyer}/balances", who=who)
    assert balances["balances"][0]["available_minor"] == 9_595 - 6_000
    problem(
        either.call(
            "POST",
            "/protocol/mandates",
            {**RESERVED, "reserve": "1.00"},
            who=who,
            headers={"Idempotency-Key": "m1"},
        ),
        422,
        "idempotency_mismatch",
    )


def test_the_way_of_a_mandate(either: World) -> None:
    """Catches: money that waits for a payment page though it was put aside."""
    who = shopper(either)
    mandate = make(either, who, RESERVED)
    pack = quoted(either)
    answer = auto_go(either, pack, who, mandate_id=mandate["mandate_id"]).json()
    assert (answer["decision"], answer["payment_url"]) == ("go_approved", None)
    wire.money(answer, "reserve_drawn", 5_000)
    settled = either.ok("POST", "/protocol/settle", {"deal_id": pack["deal_id"]}, who="seller")
    assert settled["provider"] == "mandate"
    timeline = either.ok("GET", f"/protocol/deals/{pack['deal_id']}/timeline")
    wire.settled_once(timeline, "50.00")
    wire.in_order(wire.types(timeline), ["AUTO_GO_APPROVED", "PAYMENT_AUTHORIZED", "SETTLED"])
    debited = [row["ref"] for row in timeline["ledger"] if row["side"] == "debit"]
    assert f"mandate:{mandate['mandate_id']}" in debited
    replay = either.ok("GET", f"/protocol/deals/{pack['deal_id']}/replay", who="seller")
    assert replay["verdict"] == "clean"
    buyer = either.agents[who].agent_id
    listed = either.ok("GET", f"/protocol/mandates/{buyer}", who=who)["mandates"]
    wire.money(listed[0], "reserve_available", 1_000)
    path = f"/protocol/mandates/{mandate['mandate_id']}/revoke"
    ended = either.ok("POST", path, {}, who=who)
    wire.money(ended, "returned", 1_000)
    assert ended["mandate"]["status"] == "revoked"
    wire.money(either.ok("POST", path, {}, who=who), "returned", 0)


def test_a_mandate_of_another_is_neither_seen_nor_spent_nor_ended(either: World) -> None:
    """Catches: a mandate found by its id alone."""
    who = shopper(either)
    mandate = make(either, who)["mandate_id"]
    buyer = either.agents[who].agent_id
    problem(either.call("GET", f"/protocol/mandates/{buyer}", who="stranger"), 403, "not_owner")
    path = f"/protocol/mandates/{mandate}/revoke"
    problem(either.call("POST", path, {}, who="stranger"), 404, "mandate_not_found")
    for unknown in ("mnd_" + "0" * 32, "x", "%00"):
        path = f"/protocol/mandates/{unknown}/revoke"
        problem(either.call("POST", path, {}, who=who), 404, "mandate_not_found")
    stranger = either.agents["stranger"].agent_id
    asked = {"mandate_id": mandate, "buyer_id": stranger}
    answer = auto_go(either, quoted(either), "stranger", **asked).json()
    assert (answer["decision"], answer["reasons"]) == ("manual_go_required", ["mandate_not_found"])
    asked = {"mandate_id": mandate, "buyer_id": buyer}
    problem(auto_go(either, quoted(either), "stranger", **asked), 403, "party_mismatch")


def test_a_decision_that_a_person_must_take_is_not_kept(either: World) -> None:
    """Catches: a try that came too early and bars the deal for ever; under a key of the caller's
    own the answer is kept."""
    who = shopper(either)
    pack = quoted(either)
    assert auto_go(either, pack, who).json()["reasons"] == ["mandate_missing"]
    first = auto_go(either, pack, who, key="try-1").json()
    assert (first["decision"], first["_idempotent"]) == ("manual_go_required", False)
    make(either, who)
    kept = auto_go(either, pack, who, key="try-1").json()
    assert (kept["decision"], kept["_idempotent"]) == ("manual_go_required", True)
    approved = auto_go(either, pack, who).json()
    assert (approved["decision"], approved["_idempotent"]) == ("go_approved", False)
    again = auto_go(either, pack, who).json()
    assert (again["decision"], again["_idempotent"]) == ("go_approved", True)


def test_go_and_auto_go_are_one_approval(either: World) -> None:
    """Catches: two derived keys, and so two approvals of one deal."""
    who = shopper(either)
    make(either, who)
    pack = quoted(either)
    approved = auto_go(either, pack, who).json()
    replayed = either.go(pack, who)
    assert replayed["_idempotent"] is True
    assert (replayed["go_key"], replayed["amount"]) == (approved["go_key"], approved["amount"])
    other = quoted(either)
    either.go(other, who)
    buyer = either.agents[who].agent_id
    problem(auto_go(either, other, who, buyer_id=buyer), 409, "already_decided")
    # Naming nobody, it asks nothing else than the GO did.
    same = auto_go(either, other, None)
    assert same.status_code == 200, same.text
    assert (same.json()["decision"], same.json()["_idempotent"]) == ("go_approved", True)
    keeps(either, "POST", "/protocol/auto-go", same.text)
    types = wire.types(either.ok("GET", f"/protocol/deals/{other['deal_id']}/timeline"))
    assert types.count("GO_APPROVED") == 1
    assert "AUTO_GO_APPROVED" not in types


def test_in_live_mode_auto_go_needs_a_key(live_mode: World) -> None:
    pack = quoted(live_mode)
    problem(auto_go(live_mode, pack, None), 401, "key_required")
    make(live_mode, "buyer")
    assert auto_go(live_mode, pack, "buyer").json()["decision"] == "go_approved"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("confidence_threshold", 1.5),
        ("confidence_threshold", "high"),
        ("allowed_verticals", []),
        ("allowed_verticals", [""]),
        ("allowed_verticals", ["Two words"]),
        ("valid_seconds", 0),
        ("reserve", 0),
    ],
)
def test_a_mandate_that_says_nothing_sensible_is_refused(
    quiet: World, member: str, value: object
) -> None:
    body = {**MANDATE, member: value}
    found = problem(quiet.call("POST", "/protocol/mandates", body, who="buyer"), 422)
    assert found["field"].split("[")[0] == member
