"""Every refusal of the implemented operations, and which of two faults is named (spec §1.6)."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core import errors
from settlement.core.operations import (
    RecordCharge,
    RecordPayout,
    RequestPayout,
    Split,
)
from settlement.core.principal import SYSTEM
from tests.support.world import (
    BUYER,
    CONFIRMED,
    HELPER,
    NOBODY,
    OPERATOR,
    REFUSED,
    SELLER,
    STRANGER,
    World,
    destination,
    key_of,
    new_world,
    refuses,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER_REGISTERED = "agent_" + "f" * 32


def packed(**rules: Any) -> World:
    world = new_world(**rules)
    world.pack()
    return world


def approved(**rules: Any) -> World:
    world = packed(**rules)
    world.go()
    return world


def settled(**rules: Any) -> World:
    world = approved(**rules)
    world.pay()
    world.settle()
    return world


def payout(world: World, principal: object = None, **members: Any) -> object:
    given = {"principal": principal or key_of(SELLER), "deal_id": "deal_1", "agent_id": SELLER}
    return world.run(RequestPayout(**{**given, **members}))


class TestProofPack:
    def test_strangers_do_not_renew_a_keyed_pack(self) -> None:
        """Catches a build in which a stranger voids the seller's quote."""
        world = packed()
        stranger: dict[str, Any] = {"principal": key_of(STRANGER), "agent_username": STRANGER}
        refuses(world, "party_mismatch", lambda: world.pack(**stranger))
        refuses(world, "party_mismatch", lambda: world.pack(principal=NOBODY))

    def test_an_open_deal_keeps_its_registered_seller(self) -> None:
        """Catches a build in which whoever packs last is paid."""
        world = new_world()
        world.pack(principal=NOBODY, agent_username=SELLER)
        stranger: dict[str, Any] = {"principal": key_of(STRANGER), "agent_username": STRANGER}
        refuses(world, "party_mismatch", lambda: world.pack(**stranger))
        world.pack(principal=NOBODY, agent_username=SELLER)

    def test_an_approved_deal_takes_no_new_pack(self) -> None:
        """Catches a build that changes the scope under the buyer's approval."""
        world = approved()
        refuses(world, "illegal_transition", world.pack)

    @pytest.mark.parametrize(
        "members",
        [
            {"vertical": "a|b"},
            {"sku_id": "A"},
            {"proof_hash": "a|b"},
            {"agent_username": "a b", "principal": NOBODY},
            {"deal_id": "deal/1"},
            {"parent_proof_ids": ("quote_1",)},
            {"parent_proof_ids": ("deal_1:a|b",)},
        ],
    )
    def test_fields_under_the_scope_lock_hold_no_separator(self, members: dict[str, Any]) -> None:
        """Catches a build that lets two scopes share one scope lock (vector H3-d)."""
        world = new_world()
        refuses(world, "malformed_id", lambda: world.pack(**members))

    @pytest.mark.parametrize(
        "policy",
        [
            "{}",
            "not json",
            "[1]",
            '[{"field": "moon", "op": "==", "value": 1}]',
            '[{"field": "ocs_min", "op": "~", "value": 1}]',
            '[{"field": "ocs_min", "op": ">=", "value": "1"}]',
            '[{"field": "ocs_min", "op": ">=", "value": true}]',
            '[{"field": "ocs_min", "op": "in", "value": []}]',
            '[{"field": "approval_mode", "op": ">=", "value": "auto"}]',
            '[{"field": "approval_mode", "op": "==", "value": 1}]',
            '[{"field": "ocs_min", "op": ">="}]',
        ],
    )
    def test_a_policy_that_could_never_be_read_is_refused_at_once(self, policy: str) -> None:
        world = new_world()
        refuses(world, "field_invalid", lambda: world.pack(policy=policy))


