"""Mandates decide: what they allow by name, what leaves a reserve, and for whom they count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from settlement.core import errors
from settlement.core.mandates import read_confidence, verticals_text
from settlement.core.operations import AutoGo, CreateMandate, RevokeMandate
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

MANDATE = "mnd_" + "1" * 32
OTHER = "mnd_" + "2" * 32


def create(world: World, **members: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "principal": key_of(BUYER),
        "mandate_id": MANDATE,
        "buyer_id": BUYER,
        "asset": "USD/2",
        "max_amount_minor": 10_000,
        "allowed_verticals": '["marketing"]',
        "confidence_threshold": "0.7",
    }
    return world.run(CreateMandate(**{**given, **members}))


def revoke(world: World, **members: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"principal": key_of(BUYER), "mandate_id": MANDATE}
    return world.run(RevokeMandate(**{**given, **members}))


def auto_go(world: World, deal_id: str = "deal_1", **members: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "principal": key_of(BUYER),
        "deal_id": deal_id,
        "quote_id": QUOTE,
        "buyer_id": BUYER,
        "candidates": (MANDATE,),
    }
    return world.run(AutoGo(**{**given, **members}))


def packed(world: World, deal_id: str = "deal_1", **members: Any) -> None:
    """A deal with a receipt that counts."""
    world.pack(deal_id, vertical="marketing", **members)
    world.verify(OPERATOR, deal_id)


def balance(world: World, ref: str) -> int:
    account = world.accounts.get((ref, "USD/2"))
    return 0 if account is None else account.credits_posted - account.debits_posted


@pytest.fixture
def world() -> World:
    return new_world()


# --- made and ended ------------------------------------------------------------------------------


def test_a_reserve_leaves_the_balance_and_the_rest_comes_back(world: World) -> None:
    """Catches: a reserve that is only a number, a return of the reserve instead of the rest."""
    world.fund(BUYER)
    before = balance(world, f"entity:{BUYER}")
    made = create(world, reserve_minor=15_000)
    assert made["reserve_available_minor"] == 15_000
    assert balance(world, f"entity:{BUYER}") == before - 15_000
    packed(world)
    assert auto_go(world)["reserve_drawn_minor"] == 9_900
    ended = revoke(world)
    assert (ended["status"], ended["returned_minor"]) == ("revoked", 5_100)
    assert balance(world, f"entity:{BUYER}") == before - 9_900
    assert balance(world, f"mandate:{MANDATE}") == 0
    assert world.types(f"sys_{MANDATE}") == ["MANDATE_CREATED", "MANDATE_REVOKED"]
    assert world.payload("MANDATE_REVOKED", f"sys_{MANDATE}")["returned_minor"] == 5_100


def test_a_mandate_revoked_again_changes_nothing(world: World) -> None:
    """Catches: a second MANDATE_REVOKED for nothing."""
    create(world)
    first = revoke(world)
    assert revoke(world) == first
    assert world.types(f"sys_{MANDATE}").count("MANDATE_REVOKED") == 1


def test_a_reserve_beyond_the_balance_is_refused(world: World) -> None:
    world.fund(BUYER, 5_000)
    available = balance(world, f"entity:{BUYER}")
    refused = refuses(
        world, "insufficient_funds", lambda: create(world, reserve_minor=available + 1)
    )
    assert refused.to_record()["members"]["available_minor"] == available
    create(world, reserve_minor=available)


def test_only_the_buyers_own_key_puts_money_aside(world: World) -> None:
    """Catches: an operator who draws on a balance, a mandate in another's name."""
    world.fund(BUYER)
    refuses(world, "not_owner", lambda: create(world, principal=key_of(STRANGER)))
    refuses(world, "not_owner", lambda: create(world, principal=OPERATOR, reserve_minor=100))
    create(world, principal=OPERATOR)
    refuses(world, "agent_not_found", lambda: create(world, buyer_id="agent_none"))


def test_another_buyers_mandate_does_not_exist(world: World) -> None:
    create(world)
    refuses(world, "mandate_not_found", lambda: revoke(world, principal=key_of(STRANGER)))
    refuses(world, "mandate_not_found", lambda: revoke(world, mandate_id=OTHER))


# --- spending ------------------------------------------------------------------------------------


def test_a_mandate_with_a_reserve_approves_and_pays(world: World) -> None:
    """Catches: an approval that leaves the money for later, a buyer who is not bound."""
    world.fund(BUYER)
    create(world, reserve_minor=15_000)
    packed(world)
    answer = auto_go(world, principal=key_of(SELLER))
    assert (answer["decision"], answer["reasons"]) == ("go_approved", [])
    assert world.types()[-2:] == ["AUTO_GO_APPROVED", "PAYMENT_AUTHORIZED"]
    approved, paid = world.payload("AUTO_GO_APPROVED"), world.payload("PAYMENT_AUTHORIZED")
    assert (approved["authority"], approved["mandate_id"]) == ("mandate", MANDATE)
    assert (paid["source"], paid["amount_minor"], paid["rail"]) == ("mandate", 9_900, None)
    deal = world.deals["deal_1"]
    assert (deal.buyer_id, deal.funding, deal.approval_mode) == (BUYER, "mandate", "auto")
    assert balance(world, "escrow:deal_1") == 9_900


