"""Lists for operators: ages, what each waits for, and nothing that is nobody's business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from settlement.service import pauses
from settlement.service.jobs import JobQueue
from settlement.store.pauses import Switch
from tests.cli.running import run
from tests.support.house import Play, house
from tests.support.logs import raw_sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.core.rows import Job
    from settlement.store.database import Tx


@pytest.fixture
def play(tmp_path: Path, sqlite_url: str) -> Iterator[Play]:
    with house(tmp_path, sqlite_url) as services:
        yield Play(services)


def listed(tmp_path: Path, url: str, *arguments: str) -> dict[str, Any]:
    ran = run(tmp_path, *arguments, "--json", SETTLEMENT_DATABASE=url)
    assert ran.code == 0, ran
    return ran.json()


def test_a_payout_that_waits_for_a_pause_says_so_in_every_list(
    play: Play, tmp_path: Path, sqlite_url: str
) -> None:
    """Broken build: the list shows a state, and the operator has to guess what it waits for."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    (effect,) = listed(tmp_path, sqlite_url, "effects", "--open")["effects"]
    assert effect["waiting_for"] == "a worker that sends it"
    raw_sql(sqlite_url, "UPDATE effect SET state = 'sent'")
    assert len(listed(tmp_path, sqlite_url, "effects", "--open")["effects"]) == 1
    raw_sql(sqlite_url, "UPDATE effect SET state = 'planned'")
    play.work()
    play.payout(deal, seller)
    pauses.change(
        play.services.db, Switch.PAYOUT, paused=True, reason="bank holiday", operator="ops"
    )
    play.services.effects.step()
    (effect, paid) = listed(tmp_path, sqlite_url, "effects")["effects"]
    assert (effect["state"], effect["waiting_for"]) == ("planned", "paused: payout")
    assert (paid["state"], paid["waiting_for"]) == ("confirmed", None)
    assert effect["age_seconds"] >= 0
    job = listed(tmp_path, sqlite_url, "jobs")["jobs"][0]
    assert (job["status"], job["waiting_for"]) == ("retry", "paused: payout")
    assert not {"payload", "plan", "destination"} & {*job, *effect}
    switches = {one["switch"]: one for one in listed(tmp_path, sqlite_url, "pause")["switches"]}
    assert (switches["payout"]["paused"], switches["payout"]["reason"]) == (True, "bank holiday")
    assert switches["go"]["paused"] is False
    again = ("pause", "payout", "--reason", "again", "--database", sqlite_url)
    assert f"already paused, since {switches['payout']['since']}" in run(tmp_path, *again).out
    done = listed(tmp_path, sqlite_url, "resume", "payout", "--reason", "over")
    assert (done["changed"], done["paused"]) == (True, [])


def test_the_outbox_lists_what_waits_and_what_is_parked(
    play: Play, tmp_path: Path, sqlite_url: str
) -> None:
    play.agent("seller")
    (row,) = listed(tmp_path, sqlite_url, "outbox")["outbox"]
    assert (row["event_type"], row["waiting_for"]) == ("AGENT_REGISTERED", "the relay")
    raw_sql(sqlite_url, "UPDATE outbox SET status = 'parked'")
    (row,) = listed(tmp_path, sqlite_url, "outbox", "--state", "parked")["outbox"]
    assert row["waiting_for"] == "an operator (settlement outbox release)"


def test_a_dead_job_is_requeued_with_a_reason(play: Play, tmp_path: Path, sqlite_url: str) -> None:
    """Broken build: only SQL brings a dead job back, and nobody knows who did it."""
    queue = JobQueue(play.services.db)

    def put(tx: Tx) -> Job:
        return queue.enqueue(tx, "verify", "deal_a")

    job_id = play.services.db.transaction(put).job_id
    raw_sql(sqlite_url, "UPDATE job SET status = 'dead', attempts = 8")
    (dead,) = listed(tmp_path, sqlite_url, "jobs", "--status", "dead")["jobs"]
    assert dead["waiting_for"] == "an operator (settlement jobs requeue)"
    again = ("jobs", "requeue", job_id, "--reason", "rail is back", "--operator", "ops")
    assert listed(tmp_path, sqlite_url, *again)["changed"] is True
    assert listed(tmp_path, sqlite_url, *again)["changed"] is False
    (job,) = listed(tmp_path, sqlite_url, "jobs")["jobs"]
    assert (job["status"], job["last_error"]) == ("queued", "requeued by ops: rail is back")


def test_effects_are_found_by_deal_and_by_agent(
    play: Play, tmp_path: Path, sqlite_url: str
) -> None:
    """Broken build: what was done with a stolen key drowns in everybody's effects, or its top-ups,
    which have no deal, are left out."""
    seller, buyer, other = play.agent("seller"), play.agent("buyer"), play.agent("other")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    play.topup(other, 500)

    def found(*only: str) -> list[tuple[str, str]]:
        rows = listed(tmp_path, sqlite_url, "effects", *only)["effects"]
        return [(row["kind"], row["deal_id"][:4]) for row in rows]

    assert len(found()) == 2
    assert found("--deal", deal["deal_id"]) == [("charge", "deal")]
    assert found("--agent", str(seller.agent_id)) == [("charge", "deal")]
    assert found("--agent", str(buyer.agent_id)) == [("charge", "deal")]
    assert found("--agent", str(other.agent_id)) == [("charge", "sys_")]
    assert found("--agent", str(seller.agent_id), "--open") == []


def test_a_start_says_that_what_is_in_flight_will_be_asked(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    """Broken build: after a crash what a rail was sent looks like nothing, and is paid by hand."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    with caplog.at_level("INFO"):
        play.services.start(with_loops=False)
    assert "1 effects in flight (1 planned), their rails will be asked" in caplog.text
