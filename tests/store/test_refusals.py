"""What both databases refuse by themselves (spec §5.6): raw SQL against the rules of the books.

Every case comes with a control: the same statements with the one wrong thing put right. The control
must be accepted, so a case cannot pass because something else was wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.core import rows
from settlement.core.rows import EffectState, Phase
from settlement.store.database import ConstraintViolated
from tests.store import make
from tests.store.make import LATER, NOW, Story, account
from tests.store.scene import BUYER, CLEARING, SELLER, Scene, flat, swap
from tests.support.raw import Sql, contents, insert, sql

if TYPE_CHECKING:
    from tests.store.conftest import Books

AFTER_LATER = "2026-01-31T14:00:00.000000Z"

Attack = Callable[[Scene], tuple[list[Sql], list[Sql]]]
CASES: dict[str, tuple[tuple[str, ...], Attack]] = {}


def refused(*names: str) -> Callable[[Attack], Attack]:
    """Register a case by its refusal's name; the function gives the attack and the control."""

    def register(attack: Attack) -> Attack:
        CASES[attack.__name__] = names, attack
        return attack

    return register


# --- transfers: amount, sides, asset, class, movement ---------------------------------------------


@refused("transfer_amount_minor")
def an_amount_of_zero(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap(*s.charged_at(), amount_minor=0)


@refused("transfer_amount_minor")
def a_negative_amount(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap(*s.charged_at(), amount_minor=-5)


@refused("transfer_amount_minor")
def an_amount_json_cannot_carry(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap(*s.charged_at(), amount_minor=2**53)


@refused("transfer_two_accounts")
def one_account_on_both_sides(s: Scene) -> tuple[list[Sql], list[Sql]]:
    rule = sql(
        "INSERT INTO movement_rule VALUES ('round', 'clearing', 'clearing') ON CONFLICT DO NOTHING"
    )
    other = account("clearing", "other_rail")
    seen = s.books.raw.rows("SELECT 1 FROM account WHERE ref = 'clearing:other_rail'")
    s.given(rule, *([] if seen else [insert("account", other)]))
    before, tx = s.tx()
    good = s.story.transfer(tx, "round", 5, CLEARING, other)
    return swap(before, "transfer", good, credit_ref=CLEARING.ref)


@refused("transfer_debit_account", "transfer_credit_account")
def an_asset_that_is_not_the_accounts(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap(*s.charged_at(), asset="USDC/6")


@refused("transfer_debit_account")
def a_class_that_is_not_the_debit_accounts(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.topped_up(BUYER)
    before, tx = s.tx()
    good = s.story.transfer(tx, "escrow_fund", 100, BUYER, s.escrow)
    return swap(before, "transfer", good, debit_class="mandate")


@refused("transfer_credit_account")
def a_class_that_is_not_the_credit_accounts(s: Scene) -> tuple[list[Sql], list[Sql]]:
    before, tx = s.tx()
    good = s.story.transfer(tx, "refund", 100, s.escrow, CLEARING)
    return swap(before, "transfer", good, credit_class="mandate")


@refused("transfer_debit_account")
def an_account_that_does_not_exist(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap(*s.charged_at(), debit_ref="clearing:nowhere")


@refused("transfer_movement")
def a_movement_off_the_list(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.topped_up(BUYER)
    before, tx = s.tx()
    good = s.story.transfer(tx, "escrow_fund", 100, BUYER, s.escrow)
    return swap(before, "transfer", good, kind="topup")


@refused("transfer_movement", "transfer_never_agent_to_agent")
def a_movement_between_agents(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.topped_up(BUYER)
    before, tx = s.tx()
    good = s.story.transfer(tx, "escrow_fund", 100, BUYER, s.escrow)
    return swap(before, "transfer", good, credit_ref=SELLER.ref, credit_class="agent")


@refused("movement_rule_never_agent_to_agent")
def a_rule_between_agents(s: Scene) -> tuple[list[Sql], list[Sql]]:
    rule = "INSERT INTO movement_rule VALUES ('gift', 'agent', :credit_class)"
    return [sql(rule, credit_class="agent")], [sql(rule, credit_class="mandate")]


# --- transfers: funds, accounts, tx ---------------------------------------------------------------


@refused("account_not_overdrawn")
def an_overdraft(s: Scene) -> tuple[list[Sql], list[Sql]]:
    before, tx = s.tx()
    good = s.story.transfer(tx, "dispute_open", 10_000, s.escrow, s.dispute())
    return swap(before, "transfer", good, amount_minor=10_001)


@refused("account_not_overdrawn")
def a_hold_above_what_is_available(s: Scene) -> tuple[list[Sql], list[Sql]]:
    before, tx = s.tx()
    good = s.story.transfer(tx, "dispute_open", 10_000, s.escrow, s.dispute(), phase=Phase.HOLD)
    return swap(before, "transfer", good, amount_minor=10_001)


@refused("account_not_overdrawn")
def spending_what_is_held(s: Scene) -> tuple[list[Sql], list[Sql]]:
    disputed = s.dispute()
    before, tx = s.tx()
    hold = s.story.transfer(tx, "dispute_open", 6_000, s.escrow, disputed, phase=Phase.HOLD)
    s.given(*before, insert("transfer", hold))
    before, tx = s.tx()
    good = s.story.transfer(tx, "dispute_open", 4_000, s.escrow, disputed)
    return swap(before, "transfer", good, amount_minor=4_001)


@refused("account_not_overdrawn")
def recovering_more_than_is_owed(s: Scene) -> tuple[list[Sql], list[Sql]]:
    owed = account("receivable", "agent_other")
    other = account("agent", "agent_other")
    s.given(insert("account", owed))
    s.topped_up(other)
    before, tx = s.tx()
    s.given(*before, insert("transfer", s.story.transfer(tx, "release_back", 300, owed, s.escrow)))
    before, tx = s.tx()
    good = s.story.transfer(tx, "recover", 300, other, owed)
    return swap(before, "transfer", good, amount_minor=301)


@refused("transfer_account_closed")
def a_closed_account(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.closing(s.escrow.ref)


@refused("transfer_account_closed")
def a_closed_account_without_a_guard(s: Scene) -> tuple[list[Sql], list[Sql]]:
    rail = account("clearing", "closed_rail")
    s.given(insert("account", rail))
    return s.closing(rail.ref, debit_ref=rail.ref)


@refused("transfer_account_of_other_deal")
def another_deals_escrow(s: Scene) -> tuple[list[Sql], list[Sql]]:
    other = Scene(s.books, s.story, f"{s.deal_id}_other")
    s.books.db.transaction(lambda tx: tx.write(s.story.funded(other.deal_id, "agent_seller")))
    return swap(*s.charged_at(), credit_ref=other.escrow.ref)


@refused("transfer_tx")
def a_tx_that_does_not_exist(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap(*s.charged_at(), tx_id="tx_unknown")


@refused("transfer_event_of_tx")
def an_event_that_is_not_the_txs(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap(*s.charged_at(), event_id="evt_other")


@refused("ledger_tx_settles_its_deal")
def a_tx_that_settles_another_deal(s: Scene) -> tuple[list[Sql], list[Sql]]:
    before, tx = s.tx()
    return swap(before[:2], "ledger_tx", tx, settles="deal_other")


@refused("foreign_key")
def a_tx_without_its_event(s: Scene) -> tuple[list[Sql], list[Sql]]:
    before, tx = s.tx()
    return swap(before[:2], "ledger_tx", tx, event_id="evt_nowhere")


# --- holds ----------------------------------------------------------------------------------------


@refused("unique: transfer(hold_id)")
def a_hold_resolved_twice(s: Scene) -> tuple[list[Sql], list[Sql]]:
    hold, other = s.held(), s.held()
    s.given(*s.resolved(hold, Phase.POST))
    again = s.resolved(hold, Phase.VOID)
    return again, [*again[:-1], insert("transfer", replace(s.last[0], hold_id=other.transfer_id))]


@refused("transfer_hold_exceeded")
def a_hold_posted_above_its_amount(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.resolving(Phase.POST, amount_minor=501)


@refused("transfer_hold_exceeded")
def a_hold_voided_in_part(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.resolving(Phase.VOID, amount_minor=499)


@refused("transfer_hold_differs")
def a_hold_posted_to_another_account(s: Scene) -> tuple[list[Sql], list[Sql]]:
    rail = account("payout_transit", f"rail_{s.books.raw.kind}")
    s.given(insert("account", rail))
    return s.resolving(Phase.POST, credit_ref=rail.ref)


@refused("transfer_hold_missing")
def a_hold_that_is_none(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.resolving(Phase.POST, hold_id="xfer_unknown")


@refused("transfer_hold_missing")
def a_final_transfer_taken_for_a_hold(s: Scene) -> tuple[list[Sql], list[Sql]]:
    before, charge = s.charged()
    s.given(*before, insert("transfer", charge))
    return s.resolving(Phase.POST, hold_id=charge.transfer_id)


@refused("transfer_hold_expired")
def a_hold_posted_after_it_expired(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.resolving(Phase.POST, booked_at=AFTER_LATER)


@refused("transfer_hold_not_expired")
def a_hold_expired_too_early(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.resolving(Phase.EXPIRE, good={"booked_at": LATER}, booked_at=NOW)


@refused("transfer_hold_named")
def a_post_that_names_no_hold(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.resolving(Phase.POST, hold_id=None)


@refused("transfer_expiry_of_hold")
def a_final_transfer_that_expires(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap(*s.charged_at(), expires_at=LATER)


# --- settlements ----------------------------------------------------------------------------------


@refused("unique: settlement(deal_id)")
def a_second_settlement(s: Scene) -> tuple[list[Sql], list[Sql]]:
    first = s.settlement()
    s.given(*flat(first, s.head()))
    before, tx = s.tx()
    second = replace(first["settlement"][0], tx_id=tx.tx_id, event_id=tx.event_id)
    return [*before, insert("settlement", second)], before


@refused("unique: ledger_tx(settles)")
def a_second_tx_that_settles(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.given(*flat(s.settlement(), s.head()))
    before, tx = s.tx()
    return swap(before[:2], "ledger_tx", tx, settles=s.deal_id)


@refused("settlement_splits_sum")
def a_gross_that_is_not_the_sum(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.settling("settlement", gross_minor=9_999)


@refused("settlement_legs_differ")
def fees_that_are_not_the_legs(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.settling("settlement", platform_fee_minor=299, protocol_fee_minor=51)


@refused("settlement_legs_differ")
def a_net_that_is_not_the_legs(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.settling("settlement", gross_minor=10_001, net_minor=9_651)


@refused("settlement_legs_differ")
def a_leg_too_few(s: Scene) -> tuple[list[Sql], list[Sql]]:
    good = s.settlement()
    bad = {**good, "transfer": good["transfer"][:-1]}
    return flat(bad, s.head()), flat(good, s.head())


@refused("settlement_legs_differ")
def a_leg_that_is_only_held(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.settling("transfer", phase=Phase.HOLD)


@refused("settlement_legs_differ")
def another_leg_in_a_settling_tx(s: Scene) -> tuple[list[Sql], list[Sql]]:
    good = s.settlement()
    extra = s.story.transfer(good["ledger_tx"][0], "charge", 5, CLEARING, s.escrow)
    bad = {**good, "transfer": [*good["transfer"], extra]}
    return flat(bad, s.head()), flat(good, s.head())


@refused("settlement_payees_differ")
def a_payee_paid_something_else(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.settling("settlement_payee", net_minor=1)


@refused("settlement_legs_differ")
def no_payee_at_all(s: Scene) -> tuple[list[Sql], list[Sql]]:
    good = s.settlement()
    return flat({**good, "settlement_payee": []}, s.head()), flat(good, s.head())


@refused("settlement_payee_no_party")
def a_payee_who_is_no_party(s: Scene) -> tuple[list[Sql], list[Sql]]:
    good = s.settlement()
    payee, release = good["settlement_payee"][0], good["transfer"][-1]
    stranger = replace(payee, agent_id="agent_other")
    paid = replace(release, credit_ref="entity:agent_other")
    bad = {
        **good,
        "transfer": [*good["transfer"][:-1], paid],
        "settlement_payee": [stranger],
    }
    invited = rows.Party(deal_id=s.deal_id, agent_id="agent_other", role="payee")
    return flat(bad, s.head()), [insert("party", invited), *flat(bad, s.head())]


@refused("settlement_of_its_tx")
def a_settlement_by_another_event(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.settling("settlement", event_id="evt_other")


@refused("settlement_of_its_tx")
def a_settlement_by_a_tx_that_does_not_exist(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.settling("settlement", tx_id="tx_unknown")


@refused("foreign_key")
def a_payee_of_a_deal_that_does_not_exist(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return s.settling("settlement_payee", deal_id="deal_unknown")


@refused("foreign_key")
def a_settling_tx_without_a_settlement(s: Scene) -> tuple[list[Sql], list[Sql]]:
    good = s.settlement()
    return flat({**good, "settlement": []}, s.head()), flat(good, s.head())


@refused("transfer_outside_settlement")
def a_release_outside_a_settlement(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.topped_up(SELLER)
    before, tx = s.tx()
    s.given(*before, insert("transfer", s.story.transfer(tx, "escrow_fund", 100, SELLER, s.escrow)))
    before, tx = s.tx()
    good = s.story.transfer(tx, "refund", 100, s.escrow, SELLER)
    return swap(before, "transfer", good, kind="release")


@refused("settlement_closed")
def a_leg_added_to_a_settlement(s: Scene) -> tuple[list[Sql], list[Sql]]:
    good = s.settlement()
    s.given(*flat(good, s.head()))
    before, charge = s.charged()
    added = s.story.transfer(good["ledger_tx"][0], "charge", 100, CLEARING, s.escrow)
    return [*before, insert("transfer", added)], [*before, insert("transfer", charge)]


@refused("settlement_closed")
def a_payee_added_to_a_settlement(s: Scene) -> tuple[list[Sql], list[Sql]]:
    good = s.settlement()
    s.given(*flat(good, s.head()))
    added = replace(good["settlement_payee"][0], position=1, agent_id="agent_other")
    open_deal = f"{s.deal_id}_open"
    s.books.db.transaction(lambda tx: tx.write(s.story.funded(open_deal, "agent_seller")))
    return swap([], "settlement_payee", replace(added, deal_id=open_deal), deal_id=s.deal_id)


# --- chains ---------------------------------------------------------------------------------------


@refused("unique: event(event_id)")
def a_duplicate_event_id(s: Scene) -> tuple[list[Sql], list[Sql]]:
    before, _ = s.tx()
    s.given(*before)
    return swap([], "event", s.story.event(s.deal_id, "A"), event_id=before[0].params["event_id"])


@refused("event_gap")
def a_gap_in_a_chain(s: Scene) -> tuple[list[Sql], list[Sql]]:
    good = s.story.event(s.deal_id, "A")
    return swap([], "event", good, version=good.version + 1)


@refused("unique: event(deal_id, version)")
def a_fork_of_a_chain(s: Scene) -> tuple[list[Sql], list[Sql]]:
    fork = s.story.deals[s.deal_id]
    s.given(*s.tx()[0])
    good = s.story.event(s.deal_id, "A")
    again = s.story.deals[s.deal_id]
    s.story.deals[s.deal_id] = replace(fork)
    bad = s.story.event(s.deal_id, "A")
    s.story.deals[s.deal_id] = again
    return [insert("event", bad)], [insert("event", good)]


@refused("event_prev_hash")
def a_link_to_another_hash(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap([], "event", s.story.event(s.deal_id, "A"), prev_hash=make.digest("else"))


@refused("event_prev_hash")
def a_first_event_with_a_past(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.story.deals["sys_x"] = make.deal(f"sys_{s.deal_id}")
    good = replace(s.story.event("sys_x", "A"), deal_id=f"sys_{s.deal_id}")
    return swap([], "event", good, prev_hash=make.digest("else"))


@refused("deal_head")
def a_head_that_is_not_the_newest_event(s: Scene) -> tuple[list[Sql], list[Sql]]:
    old = s.head()
    s.given(s.tx()[0][0])
    version = old.params["version"] + 1
    return [replace(old, params={**old.params, "version": version})], [s.head()]


@refused("deal_version_decreased")
def a_version_that_goes_back(s: Scene) -> tuple[list[Sql], list[Sql]]:
    old = s.head()
    s.given(*s.tx()[0])
    s.given(s.tx()[0][0])
    return [old], [s.head()]


@refused("deal_head")
def a_new_deal_with_an_invented_head(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap([], "deal", make.deal(f"{s.deal_id}_new"), head_hash=make.digest("else"))


# --- fences and obligations -----------------------------------------------------------------------


@refused("effect_fence_decreased")
def a_stale_fence_on_an_effect(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.given(insert("effect", make.effect(f"eff_{s.deal_id}", s.deal_id, fence=5)))
    text = "UPDATE effect SET fence = :fence WHERE deal_id = :deal_id"
    return s.fenced(text)


@refused("job_fence_decreased")
def a_stale_fence_on_a_job(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.given(insert("job", make.job(f"job_{s.deal_id}", s.deal_id, lease_fence=5)))
    return s.fenced("UPDATE job SET lease_fence = :fence WHERE deal_id = :deal_id")


@refused("lease_fence_decreased")
def a_stale_fence_on_a_lease(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.given(sql("INSERT INTO lease VALUES (:name, 'me', 5, 0)", name=s.deal_id))
    return s.fenced("UPDATE lease SET fence = :fence WHERE name = :deal_id")


@refused("effect_final")
def a_final_answer_taken_back(s: Scene) -> tuple[list[Sql], list[Sql]]:
    made = make.effect(f"eff_{s.deal_id}", s.deal_id, state=EffectState.CONFIRMED)
    s.given(insert("effect", made))
    text = "UPDATE effect SET state = :state, rail_ref = 'r' WHERE deal_id = :deal_id"
    bad = sql(text, state="unknown", deal_id=s.deal_id)
    return [bad], [sql(text, state="confirmed", deal_id=s.deal_id)]


@refused("unique: effect(obligation_key)")
def a_second_effect_for_an_obligation(s: Scene) -> tuple[list[Sql], list[Sql]]:
    first = make.effect(f"eff_{s.deal_id}_1", s.deal_id)
    s.given(insert("effect", first))
    second = make.effect(f"eff_{s.deal_id}_2", s.deal_id)
    return swap([], "effect", second, obligation_key=first.obligation_key)


@pytest.mark.parametrize("case", CASES)
def test_the_database_refuses(books: Books, case: str) -> None:
    names, attack = CASES[case]
    story = Story(prefix=f"{case}_")
    deal_id = f"deal_{case}"
    books.db.transaction(lambda tx: tx.write(story.funded(deal_id, "agent_seller")))
    bad, control = attack(Scene(books, story, deal_id))
    before = contents(books.raw)
    attacker = books.raw if names == ("foreign_key",) else books.shell
    with pytest.raises(ConstraintViolated) as refusal:
        attacker.run(bad)
    assert refusal.value.name in names
    assert contents(books.raw) == before
    books.raw.run(control)
    assert contents(books.raw) != before or not control