@pytest.mark.parametrize("sandbox", [True, False])
def test_what_a_mandate_paid_settles_without_a_rail(sandbox: bool) -> None:  # noqa: FBT001
    """Catches: a settle that charges what escrow holds already, or asks live for a payment."""
    world = new_world()
    world.fund(BUYER)
    create(world, reserve_minor=15_000)
    packed(world)
    auto_go(world)
    world.rules = replace(world.rules, sandbox=sandbox)
    settled = world.settle()
    assert (settled["status"], settled["provider"]) == ("settled", "mandate")
    assert balance(world, "escrow:deal_1") == 0
    assert [effect for effect in world.effects.values() if effect.deal_id == "deal_1"] == []


def test_only_what_escrow_lacks_is_drawn(world: World) -> None:
    """Catches: paying again for what the buyer paid at the payment page."""
    world.fund(BUYER)
    create(world, reserve_minor=15_000)
    packed(world)
    world.pay(amount_minor=9_000)
    assert auto_go(world)["reserve_drawn_minor"] == 900
    assert balance(world, "escrow:deal_1") == 9_900


def test_a_seller_draws_on_a_reserve_only_for_work_somebody_has_looked_at(world: World) -> None:
    """Catches: any agent drains a reserve whose threshold is 0 by selling to its buyer."""
    world.fund(BUYER)
    create(world, reserve_minor=15_000, confidence_threshold="0")
    world.pack("deal_1", vertical="marketing")
    answer = auto_go(world, principal=key_of(SELLER))
    assert (answer["decision"], answer["reasons"]) == (
        "manual_go_required",
        ["reserve_needs_receipt"],
    )
    world.verify(OPERATOR, "deal_1")
    assert auto_go(world, principal=key_of(SELLER))["reserve_drawn_minor"] == 9_900
    world.pack("deal_2", vertical="marketing", price_minor=2_000)
    assert auto_go(world, "deal_2", principal=key_of(BUYER))["reserve_drawn_minor"] == 2_000


def test_a_mandate_without_reserve_approves_and_moves_nothing(world: World) -> None:
    create(world)
    packed(world)
    assert auto_go(world)["decision"] == "go_approved"
    assert world.types()[-1] == "AUTO_GO_APPROVED"
    assert ("mandate:" + MANDATE, "USD/2") not in world.accounts


def test_without_a_key_a_mandate_binds_nobody_and_pays_nothing(world: World) -> None:
    """Catches: contract §0.3.4 forgotten: a stranger who draws on a reserve by naming it."""
    world.fund(BUYER)
    create(world, reserve_minor=15_000)
    create(world, mandate_id=OTHER)
    packed(world)
    answer = auto_go(world, principal=NOBODY)
    assert (answer["decision"], answer["reasons"]) == (
        "manual_go_required",
        ["reserve_needs_key"],
    )
    answer = auto_go(world, principal=NOBODY, mandate_id=OTHER, candidates=(OTHER,))
    assert answer["decision"] == "go_approved"
    deal = world.deals["deal_1"]
    assert (deal.buyer_id, deal.buyer_label, deal.funding) == (None, BUYER, None)
    assert deal.approval_authority == "quote"
    assert balance(world, f"mandate:{MANDATE}") == 15_000


REASONS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("mandate_missing", {}, {}, {"candidates": ()}),
    ("mandate_not_found", {}, {}, {"mandate_id": OTHER, "candidates": (OTHER,)}),
    ("mandate_not_found", {}, {}, {"mandate_id": MANDATE, "buyer_id": HELPER,
                                   "principal": key_of(SELLER)}),
    ("mandate_expired", {"valid_seconds": 60}, {}, {}),
    ("asset_not_allowed", {"asset": "USDC/6"}, {}, {}),
    ("price_over_limit", {"max_amount_minor": 9_899}, {}, {}),
    ("vertical_not_allowed", {"allowed_verticals": '["design"]'}, {}, {}),
    ("confidence_too_low", {"confidence_threshold": "0.76"}, {}, {}),
    ("seller_unregistered", {}, {"agent_username": "label", "principal": NOBODY}, {}),
    ("seller_mismatch", {}, {}, {"seller_agent_id": HELPER}),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "mandate", "pack", "call"), REASONS)
def test_every_limit_that_is_broken_is_named_and_nothing_happens(
    world: World,
    reason: str,
    mandate: dict[str, Any],
    pack: dict[str, Any],
    call: dict[str, Any],
) -> None:
    """Catches: a limit compared the wrong way round, another buyer's mandate used."""
    create(world, **mandate)
    packed(world, **pack)
    world.now_us += 61_000_000
    before = (world.types(), world.claims, world.deals["deal_1"])
    answer = auto_go(world, **call)
    assert (answer["decision"], answer["reasons"]) == ("manual_go_required", [reason])
    assert (world.types(), world.claims, world.deals["deal_1"]) == before