class TestGo:
    def test_unknown_deal(self) -> None:
        world = new_world()
        refuses(world, "deal_not_found", world.go)

    def test_the_proof_comes_first(self) -> None:
        world = new_world()
        world.deal_in("created")
        refuses(world, "proof_required", world.go)

    def test_sellers_do_not_approve_their_own_work(self) -> None:
        """Catches a build in which a seller with its own quote pays itself."""
        world = packed()
        refuses(world, "self_approval", lambda: world.go(principal=key_of(SELLER)))

    def test_a_keyed_deal_is_approved_by_its_buyer(self) -> None:
        world = packed()
        world.deals["deal_1"] = replace(world.deals["deal_1"], buyer_id=HELPER)
        refuses(world, "party_mismatch", world.go)
        world.go(principal=NOBODY)  # the quote is the capability

    def test_quote_scope_and_time_must_be_those_quoted(self) -> None:
        world = packed()
        quote = "quote_" + "0" * 32
        refuses(world, "quote_mismatch", lambda: world.go(quote_id=quote))
        lock = "0" * 32
        refuses(world, "scope_lock_mismatch", lambda: world.go(scope_lock_hash=lock))
        world.now_us += 7 * 86_400_000_000 - 1
        world.go()

    def test_a_quote_expires_on_the_microsecond(self) -> None:
        world = packed()
        world.now_us += 7 * 86_400_000_000
        error = refuses(world, "quote_expired", world.go)
        assert error.members()["expired_at"] == world.deals["deal_1"].quote_expires_at

    def test_something_must_remain_to_pay(self) -> None:
        world = packed()
        refuses(world, "net_below_minimum", lambda: world.go(amount_minor=29))
        assert world.go(amount_minor=30)["amount_minor"] == 30

    @pytest.mark.parametrize(
        "state", ["go_approved", "settling", "settled", "disputed", "refunded", "cancelled"]
    )
    def test_other_states(self, state: str) -> None:
        world = packed()
        world.deal_in(state)
        error = refuses(world, "illegal_transition", world.go)
        assert error.members() == {"deal_id": "deal_1", "state": state, "operation": "go"}


