"""Top-ups on real databases: once, whatever is repeated, lost or killed, and spent on a deal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.clock import SECOND_US
from settlement.core.errors import TopupRefused
from settlement.core.operations import Settle, TopUp
from settlement.core.principal import Principal, PrincipalKind
from settlement.service import reputation
from settlement.service.audit import run_audit
from settlement.service.fresh import new_id
from settlement.service.inbox_plan import OTHER_TOPUP
from settlement.service.replay import replay_deal
from settlement.signing import create_key_file
from tests.support.effect_process import run_step
from tests.support.house import Play, house
from tests.support.inbox_process import run_inbox_step
from tests.support.logs import raw_sql
from tests.support.rows import read_rows
from tests.support.signed import SETTINGS, charge, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPERATOR = Principal(kind=PrincipalKind.OPERATOR)
LIVE = {**SETTINGS, "SETTLEMENT_MODE": "live"}
EVENTS = "SELECT event_type FROM event WHERE deal_id LIKE 'sys_%' ORDER BY deal_id, version"


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    """A sandbox whose books must balance when the test has done with them."""
    with house(tmp_path, database_url, None, **SETTINGS) as services:
        yield Play(services)
        assert run_audit(services.db).failed() == []


@pytest.fixture
def live(tmp_path: Path, database_url: str) -> Iterator[Play]:
    """As `play`, where payers pay at the page."""
    create_key_file(tmp_path / "keys" / "log_signing.key")
    with house(tmp_path, database_url, None, **LIVE) as services:
        yield Play(services)
        assert run_audit(services.db).failed() == []


def has(play: Play, agent: Principal) -> int:
    found = reputation.balances(play.services.db, str(agent.agent_id), OPERATOR)["balances"]
    return sum(one["available_minor"] for one in found if one["account"].startswith("entity:"))


def charged(play: Play) -> list[int]:
    return [entry.amount_minor for entry in play.rail.entries() if entry.kind == "charge"]


def told(play: Play, url: str, message_id: str, members: Any) -> tuple[str, str | None]:
    """A message comes in and is applied; what became of it."""
    message = signed(message_id, members)
    now_us = int(message.headers["webhook-timestamp"]) * SECOND_US
    inbox = play.services.inbox
    event_id = inbox.receive("simulated", message.headers, message.body, now_us).event_id
    raw_sql(url, "UPDATE job SET run_at_us = 0")
    inbox.step()
    row = play.services.db.read(lambda tx: tx.one("inbox_get", event_id=event_id))
    return row["status"], row["note"]


def stream(topup: dict[str, Any]) -> str:
    return f"sys_{topup['topup_id']}"


# --- sandbox -------------------------------------------------------------------------------------


def test_a_topped_up_buyer_pays_a_deal_from_its_balance(play: Play) -> None:
    """Catches a build whose top-up is a promise only: the money is spent, and nobody charged."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    asked = play.topup(buyer, 25_000)
    assert (asked["state"], has(play, buyer)) == ("pending", 0)
    play.work()
    assert (charged(play), has(play, buyer)) == ([25_000], 25_000)
    deal = play.proof(seller, 10_000)
    play.go(deal, buyer)
    settle = Settle(principal=buyer, deal_id=deal["deal_id"], provider="balance")
    assert play.services.engine.execute(settle).unwrap()["status"] == "settled"
    assert (has(play, buyer), charged(play)) == (15_000, [25_000])
    play.work()
    assert replay_deal(play.services.db, deal["deal_id"])["verdict"] == "clean"


def test_fifty_calls_of_one_key_are_one_top_up(play: Play) -> None:
    """Catches a build that plans a charge per call: the payer is charged as often as it asked."""
    buyer = play.agent("buyer")
    play.services.engine.start()

    def ask(_n: int) -> str:
        answer = play.services.engine.execute(
            TopUp(
                principal=buyer,
                sent_key="same",
                topup_id=new_id("topup_"),
                agent_id=str(buyer.agent_id),
                asset="USD/2",
                amount_minor=5_000,
            )
        )
        assert answer.result is not None
        return str(answer.result["topup_id"])

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(ask, range(50)))
    play.work()
    assert (len(ids), charged(play), has(play, buyer)) == (1, [5_000], 5_000)
    again = play.topup(buyer, 5_000, "same")
    assert (again["state"], {again["topup_id"]}) == ("confirmed", ids)


def test_a_refused_top_up_says_so_under_its_key(play: Play) -> None:
    """Catches a build that books before the rail has said, or leaves the call running for ever."""
    buyer = play.agent("buyer")
    play.misbehave("decline", "topup:")
    play.topup(buyer, 5_000)
    play.work()
    with pytest.raises(TopupRefused, match="card_declined"):
        play.topup(buyer, 5_000)
    assert has(play, buyer) == 0
    play.behave()
    play.topup(buyer, 5_000, "t2")
    play.work()
    assert has(play, buyer) == 5_000


