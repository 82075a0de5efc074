"""The acceptance gate decides: who submits, who reviews, what it stops and what ends it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from settlement.core.operations import AutoGo, DecideAcceptance, SubmitAcceptance
from settlement.core.rows import DealState
from tests.core.test_operations_mandates import MANDATE, create
from tests.support.world import (
    BUYER,
    HELPER,
    NOBODY,
    OPERATOR,
    QUOTE,
    SELLER,
    STRANGER,
    World,
    key_of,
    new_world,
    refuses,
)


def submit(world: World, **members: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"principal": key_of(SELLER), "deal_id": "deal_1"}
    answer = world.run(SubmitAcceptance(**{**given, **members}))
    found: dict[str, Any] = answer["acceptance"]
    return found


def decide(world: World, decision: str = "accept", **members: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "principal": key_of(BUYER),
        "deal_id": "deal_1",
        "acceptance_id": world.deals["deal_1"].acceptance_id,
        "decision": decision,
    }
    return world.run(DecideAcceptance(**{**given, **members}))


@pytest.fixture
def world() -> World:
    world = new_world()
    world.pack()
    return world


def live(world: World) -> World:
    world.rules = replace(world.rules, sandbox=False)
    return world


# --- submitting ----------------------------------------------------------------------------------


def test_a_review_is_opened_once(world: World) -> None:
    """Catches: a second review for a retry, an event for nothing."""
    first = submit(world, review_seconds=60)
    assert (first["status"], first["submitted_by"]) == ("pending", SELLER)
    assert first["review_deadline"] == "2026-01-01T00:01:00.000000Z"
    assert submit(world, principal=key_of(STRANGER), review_seconds=None) == first
    assert world.types() == ["PROOF_READY", "ACCEPTANCE_PENDING"]
    assert world.payload("ACCEPTANCE_PENDING")["acceptance_id"] == first["acceptance_id"]


def test_a_review_can_be_opened_until_the_deal_settles(world: World) -> None:
    for state in DealState:
        world.deal_in(state)
        if state in ("proof_ready", "go_approved"):
            continue
        code = "proof_required" if state == "created" else "illegal_transition"
        refuses(world, code, lambda: submit(world))
    refuses(world, "deal_not_found", lambda: submit(world, deal_id="deal_none"))


def test_live_only_a_party_stops_a_settle_by_a_review(world: World) -> None:
    """Catches: any stranger who holds up any deal."""
    live(world)
    refuses(world, "party_mismatch", lambda: submit(world, principal=key_of(STRANGER)))
    world.go()
    refuses(world, "party_mismatch", lambda: submit(world, principal=key_of(STRANGER)))
    assert submit(world, principal=key_of(BUYER))["submitted_by"] == BUYER


def test_an_operator_may_open_a_review(world: World) -> None:
    live(world)
    assert submit(world, principal=OPERATOR)["status"] == "pending"


# --- the gate ------------------------------------------------------------------------------------


def test_nothing_settles_while_a_review_is_open_or_lost(world: World) -> None:
    """Catches: a settle that does not look at the review."""
    world.go()
    submit(world)
    refuses(world, "acceptance_required", world.settle)
    decide(world, "reject", reason="not what was asked")
    refuses(world, "rejected_by_buyer", world.settle)


def test_what_was_accepted_settles(world: World) -> None:
    world.go()
    submit(world)
    answer = decide(world, reason="fine", checks_passed=("size",))
    assert answer["downstream_triggered"] is True
    assert answer["acceptance"]["checks_passed"] == ["size"]
    assert (answer["acceptance"]["reviewer_id"], answer["status"]) == (BUYER, "go_approved")
    assert world.types()[-1] == "ACCEPTED"
    payload = world.payload("ACCEPTED")
    assert (payload["reason"], len(payload["reason_hash"])) == ("fine", 64)
    assert world.settle()["status"] == "settling"


def test_accepting_a_quote_approves_it_first(world: World) -> None:
    """Catches: ACCEPTED without GO_APPROVED, a buyer who is not bound, a fee not pinned."""
    submit(world)
    answer = decide(world)
    assert answer["events_emitted"] == ["GO_APPROVED", "ACCEPTED"]
    assert (answer["amount_minor"], answer["status"]) == (9_900, "go_approved")
    deal = world.deals["deal_1"]
    assert (deal.buyer_id, deal.approved_by, deal.approval_mode) == (BUYER, BUYER, "manual")
    assert ("deal_1", BUYER, "buyer") in world.parties
    assert world.payload("GO_APPROVED")["authority"] == "key"


def test_a_rejection_approves_and_binds_nobody(world: World) -> None:
    submit(world)
    answer = decide(world, "reject", reason="no")
    assert (answer["downstream_triggered"], answer["status"]) == (False, "proof_ready")
    assert world.deals["deal_1"].buyer_id is None
    assert world.types()[-1] == "REJECTED"


# --- who reviews ---------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_sellers_do_not_review_their_own_work(world: World, decision: str) -> None:
    submit(world)
    refuses(world, "self_approval", lambda: decide(world, decision, principal=key_of(SELLER)))


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_only_the_bound_buyer_reviews(world: World, decision: str) -> None:
    """Catches: a stranger who stops or approves somebody's deal."""
    world.go()
    submit(world)
    for who in (key_of(STRANGER), OPERATOR, NOBODY):
        refuses(
            world,
            "party_mismatch",
            lambda who=who: decide(world, decision, principal=who),  # type: ignore[misc]
        )
    decide(world, decision)