class TestSettle:
    def test_unknown_deal_and_unknown_payee(self) -> None:
        world = new_world()
        refuses(world, "deal_not_found", world.settle)
        world.pack(principal=NOBODY, agent_username="label")
        unknown: dict[str, Any] = {"to_agent": NEVER_REGISTERED}
        refuses(world, "agent_not_found", lambda: world.settle(**unknown))

    @pytest.mark.parametrize("sandbox", [True, False])
    def test_strangers_settle_nothing(self, *, sandbox: bool) -> None:
        """Catches a build in which anybody takes what lies in escrow."""
        world = approved(sandbox=sandbox)
        world.pay()
        for members in (
            {},
            {"counterparty_id": SELLER},
            {"to_agent": SELLER},
            {"to_agent": STRANGER},
            {"provider": "balance", "counterparty_id": SELLER},
            {"splits": (Split(agent_id=STRANGER, role="x", share="1"),)},
        ):
            call: dict[str, Any] = {"principal": key_of(STRANGER), **members}
            refuses(world, "party_mismatch", partial(world.settle, **call))
        refuses(world, "party_mismatch", lambda: world.settle(principal=NOBODY))

    def test_the_sellers_money_goes_to_the_seller(self) -> None:
        """Catches a build in which a buyer or the body names another payee."""
        world = approved()
        world.pay()
        refuses(world, "party_mismatch", lambda: world.settle(to_agent=HELPER))
        buyer: dict[str, Any] = {"principal": key_of(BUYER)}
        refuses(world, "party_mismatch", lambda: world.settle(to_agent=HELPER, **buyer))
        away = (Split(agent_id=HELPER, role="x", share="1"),)
        refuses(world, "party_mismatch", lambda: world.settle(splits=away, **buyer))
        back = tuple(Split(agent_id=to, role="x", share="0.5") for to in (SELLER, BUYER))
        refuses(world, "party_mismatch", lambda: world.settle(splits=back, **buyer))
        assert world.settle(**buyer)["to_agent"] == SELLER

    def test_a_name_is_no_seller_live(self) -> None:
        """Spec §4.5: with an unbound seller only buyer or operator settle, naming the payee."""
        world = new_world(sandbox=False)
        world.pack(principal=NOBODY, agent_username="label")
        world.go()
        world.pay()
        refuses(world, "party_mismatch", lambda: world.settle(to_agent=SELLER))
        refuses(world, "payee_unknown", lambda: world.settle(principal=key_of(BUYER)))
        refuses(world, "payee_unknown", lambda: world.settle(principal=OPERATOR, actor_id=BUYER))
        named: dict[str, Any] = {"principal": key_of(BUYER), "counterparty_id": HELPER}
        assert world.settle(**named)["to_agent"] == HELPER
        assert world.deals["deal_1"].seller_id == HELPER

    def test_live_needs_the_buyers_approval_and_the_money(self) -> None:
        world = packed(sandbox=False)
        refuses(world, "go_required", world.settle)
        refuses(world, "go_required", lambda: world.settle(principal=OPERATOR))
        world.go()
        error = refuses(world, "payment_not_authorized", world.settle)
        assert error.members()["payment_url"].endswith("/pay/deal_1")
        assert error.members()["waiting_for"] == "payment"
        world.pay(amount_minor=9899, n=1)
        refuses(world, "payment_not_authorized", world.settle)
        world.pay(amount_minor=1, n=2)
        world.settle()

    def test_an_open_approval_never_draws_on_a_balance(self) -> None:
        """Catches a build that pays from whoever an unkeyed GO named (spec §4.3)."""
        world = packed(sandbox=False)
        world.fund(BUYER)
        world.go(principal=NOBODY, actor_id=BUYER)
        refuses(world, "payment_not_authorized", lambda: world.settle(provider="balance"))
        operator: dict[str, Any] = {"principal": OPERATOR, "provider": "balance"}
        refuses(world, "payment_not_authorized", lambda: world.settle(**operator))

    def test_who_only_claims_to_be_the_bound_buyer_does_not_consent_for_it(self) -> None:
        """Catches a build that takes an unkeyed GO, which the seller can make too, for the word of
        the buyer it names, or draws on that buyer's balance for it.
        """
        world = packed(sandbox=False)
        world.fund(BUYER)
        world.deals["deal_1"] = replace(world.deals["deal_1"], buyer_id=BUYER)  # a keyed intent
        unkeyed = partial(world.go, principal=NOBODY, actor_id=BUYER)
        refuses(world, "party_mismatch", unkeyed)
        world.rules = replace(world.rules, sandbox=True)  # where the official clients do that
        unkeyed()
        world.rules = replace(world.rules, sandbox=False)
        assert world.deals["deal_1"].approved_by == BUYER
        refuses(world, "payment_not_authorized", lambda: world.settle(provider="balance"))
        world.settle(principal=key_of(BUYER), provider="balance")

    def test_a_balance_too_small_pays_nothing(self) -> None:
        world = approved(sandbox=False)
        refuses(world, "payment_not_authorized", lambda: world.settle(provider="balance"))

    def test_a_stranger_is_the_buyer_only_by_paying(self) -> None:
        world = packed(sandbox=False)
        call: dict[str, Any] = {
            "principal": key_of(STRANGER),
            "provider": "balance",
            "counterparty_id": SELLER,
        }
        refuses(world, "party_mismatch", lambda: world.settle(**call))
        world.fund(STRANGER)
        refuses(world, "amount_mismatch", lambda: world.settle(amount_minor=9899, **call))
        assert world.settle(**call)["from_agent"] == STRANGER

    def test_who_claims_a_name_is_not_paid_from_the_balance_of_who_approved_it(self) -> None:
        """Catches a build in which anybody takes a buyer's balance over a deal with a label."""
        world = new_world()
        world.pack(principal=NOBODY, agent_username="label")
        world.fund(BUYER)
        world.go()
        world.settle(principal=key_of(STRANGER), provider="balance")
        assert world.deals["deal_1"].state == "settling", "the rail pays, and pretends to"

    def test_the_amount_is_the_approved_one(self) -> None:
        world = approved()
        world.pay()
        error = refuses(world, "amount_mismatch", lambda: world.settle(amount_minor=1))
        assert error.members()["approved_minor"] == 9900

    def test_an_amount_must_come_from_somewhere(self) -> None:
        world = packed()
        world.deals["deal_1"] = replace(world.deals["deal_1"], price_minor=0)
        refuses(world, "amount_required", world.settle)

    def test_acceptance_gates_the_settle(self) -> None:
        world = approved()
        world.pay()
        deal = world.deals["deal_1"]
        world.deals["deal_1"] = replace(deal, acceptance_state="pending")
        refuses(world, "acceptance_required", world.settle)
        world.deals["deal_1"] = replace(deal, acceptance_state="rejected")
        refuses(world, "rejected_by_buyer", world.settle)
        world.deals["deal_1"] = replace(deal, acceptance_state="accepted")
        world.settle()

    @pytest.mark.parametrize(
        ("policy", "holds"),
        [
            ('[{"field": "amount_max_usd", "op": "<=", "value": 99}]', True),
            ('[{"field": "amount_max_usd", "op": "<=", "value": 98.99}]', False),
            ('[{"field": "approval_mode", "op": "in", "value": ["manual"]}]', True),
            ('[{"field": "approval_mode", "op": "!=", "value": "manual"}]', False),
            ('[{"field": "verifier_confidence", "op": ">=", "value": 0.75}]', True),
            ('[{"field": "verifier_confidence", "op": ">=", "value": 0.7500001}]', False),
            ('[{"field": "quorum_count", "op": "==", "value": 1}]', True),
            ('[{"field": "quorum_count", "op": ">=", "value": 2}]', False),
            ('[{"field": "ocs_min", "op": ">=", "value": 71.25}]', True),
            ('[{"field": "ocs_min", "op": ">=", "value": 71.26}]', False),
            ('[{"field": "dispute_sla_hours", "op": "!=", "value": 1}]', False),
        ],
    )
    def test_every_predicate_of_the_policy_must_pass(self, policy: str, *, holds: bool) -> None:
        """Catches a build that compares binary numbers, or lets a missing field pass."""
        world = new_world()
        world.scores[SELLER, "USD/2"] = 7125
        world.pack(policy=policy)
        world.verify(NOBODY)  # an open receipt does not count
        world.verify(OPERATOR)
        world.go()
        world.pay()
        if holds:
            world.settle()
        else:
            field = policy.split('"')[3]
            assert refuses(world, "policy_not_met", world.settle).members()["field"] == field

    def test_unverified_work_does_not_meet_a_confidence(self) -> None:
        world = new_world()
        world.pack(policy='[{"field": "verifier_confidence", "op": ">=", "value": 0}]')
        world.verify(key_of(SELLER, "verify", "verifier"))
        world.go()
        world.pay()
        refuses(world, "policy_not_met", world.settle)

    @pytest.mark.parametrize(
        ("splits", "code"),
        [
            ((), "field_invalid"),
            ((("1", "0.5"), ("1", "0.5")), "field_invalid"),
            ((("1", "0.5"), ("4", "0.4")), "shares_not_one"),
            ((("1", "0.5"), ("4", "-0.5")), "field_invalid"),
            ((("1", "1"), ("4", "0.0000001")), "net_below_minimum"),
            ((("1", "0.5"), ("f", "0.5")), "agent_not_found"),
        ],
    )
    def test_splits(self, splits: tuple[tuple[str, str], ...], code: str) -> None:
        world = approved()
        world.pay()
        named = tuple(
            Split(agent_id=f"agent_{digit * 32}", role="x", share=share) for digit, share in splits
        )
        refuses(world, code, lambda: world.settle(splits=named))

    @pytest.mark.parametrize("state", ["settling", "settled", "disputed", "refunded", "cancelled"])
    def test_other_states(self, state: str) -> None:
        world = approved()
        world.deal_in(state)
        refuses(world, "illegal_transition", world.settle)

    @pytest.mark.parametrize("sandbox", [True, False])
    def test_without_a_proof_there_is_nothing_to_approve(self, *, sandbox: bool) -> None:
        world = packed(sandbox=sandbox)
        world.deal_in("created")
        refuses(world, "go_required", world.settle)

    def test_a_declined_charge_says_so_to_who_asked(self) -> None:
        """Catches a build whose caller waits for ever, or is told that it was paid."""
        world = packed()
        world.settle()
        effect_id = world.sent(world.open_effect())
        decision = world.decide(
            RecordCharge(
                principal=SYSTEM, effect_id=effect_id, deal_id="deal_1", fence=7, outcome=REFUSED
            )
        )
        (finish,) = decision.writes.claims_finished
        assert finish.release
        error = errors.from_record(json.loads(finish.outcome)["error"])
        assert isinstance(error, errors.PaymentRefused)
        assert error.members() == {"deal_id": "deal_1", "reason": "card_declined"}


