"""Approving an award: at most its price, by whom it binds, and what a repeat of it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.world import BUYER, NOBODY, OPERATOR, World, key_of, new_world, refuses


@pytest.fixture
def awarded() -> World:
    """A deal of 10.00 that an exchange awarded, in sandbox."""
    world = new_world()
    world.pack(price_minor=1_000)
    deal = world.deals["deal_1"]
    world.deals["deal_1"] = replace(deal, intent_id="int_1", buyer_id=BUYER, buyer_label=BUYER)
    return world


@pytest.mark.parametrize("who", [key_of(BUYER), OPERATOR, NOBODY])
def test_an_award_is_the_most_that_is_approved(awarded: World, who: object) -> None:
    """Catches a seller without its key, or anybody, approving an award at ten times its price."""
    refuses(awarded, "amount_mismatch", lambda: awarded.go(principal=who, amount_minor=10_000))
    assert awarded.deals["deal_1"].state == "proof_ready"
    awarded.go(principal=who, amount_minor=1_000)
    assert awarded.deals["deal_1"].gross_minor == 1_000


def test_a_settle_that_approves_keeps_to_the_award_too(awarded: World) -> None:
    """Catches the price checked where GO approves and not where a settle does."""
    refuses(awarded, "amount_mismatch", lambda: awarded.settle(amount_minor=10_000))


def test_live_nobody_without_the_buyers_key_approves_for_it() -> None:
    """Catches the quote, which the seller holds too, taken for the word of a registered buyer."""
    world = new_world(sandbox=False)
    world.pack(price_minor=1_000)
    world.deals["deal_1"] = replace(world.deals["deal_1"], buyer_id=BUYER, buyer_label=BUYER)
    refuses(world, "party_mismatch", lambda: world.go(principal=NOBODY, actor_id=BUYER))
    world.go(principal=key_of(BUYER))


def test_naming_no_amount_is_naming_the_quoted_price() -> None:
    """Catches a buyer told `ok` to its GO of the quoted price, where another had been approved."""
    world = new_world()
    world.pack(price_minor=1_000)
    world.go(principal=NOBODY, amount_minor=10_000)
    from settlement.core.operations import Go

    deal = world.deals["deal_1"]
    named = {
        amount: Go(
            principal=key_of(BUYER),
            deal_id="deal_1",
            quote_id="quote_1",
            scope_lock_hash="0" * 64,
            amount_minor=amount,
        ).args(deal)
        for amount in (None, 1_000, 10_000)
    }
    assert named[None] == named[1_000]
    assert "amount_minor" not in named[10_000]
    assert named[None]["amount_minor"] == 1_000
