"""Payouts and receipts, on their happy paths: holds, answers, repeated tries, who counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.operations import (
    Go,
    RecordCharge,
    RecordPayout,
    RequestPayout,
    Settle,
    Split,
)
from settlement.core.principal import SYSTEM
from tests.support.world import (
    CONFIRMED,
    NOBODY,
    OPERATOR,
    REFUSED,
    SELLER,
    STRANGER,
    UNKNOWN,
    World,
    destination,
    key_of,
    new_world,
)

if TYPE_CHECKING:
    from settlement.core.operation import Operation
    from settlement.core.operations import RailOutcome
    from settlement.core.principal import Principal

HAPPY = [
    "PROOF_READY",
    "GO_APPROVED",
    "PAYMENT_AUTHORIZED",
    "SETTLED",
    "OUTCOME_RECORDED",
    "PAYOUT_INITIATED",
    "PAYOUT_CONFIRMED",
]


def charge(world: World, outcome: RailOutcome, fence: int = 7) -> dict[str, Any]:
    effect_id = world.sent(world.open_effect())
    return answer_charge(world, effect_id, outcome, fence)


def answer_charge(
    world: World, effect_id: str, outcome: RailOutcome, fence: int = 7
) -> dict[str, Any]:
    deal_id = world.effects[effect_id].deal_id
    return world.run(
        RecordCharge(
            principal=SYSTEM, effect_id=effect_id, deal_id=deal_id, fence=fence, outcome=outcome
        )
    )


def payout(world: World, agent_id: str = SELLER, **members: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "principal": key_of(agent_id),
        "deal_id": "deal_1",
        "agent_id": agent_id,
    }
    return world.run(RequestPayout(**{**given, **members}))


def answer_payout(world: World, outcome: RailOutcome) -> dict[str, Any]:
    effect_id = world.sent(world.open_effect())
    return world.run(
        RecordPayout(
            principal=SYSTEM, effect_id=effect_id, deal_id="deal_1", fence=7, outcome=outcome
        )
    )


def settled_world(**rules: Any) -> World:
    world = new_world(**rules)
    world.pack()
    world.go()
    world.pay()
    world.settle()
    return world


class TestPayouts:
    def test_the_whole_net_is_held_before_the_rail_is_asked(self) -> None:
        world = settled_world()
        result = payout(world)
        assert (result["state"], result["waiting_for"]) == ("planned", "effect_open")
        assert world.books.held[f"entity:{SELLER}"] == 9595
        assert world.books.available(f"entity:{SELLER}") == 0
        effect = world.effects[world.open_effect()]
        assert effect.obligation_key == f"payout:deal_1:{SELLER}:0"
        assert (effect.destination, effect.payout_id) == (SELLER, result["payout_id"])

    def test_confirmed_posts_the_hold_and_ends_the_claim(self) -> None:
        world = settled_world()
        payout(world)
        result = answer_payout(world, CONFIRMED)
        assert (result["state"], result["rail_ref"]) == ("confirmed", "rail_1")
        (stored,) = [v for k, v in world.claims.items() if k[1] == "payout"]
        assert json.loads(stored)["result"] == result
        assert not +world.books.held

    def test_refused_frees_the_hold_and_may_be_asked_again(self) -> None:
        """Catches a build that keeps the money, or names the second try like the first."""
        world = settled_world()
        first = payout(world)
        refused = answer_payout(world, REFUSED)
        assert refused["state"] == "refused"
        assert world.types()[-1] == "PAYOUT_FAILED"
        assert world.payload("PAYOUT_FAILED")["code"] == "card_declined"
        assert world.books.available(f"entity:{SELLER}") == 9595
        again = payout(world)
        assert (again["payout_id"], again["attempts"]) == (first["payout_id"], 2)
        assert world.effects[world.open_effect()].obligation_key == f"payout:deal_1:{SELLER}:1"
        answer_payout(world, CONFIRMED)
        assert world.types()[-3:] == ["PAYOUT_FAILED", "PAYOUT_INITIATED", "PAYOUT_CONFIRMED"]

    def test_silence_keeps_the_hold(self) -> None:
        """Catches a build that frees the money when the rail does not answer: paid twice."""
        world = settled_world()
        payout(world)
        result = answer_payout(world, UNKNOWN)
        assert (result["state"], result["waiting_for"]) == ("unknown", "outcome_unknown")
        assert world.books.held[f"entity:{SELLER}"] == 9595
        assert world.types()[-1] == "PAYOUT_INITIATED"

    def test_a_stored_destination_is_used(self) -> None:
        world = settled_world()
        world.destinations.append(destination(SELLER))
        result = payout(world)
        assert result["destination_id"] == "dest_" + "5" * 32
        assert world.effects[world.open_effect()].destination == "acct_5"

    def test_an_operator_may_start_it(self) -> None:
        world = settled_world()
        payout(world, principal=OPERATOR)
        assert world.payload("PAYOUT_INITIATED")["authority"] == "operator"

    def test_an_auto_destination_is_paid_by_the_settle_itself(self) -> None:
        """Catches a build that pays on its own but would pay again when asked."""
        world = new_world()
        world.destinations.append(destination(SELLER, auto=1))
        world.pack()
        world.go()
        world.pay()
        result = world.settle()
        assert result["status"] == "payout_initiated"
        (started,) = result["payouts"]
        assert started["state"] == "planned"
        asked = RequestPayout(principal=key_of(SELLER), deal_id="deal_1", agent_id=SELLER)
        derived = asked.call().derived
        assert derived is not None
        assert (derived.scope, derived.operation, derived.key) in world.claims
        assert world.payload("PAYOUT_INITIATED")["authority"] == "system"
        answer_payout(world, CONFIRMED)
        assert world.types() == HAPPY

    def test_an_auto_destination_is_paid_after_a_charge_too(self) -> None:
        world = new_world()
        world.destinations.append(destination(SELLER, auto=1))
        world.pack()
        world.settle()
        charge(world, CONFIRMED)
        answer_payout(world, CONFIRMED)
        assert world.types() == HAPPY


class TestDerivedKeys:
    def test_they_are_the_published_ones(self) -> None:
        """Vectors H1-c, H1-g, H1-h. Catches a build in which two payees share one payout."""
        deal_id = "deal_000000000001"
        calls: dict[str, Operation] = {
            "idem_33e995e4d03c75cccbd82d67": Go(
                principal=NOBODY, deal_id=deal_id, quote_id="q", scope_lock_hash="s"
            ),
            "idem_57491f2ae39c65a19151fc1f": Settle(principal=NOBODY, deal_id=deal_id),
            "idem_543a8835738f0e856dccf2c8": RequestPayout(
                principal=NOBODY, deal_id=deal_id, agent_id="agent_seller"
            ),
        }
        for wanted, op in calls.items():
            derived = op.call().derived
            assert derived is not None
            assert (derived.key, derived.scope) == (wanted, f"deal:{deal_id}")
            assert derived.digest.startswith(wanted.removeprefix("idem_"))

    def test_naming_the_approved_amount_is_naming_none(self) -> None:
        """Shapes A and B of one settle are one call, before and after it (contract §1.4)."""
        world = new_world()
        world.pack()
        plain = Settle(principal=key_of(SELLER), deal_id="deal_1", actor_id=SELLER)
        named = Settle(
            principal=key_of(SELLER), deal_id="deal_1", amount_minor=9900, to_agent=SELLER
        )
        other = Settle(principal=key_of(SELLER), deal_id="deal_1", amount_minor=9901)
        world.go()
        world.pay()
        before = world.deals["deal_1"]
        world.run(plain)
        for deal in (before, world.deals["deal_1"]):
            assert plain.args(deal) == named.args(deal)
            assert other.args(deal)["amount_minor"] == 9901

    def test_one_share_has_one_spelling(self) -> None:
        def args(share: str) -> Any:
            split = Split(agent_id=SELLER, role="x", share=share)
            return Settle(principal=NOBODY, deal_id="deal_1", splits=(split,)).args(None)

        assert args("0.50") == args("0.5") != args("0.05")
        assert args("1") == args("1.0") != args("10")


class TestReceipts:
    def test_a_receipt_is_stored_once_per_authority(self) -> None:
        world = new_world()
        world.pack()
        first = world.verify(NOBODY)
        again = world.verify(NOBODY)
        assert again["receipt_id"] == first["receipt_id"]
        assert world.types() == ["PROOF_READY", "PROOF_VERIFIED"]
        assert world.verify(OPERATOR)["receipt_id"] != first["receipt_id"]

    @pytest.mark.parametrize(
        ("principal", "authority"),
        [
            (NOBODY, "open"),
            (OPERATOR, "operator"),
            (key_of(SELLER), "party"),
            (key_of(STRANGER, "verify"), "open"),
            (key_of(STRANGER, "verify", "verifier"), "verifier"),
            (key_of(SELLER, "verify", "verifier"), "party"),
        ],
    )
    def test_only_approved_strangers_and_operators_count(
        self, principal: Principal, authority: str
    ) -> None:
        """Catches a build in which a seller vouches for its own work."""
        world = new_world()
        world.pack()
        assert world.verify(principal)["authority"] == authority

    def test_an_unknown_deal_or_proof_is_answered_and_nothing_stored(self) -> None:
        world = new_world()
        assert world.verify(NOBODY, "deal_none")["recorded"] is False
        world.pack()
        unknown = world.verify(NOBODY, proof_hash="f" * 64)
        assert (unknown["recorded"], unknown["receipt_id"]) == (False, None)
        assert not world.receipts