class TestPayout:
    def test_unknown_deal_and_destination(self) -> None:
        world = new_world()
        refuses(world, "deal_not_found", lambda: payout(world))
        world = settled()
        unknown: dict[str, Any] = {"destination_id": "dest_" + "0" * 32}
        refuses(world, "destination_not_found", lambda: payout(world, **unknown))

    def test_only_the_payee_and_operators(self) -> None:
        """Catches a build in which one agent starts, or takes, another's payout."""
        world = settled()
        refuses(world, "party_mismatch", lambda: payout(world, key_of(BUYER)))
        refuses(world, "party_mismatch", lambda: payout(world, NOBODY))
        refuses(world, "party_mismatch", lambda: payout(world, key_of(BUYER), agent_id=BUYER))
        refuses(world, "party_mismatch", lambda: payout(world, OPERATOR, agent_id=BUYER))

    def test_payouts_follow_settlement(self) -> None:
        world = approved()
        assert refuses(world, "not_settled", lambda: payout(world)).members()["state"] == (
            "go_approved"
        )
        refuses(world, "party_mismatch", lambda: payout(world, key_of(HELPER), agent_id=HELPER))

    def test_a_disputed_deal_pays_nobody(self) -> None:
        world = settled()
        world.deal_in("disputed")
        refuses(world, "disputed", lambda: payout(world))

    @pytest.mark.parametrize(
        "stored", [{"rail": "ACH", "status": "unsupported"}, {"status": "paused"}, {"rail": "ACH"}]
    )
    def test_money_goes_only_where_the_owner_said(self, stored: dict[str, str]) -> None:
        """Catches a build that pays to the built-in rail although the owner chose another."""
        world = settled()
        world.destinations.append(destination(SELLER, **stored))
        refuses(world, "no_destination", lambda: payout(world))

    def test_without_the_built_in_rail_a_destination_is_needed(self) -> None:
        world = settled(payout_rails={"STRIPE_CONNECT": "stripe"})
        refuses(world, "no_destination", lambda: payout(world))

    def test_one_payout_per_payee(self) -> None:
        world = settled()
        payout(world)
        error = refuses(world, "illegal_transition", lambda: payout(world))
        assert error.members()["state"] == "payout_planned"

    def test_what_is_no_longer_there_is_not_paid_out(self) -> None:
        world = settled()
        ref = (f"entity:{SELLER}", "USD/2")
        world.accounts[ref] = replace(world.accounts[ref], debits_held=1)
        error = refuses(world, "insufficient_funds", lambda: payout(world))
        assert error.members()["available_minor"] == 9594


