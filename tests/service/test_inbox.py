"""Rails' messages applied: money is booked once, and no message can move what it should not.

On both databases, through real deals; the messages come in signed, as over HTTP.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.clock import SECOND_US
from settlement.core.obligations import rail_key
from settlement.core.operations import Settle
from settlement.edge.rails.simulated import Behaviour
from settlement.service import health, inbox_plan
from settlement.service import inbox as inbox_module
from settlement.service.audit import run_audit
from settlement.service.inbox_dismiss import dismiss
from settlement.service.inbox_plan import OTHER_AMOUNT, Plan
from settlement.store import operator
from tests.support.house import Play, house
from tests.support.inbox_process import run_inbox_step
from tests.support.logs import raw_sql
from tests.support.rows import read_rows
from tests.support.signed import SETTINGS, charge, payout, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.core.inbound import RailNews
    from settlement.store.database import Tx
    from settlement.store.inbox import InboxRow


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    """A house whose books must balance when the test has done with them."""
    with house(tmp_path, database_url, None, **SETTINGS) as services:
        yield Play(services)
        failed = run_audit(services.db).failed()
        assert failed == [], failed


def tell(play: Play, message_id: str, members: Any) -> str:
    """A message comes in; our id for it."""
    message = signed(message_id, members)
    now_us = int(message.headers["webhook-timestamp"]) * SECOND_US
    return play.services.inbox.receive("simulated", message.headers, message.body, now_us).event_id


def apply(play: Play, url: str) -> None:
    """Everything that came in is looked at once."""
    raw_sql(url, "UPDATE job SET run_at_us = 0")
    play.services.inbox.step()


def status(play: Play, event_id: str) -> tuple[str, str | None]:
    row = play.services.db.read(lambda tx: tx.one("inbox_get", event_id=event_id))
    return row["status"], row["note"]


def told(play: Play, url: str, message_id: str, members: Any) -> tuple[str, str | None]:
    """A message comes in and is applied; what became of it."""
    event_id = tell(play, message_id, members)
    apply(play, url)
    return status(play, event_id)


def approved(play: Play) -> dict[str, Any]:
    """A deal that waits for its money."""
    deal = play.proof(play.agent("seller"))
    play.go(deal, play.agent("buyer"))
    return deal


def paid_in(play: Play, deal: dict[str, Any]) -> list[int]:
    """What rails' charges have brought into the deal's escrow, one by one."""
    rows = play.services.db.read(lambda tx: tx.all("deals_transfers", deal_id=deal["deal_id"]))
    return [row["amount_minor"] for row in rows if row["kind"] == "charge"]


def effect_of(play: Play, deal: dict[str, Any], kind: str) -> dict[str, Any]:
    rows = play.services.db.read(lambda tx: tx.all("deals_effects", deal_id=deal["deal_id"]))
    return next(row for row in rows if row["kind"] == kind)


# --- money paid in -------------------------------------------------------------------------------


def test_a_charge_funds_the_escrow_and_the_settle_needs_no_rail(
    play: Play, database_url: str
) -> None:
    deal = approved(play)
    assert told(play, database_url, "msg_1", charge(deal["deal_id"], "ch_1")) == ("applied", None)
    assert paid_in(play, deal) == [10_000]
    assert read_rows(database_url, "SELECT count(*) FROM effect") == [(0,)]


def test_two_messages_about_one_charge_book_it_once(play: Play, database_url: str) -> None:
    """Broken build: the message is the key, and a rail that tells the same charge under two types
    (Stripe does) funds the escrow twice."""
    deal = approved(play)
    told(play, database_url, "msg_1", charge(deal["deal_id"], "ch_1"))
    again, note = told(play, database_url, "msg_2", charge(deal["deal_id"], "ch_1"))
    assert (again, note) == ("ignored", "booked by an earlier message about the same charge")
    assert paid_in(play, deal) == [10_000]


def test_two_messages_about_one_charge_at_once_book_it_once(play: Play, database_url: str) -> None:
    deal = approved(play)
    events = [tell(play, f"msg_{n}", charge(deal["deal_id"], "ch_1")) for n in range(5)]
    apply(play, database_url)
    found = sorted(status(play, event)[0] for event in events)
    assert found == ["applied", "ignored", "ignored", "ignored", "ignored"]
    assert paid_in(play, deal) == [10_000]


def test_one_charge_is_not_two_deals_money(
    play: Play, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Broken build: the charge's reference is unique per deal only, and a message that names
    another deal turns one payment into two."""
    one, other = approved(play), approved(play)
    told(play, database_url, "msg_1", charge(one["deal_id"], "ch_1"))
    found, _ = told(play, database_url, "msg_2", charge(other["deal_id"], "ch_1"))
    assert found == "contradiction"
    assert (paid_in(play, one), paid_in(play, other)) == ([10_000], [])
    assert [r.levelno for r in caplog.records if "inbox evt_" in r.message][-1] == logging.ERROR


