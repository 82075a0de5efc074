"""What both databases refuse about money that goes back (spec §5.6, §16.3), by raw SQL.

As in `test_refusals.py`, every case has a control: the same statements with the one wrong thing put
right, which must be accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.core.refund_rows import Dispute, Refund, RefundKind, RefundState
from settlement.core.rows import Phase
from settlement.store.database import ConstraintViolated
from tests.store.make import NOW, Story, account
from tests.store.scene import BUYER, CLEARING, SELLER, Scene, flat, swap
from tests.support.raw import Sql, contents, insert, sql

if TYPE_CHECKING:
    from tests.store.conftest import Books

Attack = Callable[[Scene], tuple[list[Sql], list[Sql]]]
CASES: dict[str, tuple[str, Attack]] = {}


def refused(name: str) -> Callable[[Attack], Attack]:
    def register(attack: Attack) -> Attack:
        CASES[attack.__name__] = name, attack
        return attack

    return register


def paid(s: Scene) -> str:
    """The event of the scene's payment of 10 000."""
    text = "SELECT event_id FROM transfer WHERE deal_id = :deal_id AND kind = 'charge'"
    found = s.books.raw.rows(text.replace(":deal_id", f"'{s.deal_id}'"))
    return str(found[0][0])


def refund_row(s: Scene, n: int = 1, **changes: object) -> Refund:
    made = Refund(
        refund_id=f"ref_{s.deal_id}_{n}",
        deal_id=s.deal_id,
        kind=RefundKind.REFUND,
        payment_event_id=paid(s),
        source="charge",
        rail="simulated",
        payment_ref="ch_1",
        asset="USD/2",
        amount_minor=6_000,
        parts="{}",
        holds="[]",
        state=RefundState.PLANNED,
        effect_id="eff_1",
        dispute_id=None,
        requested_by="agent_seller",
        reason_hash=None,
        rail_ref=None,
        refusal=None,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # members by name


def dispute_row(s: Scene, **changes: object) -> Dispute:
    made = Dispute(
        dispute_id=f"dsp_{s.deal_id}",
        deal_id=s.deal_id,
        claimant_id="agent_buyer",
        respondent_id=None,
        reason_hash=None,
        status="resolved",
        deal_state="go_approved",
        asset="USD/2",
        amount_minor=100,
        parts="{}",
        seller_ppm=1_000_000,
        ruling_hash=None,
        opened_at=NOW,
        resolved_at=NOW,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # members by name


# --- transfers -----------------------------------------------------------------------------------


@refused("transfer_refund_to_funder")
def a_refund_to_somebody_who_gave_nothing(s: Scene) -> tuple[list[Sql], list[Sql]]:
    before, tx = s.tx()
    good = s.story.transfer(tx, "refund", 100, s.escrow, CLEARING)
    return swap(before, "transfer", good, credit_ref=BUYER.ref, credit_class="agent")


@refused("transfer_over_refund")
def a_refund_of_more_than_was_given(s: Scene) -> tuple[list[Sql], list[Sql]]:
    # The escrow holds more than the rail gave, so the guard of the account would let it pass.
    s.topped_up(SELLER)
    before, tx = s.tx()
    s.given(*before, insert("transfer", s.story.transfer(tx, "escrow_fund", 500, SELLER, s.escrow)))
    before, tx = s.tx()
    good = s.story.transfer(tx, "refund", 10_000, s.escrow, CLEARING)
    return swap(before, "transfer", good, amount_minor=10_001)


@refused("transfer_over_refund")
def a_refund_beside_one_that_is_held(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.topped_up(SELLER)
    before, tx = s.tx()
    s.given(*before, insert("transfer", s.story.transfer(tx, "escrow_fund", 500, SELLER, s.escrow)))
    before, tx = s.tx()
    hold = s.story.transfer(tx, "refund", 6_000, s.escrow, CLEARING, phase=Phase.HOLD)
    s.given(*before, insert("transfer", hold))
    before, tx = s.tx()
    good = s.story.transfer(tx, "refund", 4_000, s.escrow, CLEARING)
    return swap(before, "transfer", good, amount_minor=4_001)


@refused("transfer_over_refund")
def a_chargeback_of_more_than_was_given(s: Scene) -> tuple[list[Sql], list[Sql]]:
    owed = account("receivable", "agent_seller")
    if not s.books.raw.rows(f"SELECT 1 FROM account WHERE ref = '{owed.ref}'"):
        s.given(insert("account", owed))
    before, tx = s.tx()
    good = s.story.transfer(tx, "chargeback", 10_000, owed, CLEARING)
    return swap(before, "transfer", good, amount_minor=10_001)


@refused("transfer_after_settlement")
def funding_a_settled_deal(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.topped_up(SELLER)
    good = s.settlement()
    settle = flat(good, s.head())
    before, tx = s.tx()
    funded = [*before, insert("transfer", s.story.transfer(tx, "escrow_fund", 5, SELLER, s.escrow))]
    return [*settle, *funded], settle


@refused("transfer_outside_settlement")
def a_release_that_no_ruling_stands_behind(s: Scene) -> tuple[list[Sql], list[Sql]]:
    good = s.settlement()
    s.given(*flat(good, s.head()))
    before, charge = s.charged()
    s.given(*before, insert("transfer", charge))
    before, tx = s.tx(event="DISPUTE_RESOLVED")
    leg = s.story.transfer(tx, "release", 100, s.escrow, SELLER)
    wrong = [replace_event(part) if "INTO event " in part.text else part for part in before]
    return [*wrong, insert("transfer", leg)], [*before, insert("transfer", leg)]


def replace_event(part: Sql) -> Sql:
    return replace(part, params={**part.params, "event_type": "REFUNDED"})


# --- rows ----------------------------------------------------------------------------------------


@refused("refund_exceeds_payment")
def refunds_that_together_exceed_their_payment(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.given(insert("refund", refund_row(s)))
    return swap([], "refund", refund_row(s, 2, amount_minor=4_000), amount_minor=4_001)


@refused("refund_exceeds_payment")
def a_refund_of_another_deals_payment(s: Scene) -> tuple[list[Sql], list[Sql]]:
    other = f"{s.deal_id}_other"
    s.books.db.transaction(lambda tx: tx.write(s.story.funded(other, "agent_seller")))
    stranger = s.books.raw.rows(f"SELECT event_id FROM transfer WHERE deal_id = '{other}'")[0][0]
    return swap([], "refund", refund_row(s), payment_event_id=stranger)


@refused("refund_final")
def a_refund_resolved_twice(s: Scene) -> tuple[list[Sql], list[Sql]]:
    s.given(insert("refund", refund_row(s)))
    text = "UPDATE refund SET state = :state WHERE refund_id = :refund_id"
    once = sql(text, state="refused", refund_id=refund_row(s).refund_id)
    twice = sql(text, state="confirmed", refund_id=refund_row(s).refund_id)
    return [once, twice], [once]


@refused("refund_append_only")
def a_refund_forgotten(s: Scene) -> tuple[list[Sql], list[Sql]]:
    made = insert("refund", refund_row(s))
    return [made, sql("DELETE FROM refund WHERE deal_id = :deal_id", deal_id=s.deal_id)], [made]


@refused("dispute_seller_ppm")
def a_ruling_of_more_than_all(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap([], "dispute", dispute_row(s), seller_ppm=1_000_001)


@refused("dispute_seller_ppm")
def a_ruling_of_less_than_nothing(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap([], "dispute", dispute_row(s), seller_ppm=-1)


@refused("dispute_ruled")
def a_resolution_without_a_ruling(s: Scene) -> tuple[list[Sql], list[Sql]]:
    return swap([], "dispute", dispute_row(s), seller_ppm=None)


@refused("dispute_final")
def a_ruling_changed(s: Scene) -> tuple[list[Sql], list[Sql]]:
    made = insert("dispute", dispute_row(s))
    text = "UPDATE dispute SET seller_ppm = 0 WHERE deal_id = :deal_id"
    return [made, sql(text, deal_id=s.deal_id)], [made]


@pytest.mark.parametrize("case", CASES)
def test_the_database_refuses(books: Books, case: str) -> None:
    """Catches a migration that forgets the rule, on either database."""
    name, attack = CASES[case]
    story = Story(prefix=f"{case}_")
    deal_id = f"deal_{case}"
    books.db.transaction(lambda tx: tx.write(story.funded(deal_id, "agent_seller")))
    bad, control = attack(Scene(books, story, deal_id))
    before = contents(books.raw)
    with pytest.raises(ConstraintViolated) as refusal:
        books.shell.run(bad)
    assert refusal.value.name == name
    assert contents(books.raw) == before
    books.raw.run(control)
