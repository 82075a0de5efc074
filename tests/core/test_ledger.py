"""Planning of money: the list of movements, guards, holds, and the hash that binds a tx."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.core.accounts import (
    FEE_PROTOCOL,
    GUARDS,
    MOVEMENTS,
    Ref,
    agent_account,
    available,
    clearing_account,
    escrow_account,
    transit_account,
)
from settlement.core.events import Actor, Chain
from settlement.core.ledger import Books
from settlement.core.rows import Account, Phase
from settlement.core.writeset import WriteSet
from tests.support.world import new_world

if TYPE_CHECKING:
    from settlement.core.canonical import Json

SCHEMA = Path("src/settlement/store/sql/migrations")
ESCROW, SELLER = escrow_account("deal_1"), agent_account("agent_a")


def account(ref: Ref, **counters: int) -> Account:
    zeros = dict.fromkeys(("debits_posted", "credits_posted", "debits_held", "credits_held"), 0)
    return Account(
        ref=ref.ref,
        asset="USD/2",
        account_class=ref.account_class,
        guard=GUARDS[ref.account_class],
        holder=ref.holder,
        deal_id=ref.deal_id,
        **{**zeros, **counters},
        version=0,
        opened_at="",
        closed_at=None,
    )


def books(*present: Account) -> Books:
    refs = (ESCROW, SELLER, FEE_PROTOCOL, clearing_account("r"), transit_account("r"))
    accounts: dict[tuple[str, str], Account | None] = {(ref.ref, "USD/2"): None for ref in refs}
    accounts.update({(each.ref, each.asset): each for each in present})
    return Books(
        accounts=accounts,
        ctx=new_world().context(),
        writes=WriteSet(),
        deal_id="deal_1",
        asset="USD/2",
    )


@pytest.mark.parametrize("schema", ["0001_initial.sqlite.sql", "0001_initial.postgres.sql"])
def test_the_list_of_movements_is_the_databases(schema: str) -> None:
    """Catches a movement added here or there alone; agent to agent is on neither."""
    text = (SCHEMA / schema).read_text()
    rows = text[text.index("INSERT INTO movement_rule") :].split(";")[0]
    assert set(re.findall(r"\('(\w+)', '(\w+)', '(\w+)'\)", rows)) == MOVEMENTS
    assert not [each for each in MOVEMENTS if each[1:] == ("agent", "agent")]


def test_accounts_are_opened_once_with_zero_counters() -> None:
    plan = books(account(ESCROW, credits_posted=100))
    tx = plan.begin()
    tx.add("release", ESCROW, SELLER, 60)
    tx.add("release", ESCROW, SELLER, 40)
    (opened,) = plan.writes.accounts_new
    assert (opened.ref, opened.guard, opened.holder) == ("entity:agent_a", "credit", "agent_a")
    assert opened.credits_posted == 0, "the database counts the transfers itself"


@pytest.mark.parametrize(
    ("kind", "debit", "credit", "amount_minor"),
    [
        ("release", ESCROW, SELLER, 101),
        ("release", ESCROW, SELLER, 0),
        ("release", SELLER, ESCROW, 1),
        ("charge", ESCROW, SELLER, 1),
    ],
)
def test_a_wrong_leg_is_a_programmers_error(
    kind: str, debit: Ref, credit: Ref, amount_minor: int
) -> None:
    """Catches a planner that overdraws, or moves along no line of spec §5.2."""
    tx = books(account(ESCROW, credits_posted=100)).begin()
    with pytest.raises(AssertionError):
        tx.add(kind, debit, credit, amount_minor)


def test_a_hold_takes_from_what_is_available_until_resolved() -> None:
    plan = books(account(SELLER, credits_posted=100))
    transit = transit_account("r")
    plan.begin().add("payout", SELLER, transit, 60, phase=Phase.HOLD)
    with pytest.raises(AssertionError):
        plan.begin().add("payout", SELLER, transit, 41, phase=Phase.HOLD)


def test_a_resolution_names_its_hold() -> None:
    tx = books(account(SELLER, credits_posted=100)).begin()
    with pytest.raises(AssertionError):
        tx.add("payout", SELLER, transit_account("r"), 60, phase=Phase.POST)


def test_available_is_posted_less_held_on_the_guarded_side() -> None:
    assert available(None) == 0
    assert available(account(SELLER, credits_posted=10, debits_posted=3, debits_held=2)) == 5
    owing = Ref("receivable:a", "receivable", "a")
    assert available(account(owing, debits_posted=10, credits_posted=4, credits_held=1)) == 5
    with pytest.raises(AssertionError):
        available(account(FEE_PROTOCOL))


def test_a_tx_belongs_to_the_event_that_carries_its_hash() -> None:
    """Catches a build that books legs under an event that says nothing of them."""
    plan = books(account(ESCROW, credits_posted=100))
    chain = Chain(
        deal_id="deal_1",
        version=0,
        head_hash="",
        ctx=new_world().context(),
        writes=plan.writes,
    )
    by = Actor(actor_id="a", authority="key")
    tx = plan.begin()
    tx.add("release", ESCROW, SELLER, 100)
    with pytest.raises(AssertionError):
        tx.book(chain.append("OUTCOME_RECORDED", by, {"outcome": "", "seller": "", "buyer": ""}))
    facts = tx.facts()
    assert facts["tx_id"] == tx.tx_id
    with pytest.raises(AssertionError):
        tx.add("release", ESCROW, SELLER, 1)  # sealed
    silent: dict[str, Json] = {"outcome": "", "seller": "", "buyer": ""}
    with pytest.raises(AssertionError):
        tx.book(chain.append("OUTCOME_RECORDED", by, silent, event_id=tx.event_id))
    payload: dict[str, Json] = {"outcome": facts["tx_hash"], "seller": "", "buyer": ""}
    tx.book(chain.append("OUTCOME_RECORDED", by, payload, event_id=tx.event_id))
    assert plan.writes.txs[0].tx_hash == facts["tx_hash"]
    assert [leg.leg for leg in plan.writes.transfers] == [1]


def test_the_published_tx_hash_comes_out_of_a_plan() -> None:
    """The vector of spec §5.3, through the planner."""
    deal_id, seller = "deal_000000000001", agent_account("agent_seller")
    escrow = escrow_account(deal_id)
    accounts: dict[tuple[str, str], Account | None] = {
        (escrow.ref, "USD/2"): account(escrow, credits_posted=9900),
        (seller.ref, "USD/2"): None,
        (FEE_PROTOCOL.ref, "USD/2"): None,
    }
    plan = Books(
        accounts=accounts,
        ctx=new_world().context(),
        writes=WriteSet(),
        deal_id=deal_id,
        asset="USD/2",
    )
    tx = plan.begin()
    tx.tx_id = "tx_1"
    tx.add("fee", escrow, FEE_PROTOCOL, 305)
    tx.add("release", escrow, seller, 9595)
    wanted = "96fe854d12c459a1efe715c0e294b694ea79c3a539e8c3cf00c900dd32c44f4b"
    assert tx.facts()["tx_hash"] == wanted