def test_another_amount_stays_in_escrow_and_alarms(
    play: Play, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    deal = approved(play)
    found = told(play, database_url, "msg_1", charge(deal["deal_id"], "ch_1", 9_000))
    assert found == ("applied", OTHER_AMOUNT)
    assert paid_in(play, deal) == [9_000]
    assert any(r.levelno == logging.ERROR and OTHER_AMOUNT in r.message for r in caplog.records)


@pytest.mark.parametrize(
    "data",
    [
        {"amount_minor": 99.5},
        {"amount_minor": "100"},
        {"amount_minor": True},
        {"amount_minor": -1},
        {"amount_minor": 0},
        {"amount_minor": 10**30},
        {"asset": "EUR/2"},
        {"asset": "USD/3"},
        {"rail_ref": ""},
        {"rail_ref": None},
    ],
)
def test_what_is_no_amount_of_the_deals_asset_is_kept_and_not_booked(
    play: Play, database_url: str, data: dict[str, Any]
) -> None:
    deal = approved(play)
    members = charge(deal["deal_id"], "ch_1")
    members["data"].update(data)
    assert told(play, database_url, "msg_1", members)[0] == "contradiction"
    assert paid_in(play, deal) == []


@pytest.mark.parametrize("deal_id", ["deal_nobody", None, "", "deal_\x00"])
def test_money_for_no_known_deal_is_kept_and_alarms(
    play: Play, database_url: str, deal_id: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Broken build: the job fails until it is dead, and nobody knows of the money."""
    found, note = told(play, database_url, "msg_1", charge(deal_id, "ch_1"))
    assert found == "contradiction"
    assert note is not None
    assert "ch_1" in note
    assert any(r.levelno == logging.ERROR for r in caplog.records)
    assert read_rows(database_url, "SELECT status FROM job") == [("done",)]


def test_money_for_a_settled_deal_is_kept_and_alarms(play: Play, database_url: str) -> None:
    seller = play.agent("seller")
    deal = play.proof(seller)
    play.go(deal, play.agent("buyer"))
    play.services.engine.execute(Settle(principal=seller, deal_id=deal["deal_id"]))
    play.work()
    found, _ = told(play, database_url, "msg_1", charge(deal["deal_id"], "ch_late"))
    assert found == "contradiction"
    assert paid_in(play, deal) == [10_000]


def test_unknown_types_are_kept_and_ignored(play: Play, database_url: str) -> None:
    deal = approved(play)
    for n, kind in enumerate(("customer.created", "charge.updated", "", None)):
        members = charge(deal["deal_id"], "ch_1", type=kind)
        assert told(play, database_url, f"msg_{n}", members)[0] == "ignored"
    assert paid_in(play, deal) == []
    assert read_rows(database_url, "SELECT count(*) FROM inbox") == [(4,)]


def test_a_refusal_before_the_charge_changes_nothing_and_one_after_contradicts(
    play: Play, database_url: str
) -> None:
    deal = approved(play)
    failed = charge(deal["deal_id"], "ch_1", type="charge.failed")
    assert told(play, database_url, "msg_1", failed)[0] == "ignored"
    assert told(play, database_url, "msg_2", charge(deal["deal_id"], "ch_1"))[0] == "applied"
    assert told(play, database_url, "msg_3", failed)[0] == "contradiction"
    assert paid_in(play, deal) == [10_000]


# --- charges we asked for ------------------------------------------------------------------------


def test_a_message_about_our_own_charge_answers_its_effect(play: Play, database_url: str) -> None:
    """Broken build: the message is taken for a payment of its own, and the deal's escrow gets the
    charge twice."""
    seller = play.agent("seller")
    deal = play.proof(seller)
    play.go(deal, play.agent("buyer"))
    play.rail.program([Behaviour(does="charge_then_silence")])
    assert play.services.engine.execute(Settle(principal=seller, deal_id=deal["deal_id"])).running
    play.services.effects.step()
    effect = effect_of(play, deal, "charge")
    assert effect["state"] == "unknown"
    (entry,) = play.rail.entries()
    news = charge(deal["deal_id"], entry.rail_ref, rail_key=rail_key(effect["obligation_key"]))
    assert told(play, database_url, "msg_1", news)[0] == "applied"
    assert effect_of(play, deal, "charge")["state"] == "confirmed"
    assert told(play, database_url, "msg_2", news)[0] == "ignored"
    without_key = charge(deal["deal_id"], entry.rail_ref)
    assert told(play, database_url, "msg_3", without_key)[0] == "ignored"
    second = charge(deal["deal_id"], "ch_2", rail_key=rail_key(effect["obligation_key"]))
    assert told(play, database_url, "msg_4", second)[0] == "contradiction"
    raw_sql(database_url, "UPDATE job SET run_at_us = 0")
    play.work()
    assert paid_in(play, deal) == [10_000]
    assert len(play.rail.entries()) == 1


def test_money_waits_while_a_charge_of_the_deal_is_undecided(play: Play, database_url: str) -> None:
    """Broken build: a message that names no key of ours books the very charge whose answer was
    lost, and the answer books it again."""
    seller = play.agent("seller")
    deal = play.proof(seller)
    play.go(deal, play.agent("buyer"))
    play.rail.program([Behaviour(does="charge_then_silence")])
    play.services.engine.execute(Settle(principal=seller, deal_id=deal["deal_id"]))
    play.services.effects.step()
    (entry,) = play.rail.entries()
    event_id = tell(play, "msg_1", charge(deal["deal_id"], entry.rail_ref))
    apply(play, database_url)
    assert status(play, event_id)[0] == "new"
    play.services.effects.step()
    assert effect_of(play, deal, "charge")["state"] == "confirmed"
    apply(play, database_url)
    assert status(play, event_id)[0] == "ignored"
    assert paid_in(play, deal) == [10_000]


# --- payouts -------------------------------------------------------------------------------------


def paying(play: Play) -> tuple[dict[str, Any], dict[str, Any], str]:
    """A deal whose payout the rail made, or not, without a word; its effect and rail key."""
    seller = play.agent("seller")
    deal = play.proof(seller)
    play.go(deal, play.agent("buyer"))
    play.services.engine.execute(Settle(principal=seller, deal_id=deal["deal_id"]))
    play.work()
    play.rail.program([Behaviour(does="outage", match="payout:")])
    play.payout(deal, seller)
    play.services.effects.step()
    effect = effect_of(play, deal, "payout")
    assert effect["state"] == "unknown"
    return deal, effect, rail_key(effect["obligation_key"])


def holds(url: str) -> list[tuple[Any, ...]]:
    return read_rows(
        url, "SELECT phase FROM transfer WHERE kind = 'payout' ORDER BY leg, booked_at"
    )


@pytest.mark.parametrize(
    ("kind", "state", "phase"),
    [("payout.paid", "confirmed", "post"), ("payout.failed", "refused", "void")],
)
def test_news_of_a_payout_answers_it_once(
    play: Play, database_url: str, kind: str, state: str, phase: str
) -> None:
    deal, effect, key = paying(play)
    assert told(play, database_url, "msg_1", payout(effect, key, kind))[0] == "applied"
    assert effect_of(play, deal, "payout")["state"] == state
    assert told(play, database_url, "msg_2", payout(effect, key, kind))[0] == "ignored"
    assert sorted(holds(database_url)) == sorted([("hold",), (phase,)])


@pytest.mark.parametrize("first", ["payout.paid", "payout.failed"])
def test_the_opposite_of_what_was_said_contradicts_and_moves_nothing(
    play: Play, database_url: str, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Broken build: the last message wins, and a hold that was paid out is freed to be paid
    again."""
    deal, effect, key = paying(play)
    second = {"payout.paid": "payout.failed", "payout.failed": "payout.paid"}[first]
    events = [
        tell(play, "msg_1", payout(effect, key, first)),
        tell(play, "msg_2", payout(effect, key, second)),
    ]
    apply(play, database_url)
    apply(play, database_url)
    assert sorted(status(play, event)[0] for event in events) == ["applied", "contradiction"]
    assert len(holds(database_url)) == 2
    assert any(r.levelno == logging.ERROR and "inbox" in r.message for r in caplog.records)
    assert effect_of(play, deal, "payout")["state"] in ("confirmed", "refused")


def test_news_of_another_amount_or_of_no_payout_of_ours_contradicts(
    play: Play, database_url: str
) -> None:
    deal, effect, key = paying(play)
    other = payout(effect, key, amount_minor=effect["amount_minor"] + 1)
    assert told(play, database_url, "msg_1", other)[0] == "contradiction"
    assert told(play, database_url, "msg_2", payout(effect, "f" * 32))[0] == "contradiction"
    assert effect_of(play, deal, "payout")["state"] == "unknown"
    assert holds(database_url) == [("hold",)]


def test_a_job_that_hears_the_rail_after_the_message_stops_quietly(
    play: Play, database_url: str
) -> None:
    deal, effect, key = paying(play)
    told(play, database_url, "msg_1", payout(effect, key))
    play.behave()
    raw_sql(database_url, "UPDATE job SET run_at_us = 0")
    play.work()
    assert effect_of(play, deal, "payout")["state"] == "confirmed"
    assert sorted(holds(database_url)) == [("hold",), ("post",)]


# --- kills ---------------------------------------------------------------------------------------


@pytest.mark.chaos
@pytest.mark.parametrize(
    "point",
    ["inbox.before_apply", "engine.before_commit", "engine.after_commit", "inbox.after_apply"],
)
def test_killed_while_applying_the_money_is_booked_once(
    play: Play, tmp_path: Path, database_url: str, point: str
) -> None:
    """Broken build: the message is closed before its money is booked, or applied again without a
    key after it was booked and not closed."""
    deal = approved(play)
    event_id = tell(play, "msg_1", charge(deal["deal_id"], "ch_1"))
    killed = run_inbox_step(tmp_path, database_url, f"{point}:kill")
    assert killed.returncode == -9, killed.stderr
    assert f"fault {point}: kill" in killed.stderr
    raw_sql(database_url, "UPDATE job SET lease_expires_us = 1 WHERE status = 'leased'")
    apply(play, database_url)
    assert status(play, event_id) == ("applied", None)
    assert paid_in(play, deal) == [10_000]


# --- faults of ours ------------------------------------------------------------------------------


def job_of(play: Play, event_id: str) -> dict[str, Any]:
    """The job that applies the message."""
    row = play.services.db.read(
        lambda tx: tx.one("job_find_by_dedup", job_type="webhook_inbound", dedup_key=event_id)
    )
    return dict(row)


def test_a_message_that_cannot_be_planned_fails_alone_and_is_dead_in_the_end(
    play: Play, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: the exception ends the step, so that one message keeps all others from being
    applied for ever; or it is closed as a contradiction, and never applied when we are mended."""
    deal = approved(play)
    bad = tell(play, "msg_bad", charge("deal_bad", "ch_bad"))
    good = tell(play, "msg_good", charge(deal["deal_id"], "ch_good"))
    real = inbox_plan.plan

    def plan(tx: Tx, message: InboxRow, news: RailNews) -> Plan:
        if message.event_id == bad:
            raise KeyError("a member nobody thought of")
        return real(tx, message, news)

    monkeypatch.setattr(inbox_module, "plan", plan)
    apply(play, database_url)
    assert status(play, good) == ("applied", None)
    assert status(play, bad)[0] == "new"
    assert (job_of(play, bad)["status"], job_of(play, bad)["attempts"]) == ("retry", 1)
    assert "a member nobody thought of" in job_of(play, bad)["last_error"]
    for _ in range(7):
        apply(play, database_url)
    assert job_of(play, bad)["status"] == "dead"
    figures = health.figures(play.services.db, play.services.log_views)
    assert (figures["dead_jobs"], figures["unapplied_messages"]) == (1, 1)
    monkeypatch.setattr(inbox_module, "plan", real)
    play.services.jobs.requeue(job_of(play, bad)["job_id"], "mended", "ops")
    apply(play, database_url)
    assert status(play, bad)[0] == "contradiction"


def test_a_statement_that_fails_while_planning_fails_its_message_only(
    play: Play, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: all messages are planned in the transaction that leases them, which a failed
    statement ends for all."""
    deal = approved(play)
    bad = tell(play, "msg_bad", charge("deal_bad", "ch_bad"))
    good = tell(play, "msg_good", charge(deal["deal_id"], "ch_good"))
    real = inbox_plan.plan

    def plan(tx: Tx, message: InboxRow, news: RailNews) -> Plan:
        if message.event_id == bad:
            tx.one("inbox_get")  # a parameter is missing
        return real(tx, message, news)

    monkeypatch.setattr(inbox_module, "plan", plan)
    apply(play, database_url)
    assert status(play, good) == ("applied", None)
    assert (status(play, bad)[0], job_of(play, bad)["status"]) == ("new", "retry")


def test_contradictions_are_counted_until_somebody_has_looked(
    play: Play, database_url: str
) -> None:
    """Broken build: a contradiction is a line in a log that nobody reads."""
    services = play.services
    event_id = tell(play, "msg_1", charge("deal_unknown", "ch_1"))
    apply(play, database_url)
    assert health.figures(services.db, services.log_views)["contradictions"] == 1
    (row,) = operator.inbox(services.db, "contradiction", 10).rows
    assert (row["event_id"], row["source"]) == (event_id, "simulated")
    assert "body" not in row
    assert dismiss(services.db, event_id, reason="refunded by hand", operator="ops") is True
    assert dismiss(services.db, event_id, reason="again", operator="ops") is False
    assert health.figures(services.db, services.log_views)["contradictions"] == 0
    state, note = status(play, event_id)
    assert state == "ignored"
    assert note is not None
    assert note.startswith("dismissed by ops: refunded by hand; was: ")
