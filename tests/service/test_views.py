"""Read-side services on real histories, on both databases: what each says, and to whom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import (
    AgentNotFound,
    ClaimNotFound,
    CursorMalformed,
    DestinationNotFound,
    InvalidField,
    NotOwner,
    PayoutNotFound,
)
from settlement.core.principal import ANONYMOUS, SYSTEM
from settlement.core.rows import Payout
from settlement.service import (
    claims_view,
    deals,
    destinations,
    fees_view,
    health,
    payouts_view,
    reputation,
    revenue,
)
from settlement.service.destinations import NewDestination
from settlement.service.payouts_view import PayoutFilter
from settlement.store.loading import load_claims
from tests.support.house import Play, SteppingClock, house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USD = "USD/2"


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url, SteppingClock()) as services:
        yield Play(services)


# --- reputation ----------------------------------------------------------------------------------


def test_a_new_agent_stands_at_fifty_and_an_unknown_one_nowhere(play: Play) -> None:
    agent = play.agent("new")
    found = reputation.reputation(play.services.db, str(agent.agent_id), USD)
    assert (found["ocs"], found["tier"], found["total_settlements"]) == ("50.00", "standard", 0)
    with pytest.raises(AgentNotFound):
        reputation.reputation(play.services.db, "agent_unknown", USD)


def test_settled_deals_with_known_buyers_count(play: Play) -> None:
    seller = play.agent("seller")
    for n in range(5):
        deal = play.proof(seller)
        play.go(deal, play.agent(f"buyer {n}"))
        play.settle(deal, seller)
    play.work()
    found = reputation.reputation(play.services.db, str(seller.agent_id), USD)
    assert (found["total_settlements"], found["total_volume_usd"]) == (5, "500.00")
    assert found["ocs"] == "66.67"
    assert found["badge"] is None


def test_deals_without_a_known_buyer_do_not_count(play: Play) -> None:
    seller = play.agent("seller")
    deal = play.proof(seller)
    play.go(deal, ANONYMOUS)
    play.settle(deal, seller)
    play.work()
    found = reputation.reputation(play.services.db, str(seller.agent_id), USD)
    assert (found["total_settlements"], found["ocs"]) == (1, "50.00")


def test_balances_show_what_is_held(play: Play) -> None:
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    play.payout(deal, seller)
    agent_id = str(seller.agent_id)
    shown = reputation.balances(play.services.db, agent_id, seller)["balances"][0]
    assert (shown["posted_minor"], shown["held_minor"], shown["available_minor"]) == (9692, 9692, 0)
    play.work()
    shown = reputation.balances(play.services.db, agent_id, SYSTEM)["balances"][0]
    assert (shown["posted_minor"], shown["held_minor"], shown["available_minor"]) == (0, 0, 0)
    with pytest.raises(AgentNotFound):
        reputation.balances(play.services.db, agent_id, buyer)


# --- fees ----------------------------------------------------------------------------------------


def test_old_settlements_leave_the_window(tmp_path: Path, sqlite_url: str) -> None:
    clock = SteppingClock()
    with house(tmp_path, sqlite_url, clock) as services:
        play = Play(services)
        seller = play.agent("seller")
        deal = play.proof(seller, price_minor=100_000)
        play.go(deal, play.agent("buyer"))
        play.settle(deal, seller)
        play.work()
        agent_id = str(seller.agent_id)
        tier = fees_view.agent_fee_tier(services.db, agent_id, services.rules)
        assert (tier["tier"], tier["volume_30d_exact"]) == ("Growth", "1000.00")
        clock.advance(30 * 86_400)
        tier = fees_view.agent_fee_tier(services.db, agent_id, services.rules)
        assert (tier["tier"], tier["volume_30d_exact"]) == ("Starter", "0.00")
        assert reputation.reputation(services.db, agent_id, USD)["total_volume_usd"] == "1000.00"


def test_each_policy_names_its_bands_alike(play: Play) -> None:
    for policy, pct in (("discounts-1", "0.0238"), ("tiers-2026", "0.008")):
        rules = replace(play.services.rules, fee_policy=policy)
        rows = fees_view.fee_tiers(rules)["tiers"]
        assert [row["tier"] for row in rows] == ["Starter", "Growth", "Scale", "Enterprise"]
        assert rows[-1]["fee_pct"] == pct
        assert fees_view.fee_line(rules) == "2.8% + $0.28"


@pytest.mark.parametrize(
    ("ppm", "text"),
    [(0, "0"), (28_000, "0.028"), (1_000_000, "1"), (850_000, "0.85"), (1, "0.000001")],
)
def test_parts_per_million_as_decimals(ppm: int, text: str) -> None:
    assert fees_view.ppm_text(ppm) == text


# --- payouts -------------------------------------------------------------------------------------


def test_a_payout_says_what_it_waits_for(play: Play) -> None:
    seller = play.agent("seller")
    deal = play.proof(seller)
    play.go(deal, play.agent("buyer"))
    play.settle(deal, seller)
    play.work()
    play.misbehave("silence_without_charge", "payout:")
    made = play.payout(deal, seller)
    planned = payouts_view.payout(play.services.db, made["payout_id"], seller)
    assert (planned["state"], planned["waiting_for"]) == ("planned", "effect_open")
    assert "worker" in planned["waiting_detail"]
    play.services.effects.step()
    unknown = payouts_view.payout(play.services.db, made["payout_id"], seller)
    assert (unknown["state"], unknown["waiting_for"]) == ("unknown", "outcome_unknown")
    assert "Do not pay again" in unknown["waiting_detail"]
    assert deals.timeline(play.services.db, deal["deal_id"])["status"] == "payout_initiated"


def test_every_reason_to_wait_has_its_sentence() -> None:
    reasons = (
        "no_destination hold_period effect_open outcome_unknown paused recovery_parked disputed"
    )
    assert set(payouts_view.WAITING) == set(reasons.split())
    assert all(sentence.endswith((".", "means.")) for sentence in payouts_view.WAITING.values())


def test_a_payout_is_its_payees_and_the_operators(play: Play) -> None:
    seller, other = play.agent("seller"), play.agent("other")
    deal = play.proof(seller)
    play.go(deal, other)
    play.settle(deal, seller)
    play.work()
    made = play.payout(deal, seller)["payout_id"]
    with pytest.raises(PayoutNotFound):
        payouts_view.payout(play.services.db, made, other)
    assert payouts_view.payout(play.services.db, made, SYSTEM)["payout_id"] == made
    every = PayoutFilter()
    assert payouts_view.payouts(play.services.db, other, every)["payouts"] == []
    assert len(payouts_view.payouts(play.services.db, SYSTEM, every)["payouts"]) == 1


def test_filters_of_payouts_are_checked() -> None:
    kept = {"deal_id": None, "cursor": None, "limit": 10}
    with pytest.raises(InvalidField):
        PayoutFilter.of(**{**kept, "state": "dancing"})  # type: ignore[arg-type]  # a wrong state
    with pytest.raises(InvalidField):
        PayoutFilter.of(**{**kept, "state": None, "limit": 0})  # type: ignore[arg-type]  # a wrong limit
    with pytest.raises(CursorMalformed):
        PayoutFilter.of(**{**kept, "state": None, "cursor": "x"})  # type: ignore[arg-type]  # a wrong cursor


def test_a_shown_payout_has_the_contracts_members() -> None:
    row = Payout(
        payout_id="pay_1",
        deal_id="deal_1",
        agent_id="agent_1",
        asset=USD,
        amount_minor=1,
        rail="simulated",
        destination_id=None,
        state="planned",
        refusals=0,
        effect_id=None,
        hold_id=None,
        waiting_for="no_destination",
        waiting_since="then",
        next_check_at=None,
        attempts=0,
        rail_ref=None,
        created_at="a",
        updated_at="b",
    )
    shown = payouts_view.payout_view(row)
    assert shown["waiting_for"] == "no_destination"
    assert "payee adds one" in shown["waiting_detail"]
    assert "refusals" not in shown


# --- claims --------------------------------------------------------------------------------------


def test_a_running_and_an_unknown_call_say_not_to_pay_again(play: Play) -> None:
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.misbehave("silence_without_charge", "charge:")
    play.settle(deal, seller, sent_key="mine")
    running = claims_view.claim_view(play.services.db, "mine", seller)
    assert (running["state"], running["retry"]) == ("running", "same_key")
    assert running["effect"]["state"] == "planned"
    play.services.effects.step()
    unknown = claims_view.claim_view(play.services.db, "mine", seller)
    assert (unknown["state"], unknown["effect"]["state"]) == ("unknown", "unknown")
    assert "do not pay again" in unknown["advice"]
    assert claims_view.stats(play.services.db)["running"] == 1


def test_a_chosen_key_is_found_by_its_principal_alone(play: Play) -> None:
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller, sent_key="mine")
    play.work()
    found = claims_view.lookup(play.services.db, "mine", seller)
    assert (found["state"], found["operation"]) == ("done", "settle")
    assert found["outcome"]["result"]["net_minor"] == 9692
    for caller in (buyer, ANONYMOUS):
        with pytest.raises(ClaimNotFound):
            claims_view.lookup(play.services.db, "mine", caller)
        with pytest.raises(ClaimNotFound):
            claims_view.claim_view(play.services.db, "mine", caller)
    assert claims_view.lookup(play.services.db, "mine", SYSTEM)["state"] == "done"
    key3 = (str(seller.agent_id), "settle", "mine")
    assert play.services.db.read(lambda tx: load_claims(tx, [key3]))


# --- destinations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "shown"),
    [("acct_0123456789", "****6789"), ("12345678", "****78"), ("ab", "****"), ("abc", "****c")],
)
def test_addresses_are_masked(address: str, shown: str) -> None:
    assert destinations.masked(address) == shown


def test_destinations_belong_to_their_owner(play: Play) -> None:
    owner, other = play.agent("owner"), play.agent("other")
    db, rules = play.services.db, play.services.rules
    wanted = NewDestination(
        owner_id=str(owner.agent_id), rail="paypal", address="me@example.org", auto=False
    )
    made = destinations.create(db, wanted, "{}", rules)
    assert (made.rail, made.status) == ("PAYPAL", "unsupported")
    with pytest.raises(DestinationNotFound):
        destinations.change_status(db, made.destination_id, other, destinations.PAUSED, rules)
    with pytest.raises(NotOwner):
        destinations.check_owner(str(owner.agent_id), other)
    for status in (destinations.PAUSED, destinations.ACTIVE):
        kept = destinations.change_status(db, made.destination_id, owner, status, rules)
        assert kept.status == "unsupported"
    with pytest.raises(InvalidField):
        destinations.create(db, replace(wanted, rail="pigeon"), "{}", rules)
    with pytest.raises(AgentNotFound):
        destinations.create(db, replace(wanted, owner_id="agent_unknown"), "{}", rules)


def test_an_owner_has_a_bounded_number_of_destinations(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations, "OWNED_MAX", 2)
    owner = str(play.agent("owner").agent_id)
    wanted = NewDestination(owner_id=owner, rail="ACH", address="1234", auto=False)
    for _ in range(2):
        destinations.create(play.services.db, wanted, "{}", play.services.rules)
    with pytest.raises(InvalidField):
        destinations.create(play.services.db, wanted, "{}", play.services.rules)


# --- revenue -------------------------------------------------------------------------------------


def test_the_revenue_audit_comes_in_pages(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revenue, "DEALS_MAX", 2)
    seller, buyer = play.agent("seller"), play.agent("buyer")
    made = []
    for _ in range(5):
        deal = play.proof(seller)
        play.go(deal, buyer)
        play.settle(deal, seller)
        made.append(deal["deal_id"])
    play.work()
    seen: list[str] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor is not None:
        window = revenue.Window.of(start=None, end=None, cursor=cursor)
        page = revenue.agent_revenue_audit(play.services.db, str(seller.agent_id), window)
        seen += list(page["deals"])
        cursor = page["next_cursor"]
        pages += 1
    assert seen == made
    assert pages == 3


def test_the_revenue_audit_adds_up_to_the_balance_with_what_is_outside_deals(play: Play) -> None:
    """Catches an audit that forgets what an agent put aside for a mandate, or gave back."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    mandate = play.mandate(seller, reserve_minor=1_000)
    play.mandate(seller, reserve_minor=500)
    play.revoke(mandate, seller)
    db, window = play.services.db, revenue.Window()
    found = revenue.agent_revenue_audit(db, str(seller.agent_id), window)
    assert found["totals_by_type"]["mandate_reserve"] == "15.00"
    assert found["totals_by_type"]["mandate_return"] == "10.00"
    assert (found["deal_count"], found["entry_count"]) == (1, 4)
    assert len(found["outside_deals"]) == 3
    assert found["net"] == "91.92"
    later = revenue.Window(after=deal["deal_id"])
    assert revenue.agent_revenue_audit(db, str(seller.agent_id), later)["outside_deals"] == []


