"""Refunds on real databases: books, volume, standing, and a rail that stays silent."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import PartyMismatch, RefundRefused
from settlement.core.operations import Refund
from settlement.core.principal import Principal, PrincipalKind
from settlement.service import deals, refunds_view, reputation
from settlement.service.audit import run_audit
from settlement.service.replay import replay_deal
from tests.support.effect_process import run_step
from tests.support.house import Play, house
from tests.support.logs import raw_sql
from tests.support.refund_process import start_refunds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USD = "USD/2"
OPERATOR = Principal(kind=PrincipalKind.OPERATOR)


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url) as services:
        yield Play(services)


def settled(play: Play, price_minor: int = 10_000) -> tuple[dict[str, Any], Principal, Principal]:
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller, price_minor)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    return deal, seller, buyer


def is_sound(play: Play, deal: dict[str, Any]) -> None:
    """The whole audit and the deal's replay find nothing."""
    assert run_audit(play.services.db).failed() == []
    replay = replay_deal(play.services.db, deal["deal_id"])
    assert replay["verdict"] == "clean", replay


def posted(play: Play, agent: Principal) -> int:
    found = reputation.balances(play.services.db, str(agent.agent_id), OPERATOR)["balances"]
    return sum(one["posted_minor"] for one in found if one["account"].startswith("entity:"))


def status(play: Play, deal: dict[str, Any]) -> str:
    return str(deals.timeline(play.services.db, deal["deal_id"])["status"])


def test_a_refund_returns_fee_and_net_through_the_rail(play: Play) -> None:
    """Catches a build whose books do not balance after a refund, or whose rail keeps the money."""
    deal, seller, _ = settled(play)
    first = play.refund(deal, seller, 4_000)
    assert first["state"] == "planned"
    is_sound(play, deal)
    play.work()
    is_sound(play, deal)
    assert (status(play, deal), posted(play, seller)) == ("settled", 5_815)
    again = play.refund(deal, seller, 4_000)
    assert again["state"] == "confirmed", "the same key is the same refund"
    play.refund(deal, seller, key="r2")
    play.work()
    assert (status(play, deal), posted(play, seller)) == ("refunded", 0)
    is_sound(play, deal)
    entries = [e for e in play.rail.entries() if e.kind == "refund"]
    assert [e.amount_minor for e in entries] == [4_000, 6_000]
    charged = next(e for e in play.rail.entries() if e.kind == "charge")
    assert {e.destination for e in entries} == {charged.rail_ref}
    shown = refunds_view.refunds(play.services.db, deal["deal_id"], seller)
    assert shown["refunded_minor"] == 10_000


def test_volume_and_settlements_count_what_stayed(play: Play) -> None:
    """Catches a build that keeps the volume of refunded deals, or counts refunds as sales."""
    deal, seller, _ = settled(play)
    play.refund(deal, seller, 2_500)
    play.work()
    found = reputation.reputation(play.services.db, str(seller.agent_id), USD)
    assert (found["total_settlements"], found["total_volume_usd"]) == (1, "75.00")


def test_only_a_forced_refund_counts_against_the_seller(play: Play) -> None:
    """Catches a build that punishes a seller who gives money back of its own will."""
    deal, seller, _ = settled(play)
    start = reputation.reputation(play.services.db, str(seller.agent_id), USD)["ocs"]
    play.refund(deal, seller, 100)
    play.work()
    willing = reputation.reputation(play.services.db, str(seller.agent_id), USD)["ocs"]
    assert willing == start
    play.refund(deal, OPERATOR, 100, "r2")
    play.work()
    forced = reputation.reputation(play.services.db, str(seller.agent_id), USD)["ocs"]
    assert float(forced) < 50 < float(start)


def test_a_refused_refund_can_be_asked_for_again(play: Play) -> None:
    """Catches a build that leaves the holds of a refused refund, or books it."""
    deal, seller, _ = settled(play)
    play.misbehave("decline", "refund:")
    play.refund(deal, seller)
    play.work()
    with pytest.raises(RefundRefused):
        play.refund(deal, seller)
    assert posted(play, seller) == 9_692
    is_sound(play, deal)
    play.behave()
    play.refund(deal, seller, key="r2")
    play.work()
    assert status(play, deal) == "refunded"
    is_sound(play, deal)


def test_a_silent_rail_is_asked_and_gives_back_once(play: Play, database_url: str) -> None:
    """Catches a build that sends a refund again when the answer was lost."""
    deal, seller, _ = settled(play)
    play.misbehave("charge_then_silence", "refund:")
    play.refund(deal, seller)
    play.work()
    shown = refunds_view.refunds(play.services.db, deal["deal_id"], seller)
    assert shown["refunds"][0]["state"] == "unknown"
    is_sound(play, deal)
    play.behave()
    raw_sql(database_url, "UPDATE job SET run_at_us = 0")
    play.work()
    assert status(play, deal) == "refunded"
    assert len([e for e in play.rail.entries() if e.kind == "refund"]) == 1
    is_sound(play, deal)


@pytest.mark.parametrize(
    "point", ["effect.before_send", "effect.after_send", "effect.after_record"]
)
def test_a_worker_killed_around_the_call_gives_back_once(
    tmp_path: Path, play: Play, database_url: str, point: str
) -> None:
    """Catches a build that asks the rail again under another key, or loses what it gave back."""
    deal, seller, _ = settled(play)
    play.refund(deal, seller, 4_321)
    killed = run_step(tmp_path, database_url, f"{point}:kill")
    assert killed.returncode == -9, killed.stderr
    raw_sql(database_url, "UPDATE job SET lease_expires_us = 1 WHERE status = 'leased'")
    play.work()
    assert [e.amount_minor for e in play.rail.entries() if e.kind == "refund"] == [4_321]
    assert play.refund(deal, seller, 4_321)["state"] == "confirmed"
    is_sound(play, deal)


def test_one_key_is_one_refund_however_often_it_is_sent(play: Play) -> None:
    """Catches a build that takes a key of a running refund for a new one."""
    deal, seller, _ = settled(play)
    ask = Refund(principal=seller, sent_key="same", deal_id=deal["deal_id"], amount_minor=100)
    play.services.engine.start()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: play.services.engine.execute(ask), range(50)))
    assert sum(not one.replayed for one in answers) == 1
    play.work()
    assert len([e for e in play.rail.entries() if e.kind == "refund"]) == 1
    is_sound(play, deal)


def test_refunds_of_four_processes_never_pass_the_gross(
    tmp_path: Path, play: Play, database_url: str
) -> None:
    """Catches a build that reads what is left before it holds the deal."""
    deal, seller, _ = settled(play)
    who = (deal["deal_id"], str(seller.agent_id))
    running = [start_refunds(tmp_path, database_url, *who, f"p{n}-", "8", "700") for n in range(4)]
    codes = [code for one in running for code in json.loads(one.communicate(timeout=60)[0])]
    assert codes.count("done") == 14
    assert set(codes) == {"done", "over_refund"}
    play.work()
    assert sum(e.amount_minor for e in play.rail.entries() if e.kind == "refund") == 9_800
    is_sound(play, deal)


def test_strangers_and_buyers_refund_nothing(play: Play) -> None:
    deal, _, buyer = settled(play)
    with pytest.raises(PartyMismatch):
        play.refund(deal, buyer)