class TestRailAnswers:
    def charge(self, world: World, **members: Any) -> object:
        given = {
            "principal": SYSTEM,
            "effect_id": next(iter(world.effects)),
            "deal_id": "deal_1",
            "fence": 7,
            "outcome": CONFIRMED,
        }
        return world.run(RecordCharge(**{**given, **members}))

    def test_only_the_fence_that_asked_may_answer(self) -> None:
        """Catches a build without a fence: an overslept worker would settle a second time."""
        world = packed()
        world.settle()
        refuses(world, "lease_lost", lambda: self.charge(world))  # planned: nothing was sent
        world.sent(world.open_effect())
        refuses(world, "lease_lost", lambda: self.charge(world, fence=6))
        refuses(world, "lease_lost", lambda: self.charge(world, effect_id="eff_none"))
        self.charge(world)
        refuses(world, "lease_lost", lambda: self.charge(world))

    def test_a_charge_answers_a_settle_that_waits(self) -> None:
        world = packed()
        world.settle()
        world.sent(world.open_effect())
        world.deal_in("disputed")
        refuses(world, "lease_lost", lambda: self.charge(world))

    def test_a_payout_is_not_answered_by_the_answer_to_a_charge(self) -> None:
        world = settled()
        payout(world)
        effect_id = world.sent(world.open_effect())
        refuses(world, "lease_lost", lambda: self.charge(world))
        answer = RecordPayout(
            principal=SYSTEM, effect_id=effect_id, deal_id="deal_1", fence=7, outcome=CONFIRMED
        )
        world.run(answer)
        refuses(world, "lease_lost", lambda: world.run(answer))

    def test_an_answer_to_a_payout_replaced_meanwhile_is_too_late(self) -> None:
        world = settled()
        payout(world)
        effect_id = world.sent(world.open_effect())
        key = ("deal_1", SELLER)
        world.payouts[key] = replace(world.payouts[key], effect_id="eff_other")
        answer = RecordPayout(
            principal=SYSTEM, effect_id=effect_id, deal_id="deal_1", fence=7, outcome=CONFIRMED
        )
        refuses(world, "lease_lost", lambda: world.run(answer))