def test_a_buyer_of_deals_has_no_revenue_of_them(play: Play) -> None:
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    window = revenue.Window()
    found = revenue.agent_revenue_audit(play.services.db, str(buyer.agent_id), window)
    assert (found["net"], found["deal_count"], found["deals"]) == ("0.00", 0, {})


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00.000000Z"),
        ("2026-01-31T10:00:00.5Z", "2026-01-31T10:00:00.500000Z"),
    ],
)
def test_days_and_times_are_read_into_one_form(text: str, instant: str) -> None:
    assert revenue.Window.of(start=text, end=None, cursor=None).start == instant


@pytest.mark.parametrize("text", ["today", "2026-1-1", "2026-02-30", "2026-01-01T25:00:00Z"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        revenue.Window.of(start=text, end=None, cursor=None)


# --- health --------------------------------------------------------------------------------------


def test_figures_tell_what_waits(play: Play) -> None:
    services = play.services
    empty = health.figures(services.db, services.log_views)
    assert empty["oldest_outbox_ms"] == empty["unknown_effects"] == 0
    seller = play.agent("seller")
    deal = play.proof(seller)
    play.go(deal, play.agent("buyer"))
    play.settle(deal, seller)
    waiting = health.figures(services.db, services.log_views)
    assert waiting["queue_depth"] == 1
    assert waiting["oldest_outbox_ms"] > 0
    assert waiting["log_lag_ms"] > 0
    play.misbehave("silence_without_charge", "charge:")
    services.effects.step()
    assert health.figures(services.db, services.log_views)["unknown_effects"] == 1


def test_health_says_so_when_the_database_is_away(play: Play) -> None:
    play.services.db.close()
    for check in health.database_checks(play.services.db).values():
        assert check.ok is False
        assert check.detail
    assert "database_error" in health.figures(play.services.db, play.services.log_views)


def test_checks_say_what_is_wrong_and_what_to_do() -> None:
    assert health.signing_check(signs=True, live=True).ok
    assert health.signing_check(signs=False, live=False).ok
    assert not health.signing_check(signs=False, live=True).ok
    assert health.checkpoint_check(None).ok
    assert health.checkpoint_check("The log is behind.").document() == {
        "ok": False,
        "detail": "The log is behind.",
    }