def test_the_edge_of_every_limit_passes(world: World) -> None:
    """Catches: > for >=, < for <=."""
    create(world, max_amount_minor=9_900, confidence_threshold="0.75")
    world.scores[SELLER, "USD/2"] = 2_500
    packed(world)
    assert auto_go(world)["decision"] == "go_approved"


def test_a_restricted_seller_needs_a_person(world: World) -> None:
    create(world)
    packed(world)
    world.scores[SELLER, "USD/2"] = 2_499
    assert auto_go(world)["reasons"] == ["seller_restricted"]


def test_open_and_party_receipts_do_not_count(world: World) -> None:
    """Catches: the seller's own verdict taken for a verifier's."""
    create(world)
    world.pack(vertical="marketing")
    world.verify(key_of(SELLER))
    world.verify(NOBODY)
    assert auto_go(world)["reasons"] == ["confidence_too_low"]


def test_a_reserve_too_small_says_so_and_leaves_it_whole(world: World) -> None:
    world.fund(BUYER)
    create(world, reserve_minor=15_000)
    packed(world)
    packed(world, "deal_2")
    auto_go(world)
    assert auto_go(world, "deal_2")["reasons"] == ["reserve_too_small"]
    assert balance(world, f"mandate:{MANDATE}") == 5_100


def test_a_revoked_mandate_approves_nothing(world: World) -> None:
    create(world)
    packed(world)
    revoke(world)
    assert auto_go(world)["reasons"] == ["mandate_revoked"]


def test_several_broken_limits_are_all_named(world: World) -> None:
    create(world, max_amount_minor=1, allowed_verticals='["design"]')
    packed(world)
    assert auto_go(world)["reasons"] == ["price_over_limit", "vertical_not_allowed"]


def test_of_several_mandates_the_one_that_allows_it_is_used(world: World) -> None:
    """Catches: the first mandate of a buyer taken, whatever it says."""
    create(world, max_amount_minor=1)
    create(world, mandate_id=OTHER)
    packed(world)
    assert auto_go(world, candidates=(MANDATE, OTHER))["mandate_id"] == OTHER


def test_the_caller_is_the_buyer_or_the_seller(world: World) -> None:
    """Catches: a stranger's key that spends a buyer's mandate, a seller who buys from itself."""
    create(world)
    create(world, principal=key_of(SELLER), mandate_id=OTHER, buyer_id=SELLER)
    packed(world)
    refuses(world, "party_mismatch", lambda: auto_go(world, principal=key_of(STRANGER)))
    own: dict[str, Any] = {"principal": key_of(SELLER), "buyer_id": SELLER, "candidates": (OTHER,)}
    refuses(world, "self_approval", lambda: auto_go(world, **own))
    refuses(world, "quote_mismatch", lambda: auto_go(world, quote_id="quote_" + "8" * 32))
    refuses(world, "deal_not_found", lambda: auto_go(world, "deal_none"))


def test_a_deal_bound_to_a_buyer_takes_no_other_buyers_mandate(world: World) -> None:
    create(world)
    packed(world)
    world.deals["deal_1"] = replace(world.deals["deal_1"], buyer_id=HELPER)
    refuses(world, "party_mismatch", lambda: auto_go(world, principal=key_of(SELLER)))


def test_an_expired_quote_is_no_longer_approved(world: World) -> None:
    create(world)
    packed(world)
    world.now_us += 8 * 86_400 * 1_000_000
    refuses(world, "quote_expired", lambda: auto_go(world))
    world.deal_in("settled")
    refuses(world, "illegal_transition", lambda: auto_go(world))


def test_a_net_of_nothing_is_refused_as_by_go(world: World) -> None:
    create(world)
    packed(world, price_minor=29)
    refuses(world, "net_below_minimum", lambda: auto_go(world))


@pytest.mark.parametrize(
    ("text", "read"), [("0", "0"), ("1", "1"), ("1.0", "1"), ("0.80", "0.8"), ("0.123456", None)]
)
def test_a_threshold_is_an_exact_decimal(text: str, read: str | None) -> None:
    assert read_confidence(text, "c") == (read or text)


@pytest.mark.parametrize("text", ["", "1.1", "2", "-0.5", "1e-1", ".5", "0.1234567", "80"])
def test_a_threshold_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidField):
        read_confidence(text, "c")


def test_a_mandate_names_some_verticals_but_not_any_number() -> None:
    assert verticals_text(["b", "a", "b"], "v") == '["a","b"]'
    for verticals in ([], [f"v{n}" for n in range(51)]):
        with pytest.raises(errors.InvalidField):
            verticals_text(verticals, "v")