def test_a_silent_rail_is_asked_and_charges_once(play: Play, database_url: str) -> None:
    """Catches a build that sends again after silence under another name."""
    buyer = play.agent("buyer")
    play.misbehave("charge_then_silence", "topup:")
    play.topup(buyer, 5_000)
    play.work()
    assert has(play, buyer) == 0
    play.behave()
    raw_sql(database_url, "UPDATE job SET run_at_us = 0")
    play.work()
    assert (charged(play), has(play, buyer)) == ([5_000], 5_000)


@pytest.mark.parametrize(
    "point", ["effect.before_send", "effect.after_send", "effect.after_record"]
)
def test_a_worker_killed_around_the_call_tops_up_once(
    play: Play, tmp_path: Path, database_url: str, point: str
) -> None:
    """Catches a build that asks the rail again under another key, or books twice."""
    buyer = play.agent("buyer")
    play.topup(buyer, 5_000)
    killed = run_step(tmp_path, database_url, f"{point}:kill", SETTINGS)
    assert killed.returncode == -9, killed.stderr
    raw_sql(database_url, "UPDATE job SET lease_expires_us = 1 WHERE status = 'leased'")
    play.work()
    assert (charged(play), has(play, buyer)) == ([5_000], 5_000)


# --- live ----------------------------------------------------------------------------------------


def test_live_nobody_is_charged_and_the_message_books(live: Play, database_url: str) -> None:
    """Catches a build that charges without the payer, or books a repeated message again."""
    buyer = live.agent("buyer")
    asked = live.topup(buyer, 5_000)
    assert asked["state"] == "open"
    assert asked["payment_url"].endswith(f"/pay/{asked['topup_id']}")
    live.work()
    assert (charged(live), has(live, buyer)) == ([], 0)
    paid = charge(stream(asked), "ch_1", 5_000)
    assert told(live, database_url, "m1", paid) == ("applied", None)
    assert told(live, database_url, "m1", paid) == ("applied", None)
    assert told(live, database_url, "m2", paid)[0] == "ignored"
    assert has(live, buyer) == 5_000
    types = [row[0] for row in read_rows(database_url, EVENTS)]
    assert (types.count("TOPUP_REQUESTED"), types.count("TOPPED_UP")) == (1, 1)


def test_what_came_is_booked_whatever_was_asked_for(live: Play, database_url: str) -> None:
    """Catches a build that books the amount asked for, which nobody paid, or keeps the surplus."""
    buyer = live.agent("buyer")
    asked = live.topup(buyer, 5_000)
    less = told(live, database_url, "m1", charge(stream(asked), "ch_1", 4_900))
    assert less == ("applied", OTHER_TOPUP)
    assert has(live, buyer) == 4_900
    other = charge(stream(asked), "ch_2", 5_000, asset="EUR/2")
    assert told(live, database_url, "m2", other)[0] == "contradiction"
    unknown = charge("sys_topup_" + "0" * 32, "ch_3", 5_000)
    assert told(live, database_url, "m3", unknown)[0] == "contradiction"
    refused = charge(stream(asked), "ch_4", 5_000, type="charge.failed")
    assert told(live, database_url, "m4", refused)[0] == "ignored"
    assert has(live, buyer) == 4_900


@pytest.mark.parametrize("point", ["inbox.before_apply", "inbox.after_apply"])
def test_an_inbox_killed_around_the_booking_tops_up_once(
    live: Play, tmp_path: Path, database_url: str, point: str
) -> None:
    """Catches a build that keys the booking by anything but the rail's own reference."""
    buyer = live.agent("buyer")
    asked = live.topup(buyer, 5_000)
    message = signed("m1", charge(stream(asked), "ch_1", 5_000))
    now_us = int(message.headers["webhook-timestamp"]) * SECOND_US
    live.services.inbox.receive("simulated", message.headers, message.body, now_us)
    killed = run_inbox_step(tmp_path, database_url, f"{point}:kill")
    assert killed.returncode == -9, killed.stderr
    raw_sql(database_url, "UPDATE job SET lease_expires_us = 1 WHERE status = 'leased'")
    live.services.inbox.step()
    assert has(live, buyer) == 5_000


def test_a_deal_is_paid_from_a_balance_topped_up_live(live: Play, database_url: str) -> None:
    """The whole way with real consent: page, message, GO by the buyer's key, settle by balance."""
    seller, buyer = live.agent("seller"), live.agent("buyer")
    asked = live.topup(buyer, 12_000)
    told(live, database_url, "m1", charge(stream(asked), "ch_1", 12_000))
    deal = live.proof(seller, 10_000)
    live.go(deal, buyer)
    settle = Settle(principal=buyer, deal_id=deal["deal_id"], provider="balance")
    assert live.services.engine.execute(settle).unwrap()["status"] == "settled"
    assert has(live, buyer) == 2_000