class TestRecordPayment:
    @pytest.mark.parametrize("state", ["settled", "refunded", "cancelled"])
    def test_a_closed_deal_takes_no_money(self, state: str) -> None:
        world = approved()
        world.deal_in(state)
        refuses(world, "illegal_transition", world.pay)

    def test_unknown_deal(self) -> None:
        world = new_world()
        refuses(world, "deal_not_found", world.pay)


class TestVerify:
    def test_after_the_settle_nothing_new_is_verified(self) -> None:
        world = packed()
        first = world.verify(NOBODY)
        world.go()
        world.pay()
        world.settle()
        refuses(world, "illegal_transition", lambda: world.verify(OPERATOR))
        assert world.verify(NOBODY)["receipt_id"] == first["receipt_id"]


# --- which of two faults is named ----------------------------------------------------------------


def _go(**members: Any) -> Callable[[World], object]:
    return lambda world: world.go(**members)


def _settle(**members: Any) -> Callable[[World], object]:
    return lambda world: world.settle(**members)


WRONG_SPLITS = (Split(agent_id=NEVER_REGISTERED, role="x", share="0.1"),)
STRANGERS: dict[str, Any] = {"principal": key_of(STRANGER)}
WRONG_QUOTE: dict[str, Any] = {"quote_id": "quote_" + "0" * 32}


@pytest.mark.parametrize(
    ("start", "call", "code"),
    [
        # 5 schema before 9 existence
        (new_world, _settle(splits=WRONG_SPLITS), "shares_not_one"),
        # 9 existence before 10 party
        (approved, _settle(to_agent=NEVER_REGISTERED, **STRANGERS), "agent_not_found"),
        # 10 party before 11 state
        (packed, lambda world: _in(world, "settled").go(principal=key_of(SELLER)), "self_approval"),
        (packed, lambda world: _in(world, "refunded").settle(**STRANGERS), "party_mismatch"),
        # 10 party before the quote that a seller would not even need
        (packed, _go(principal=key_of(SELLER), **WRONG_QUOTE), "self_approval"),
        # 11 state before 12 amount
        (packed, lambda world: _in(world, "settled").go(amount_minor=1), "illegal_transition"),
        (
            approved,
            lambda world: _in(world, "disputed").settle(amount_minor=1),
            "illegal_transition",
        ),
        (packed, _go(amount_minor=1, **WRONG_QUOTE), "quote_mismatch"),
        (packed, _go(scope_lock_hash="0" * 32, **WRONG_QUOTE), "quote_mismatch"),
        # 12 amount before 13 funds
        (lambda: approved(sandbox=False), _settle(amount_minor=1), "amount_mismatch"),
        # 11 state before 13 funds
        (lambda: packed(sandbox=False), _settle(), "go_required"),
    ],
)
def test_of_two_faults_the_earlier_check_names_its_own(
    start: Callable[[], World], call: Callable[[World], object], code: str
) -> None:
    """Spec §1.6. Catches a build that checks in another order."""
    world = start()
    with pytest.raises(errors.BY_CODE[code]):
        call(world)


def _in(world: World, state: str) -> World:
    world.deal_in(state)
    return world


def test_of_two_faults_of_a_payout_the_earlier_check_names_its_own() -> None:
    world = settled()
    world.destinations.append(destination(SELLER, status="paused"))
    ref = (f"entity:{SELLER}", "USD/2")
    world.accounts[ref] = replace(world.accounts[ref], debits_held=1)
    refuses(world, "no_destination", lambda: payout(world))  # 12 before 13
    world.deal_in("disputed")
    refuses(world, "disputed", lambda: payout(world))  # 11 before 12
    refuses(world, "party_mismatch", lambda: payout(world, key_of(BUYER)))  # 10 before 11