def test_the_agent_that_an_unkeyed_approval_named_is_the_buyer(world: World) -> None:
    live(world)
    world.go(principal=NOBODY, actor_id=HELPER)
    submit(world)
    refuses(world, "party_mismatch", lambda: decide(world))
    decide(world, principal=key_of(HELPER))
    assert world.deals["deal_1"].buyer_id == HELPER


@pytest.mark.parametrize("decision", ["accept", "reject"])
@pytest.mark.parametrize("label", ["acme", HELPER])
def test_who_registers_the_buyers_name_is_not_the_buyer(
    world: World, label: str, decision: str
) -> None:
    """Catches: a stranger who gives itself the buyer's name, or its id for a name, and rejects what
    the buyer has paid for, or takes its place."""
    live(world)
    world.go(principal=NOBODY, actor_id=label)
    namesake = replace(key_of(STRANGER), name=label)
    refuses(world, "party_mismatch", lambda: submit(world, principal=namesake))
    submit(world)
    refuses(world, "party_mismatch", lambda: decide(world, decision, principal=namesake))


def test_live_a_deal_of_nobody_is_reviewed_by_who_was_shown_its_quote(world: World) -> None:
    """Catches: a stranger who takes a quoted deal by accepting it."""
    live(world)
    submit(world)
    refuses(world, "party_mismatch", lambda: decide(world))
    refuses(world, "party_mismatch", lambda: decide(world, quote_id="quote_" + "8" * 32))
    assert decide(world, quote_id=QUOTE)["status"] == "go_approved"


# --- what ends it --------------------------------------------------------------------------------


def test_a_new_pack_ends_the_review(world: World) -> None:
    """Catches: a price raised between the look and the acceptance."""
    old = submit(world)["acceptance_id"]
    world.pack(deal_id="deal_1", price_minor=99_000)
    refuses(world, "acceptance_superseded", lambda: decide(world, acceptance_id=old))
    new = submit(world)["acceptance_id"]
    assert new != old
    assert decide(world)["amount_minor"] == 99_000


def test_rejected_work_may_be_packed_and_reviewed_again(world: World) -> None:
    """Catches: a deal that one rejection bars for ever."""
    submit(world)
    decide(world, "reject", reason="no")
    world.pack(deal_id="deal_1")
    submit(world)
    assert decide(world)["status"] == "go_approved"


def test_a_mandate_does_not_approve_what_its_buyer_rejected(world: World) -> None:
    """Catches: a reserve locked in the escrow of a deal that cannot settle."""
    create(world)
    submit(world)
    decide(world, "reject", reason="no")
    op = AutoGo(principal=key_of(BUYER), deal_id="deal_1", quote_id=QUOTE, candidates=(MANDATE,))
    refuses(world, "rejected_by_buyer", lambda: world.run(op))


def test_an_expired_quote_is_not_accepted_but_may_be_rejected(world: World) -> None:
    submit(world)
    world.now_us += 8 * 86_400 * 1_000_000
    refuses(world, "quote_expired", lambda: decide(world))
    assert decide(world, "reject")["status"] == "proof_ready"


def test_a_settled_deal_is_not_reviewed(world: World) -> None:
    submit(world)
    for state in ("settling", "settled", "cancelled", "refunded", "disputed"):
        world.deal_in(state)
        refuses(world, "illegal_transition", lambda: decide(world))
        refuses(world, "illegal_transition", lambda: decide(world, "reject"))


def test_both_decisions_share_a_claim(world: World) -> None:
    submit(world)
    keys = {
        DecideAcceptance(
            principal=key_of(who), deal_id="deal_1", acceptance_id="acc_1", decision=decision
        )
        .call()
        .derived
        for who in (BUYER, STRANGER)
        for decision in ("accept", "reject")
    }
    assert len(keys) == 1
