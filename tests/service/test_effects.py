"""Effects: a rail is asked once, and whatever it does our books and its book agree in the end.

On both databases, through real settles and payouts. The fake is the rail alone, and it keeps its
own book, which every test reads.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.clock import SECOND_US, parse_time
from settlement.core.errors import LeaseLost, PaymentRefused
from settlement.core.operations import RailOutcome, RecordCharge, RequestPayout, Settle
from settlement.core.principal import SYSTEM
from settlement.core.rows import Job
from settlement.edge.rails.simulated import Behaviour, SimulatedRail
from settlement.service.audit import run_audit
from settlement.service.effects import EffectRunner
from settlement.service.jobs import JobQueue
from tests.support.effect_process import run_step
from tests.support.house import Play, house
from tests.support.logs import raw_sql
from tests.support.notes import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.core.principal import Principal
    from settlement.core.rail import Rail, RailAnswer, RailRequest
    from settlement.service.answers import Answer


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    """A house whose books must balance when the test has done with them."""
    with house(tmp_path, database_url) as services:
        yield Play(services)
        failed = run_audit(services.db).failed()
        assert failed == [], failed


def settling(play: Play) -> tuple[dict[str, Any], Principal]:
    """A deal whose settle waits for the rail, and its seller."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    answer = play.services.engine.execute(Settle(principal=seller, deal_id=deal["deal_id"]))
    assert answer.running
    return deal, seller


def due(url: str) -> None:
    """Let every job that waits be due."""
    raw_sql(url, "UPDATE job SET run_at_us = 0")


def run_out(url: str) -> None:
    """Let every lease run out."""
    raw_sql(url, "UPDATE job SET lease_expires_us = 1 WHERE status = 'leased'")


def effects_of(play: Play, deal: dict[str, Any]) -> list[dict[str, Any]]:
    """The deal's effects, oldest first."""
    return play.services.db.read(lambda tx: tx.all("deals_effects", deal_id=deal["deal_id"]))


def state_of(play: Play, deal: dict[str, Any]) -> str:
    return str(
        play.services.db.read(lambda tx: tx.one("deals_get", deal_id=deal["deal_id"]))["state"]
    )


def job_of(play: Play, effect: dict[str, Any]) -> Job:
    row = play.services.db.read(
        lambda tx: tx.one("job_find_by_dedup", job_type="effect", dedup_key=effect["effect_id"])
    )
    return Job(**row)


def settle(play: Play, deal: dict[str, Any], seller: Principal) -> Answer:
    return play.services.engine.execute(Settle(principal=seller, deal_id=deal["deal_id"]))


def charges(play: Play) -> list[str]:
    """What the rail's own book says was charged or paid out."""
    return [entry.obligation_key for entry in play.rail.entries()]


def runner(play: Play, rail: Rail, owner: str = "another") -> EffectRunner:
    """A second worker, with a rail of its own."""
    services = play.services
    jobs = JobQueue(services.db)
    return EffectRunner(services.db, services.engine, jobs, {"simulated": rail}, owner=owner)


# --- charges -------------------------------------------------------------------------------------


def test_a_charge_that_the_rail_confirms_settles_the_deal(play: Play) -> None:
    deal, seller = settling(play)
    assert play.services.effects.step() == 1
    (effect,) = effects_of(play, deal)
    assert (effect["state"], effect["ask_count"]) == ("confirmed", 0)
    assert job_of(play, effect).status == "done"
    again = settle(play, deal, seller)
    assert (again.running, again.replayed) == (False, True)
    assert again.unwrap()["gross_minor"] == 10_000
    assert charges(play) == [f"charge:{deal['deal_id']}:0"]
    assert play.services.effects.step() == 0


def test_a_decline_returns_the_deal_and_the_next_try_is_another_obligation(play: Play) -> None:
    """Broken build: the refused claim stays and the deal can never settle; or the second try
    uses the first one's key and gets the first one's refusal."""
    deal, seller = settling(play)
    play.rail.program([Behaviour(does="decline", first=1)])
    play.services.effects.step()
    (effect,) = effects_of(play, deal)
    assert (effect["state"], effect["refusal"]) == ("refused", "card_declined")
    assert state_of(play, deal) == "go_approved"
    assert charges(play) == []
    assert settle(play, deal, seller).running
    play.services.effects.step()
    assert state_of(play, deal) == "settled"
    assert charges(play) == [f"charge:{deal['deal_id']}:1"]


def test_the_caller_who_waits_is_told_why_the_rail_refused(
    tmp_path: Path, database_url: str, play: Play
) -> None:
    """By whichever process worked: the refused claim is gone, the effect remembers.

    Broken build: the caller is told to repeat, which would be a second try at the charge.
    """
    seller, buyer = play.agent("seller"), play.agent("buyer")
    play.rail.program([Behaviour(does="decline")])
    engine = play.services.engine
    engine.start()
    with house(tmp_path, database_url) as elsewhere:
        for worker in (play.services, elsewhere):
            deal = play.proof(seller)
            play.go(deal, buyer)
            call = Settle(principal=seller, deal_id=deal["deal_id"])
            with ThreadPoolExecutor(1) as caller:
                told = caller.submit(engine.execute, call, 30)
                until(lambda: engine.stats()["waiting"] == 1)
                worker.effects.step()
                error = told.result(30).error
            assert isinstance(error, PaymentRefused)
            assert error.reason == "card_declined"


# --- silence -------------------------------------------------------------------------------------


def test_a_charge_then_silence_ends_confirmed_by_asking(play: Play, database_url: str) -> None:
    """Broken build: silence counts as failure and is sent again under a new key: two charges."""
    deal, _ = settling(play)
    play.rail.program([Behaviour(does="charge_then_silence", first=1)])
    play.services.effects.step()
    (effect,) = effects_of(play, deal)
    assert effect["state"] == "unknown"
    assert state_of(play, deal) == "settling"
    assert play.services.effects.step() == 0  # it waits for its time
    due(database_url)
    play.services.effects.step()
    (effect,) = effects_of(play, deal)
    assert (effect["state"], effect["ask_count"]) == ("confirmed", 1)
    assert state_of(play, deal) == "settled"
    assert charges(play) == [f"charge:{deal['deal_id']}:0"]


def test_a_request_the_rail_never_got_is_sent_again_under_the_same_key(
    play: Play, database_url: str
) -> None:
    deal, _ = settling(play)
    play.rail.program([Behaviour(does="silence_without_charge", first=1)])
    play.services.effects.step()
    due(database_url)
    play.services.effects.step()
    assert state_of(play, deal) == "settled"
    assert charges(play) == [f"charge:{deal['deal_id']}:0"]
    assert len(effects_of(play, deal)) == 1


def test_within_the_lookup_lag_nothing_is_sent_again(
    play: Play, tmp_path: Path, database_url: str
) -> None:
    """Broken build: "no such request" is believed at once, and a late first one charges too."""
    deal, _ = settling(play)
    slow = SimulatedRail(tmp_path / "rail", lookup_lag_seconds=3600)
    play.rail.program([Behaviour(does="silence_without_charge", first=1)])
    worker = runner(play, slow)
    for _ in range(3):
        worker.step()
        due(database_url)
    assert effects_of(play, deal)[0]["state"] == "unknown"
    assert charges(play) == []
    raw_sql(database_url, "UPDATE effect SET sent_at = '2020-01-01T00:00:00.000000Z'")
    worker.step()
    assert state_of(play, deal) == "settled"
    worker.close()


def test_questions_come_at_growing_distances_without_end_and_use_no_attempt(
    play: Play, database_url: str
) -> None:
    """Broken build: an effect job dies of silence, and its money is never asked about again."""
    deal, _ = settling(play)
    play.rail.program([Behaviour(does="outage")])
    delays = []
    for _ in range(11):
        due(database_url)
        play.services.effects.step()
        job = job_of(play, effects_of(play, deal)[0])
        # Lease time and wall time are read one after the other, so they differ by a little.
        delays.append(round((job.run_at_us - parse_time(job.updated_at)) / SECOND_US))
        assert (job.status, job.attempts) == ("retry", 0)
    assert delays == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert effects_of(play, deal)[0]["ask_count"] == 10
    play.behave()
    due(database_url)
    play.services.effects.step()
    assert state_of(play, deal) == "settled"


def test_an_adapter_that_fails_leaves_the_outcome_unknown(play: Play, database_url: str) -> None:
    """Broken build: an error nobody expected is taken for "it did not happen"."""

    class Broken(SimulatedRail):
        def send(self, request: RailRequest) -> RailAnswer:
            super().send(request)
            raise KeyError("the provider's answer had no such member")

    deal, _ = settling(play)
    worker = runner(play, Broken(play.services.settings.rail_dir))
    worker.step()
    worker.close()
    assert effects_of(play, deal)[0]["state"] == "unknown"
    due(database_url)
    play.services.effects.step()
    assert state_of(play, deal) == "settled"
    assert len(charges(play)) == 1


def test_an_effect_of_a_rail_we_do_not_have_is_not_marked_sent(play: Play) -> None:
    deal, _ = settling(play)
    services = play.services
    jobs = JobQueue(services.db)
    worker = EffectRunner(services.db, services.engine, jobs, {}, owner="w")
    worker.step()
    worker.close()
    (effect,) = effects_of(play, deal)
    assert effect["state"] == "planned"
    assert job_of(play, effect).status == "retry"


# --- leases and fences ---------------------------------------------------------------------------


class Held(SimulatedRail):
    """Holds each call between the charge and the answer."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.reached = threading.Event()
        self.opened = threading.Event()

    def send(self, request: RailRequest) -> RailAnswer:
        answer = super().send(request)
        self.reached.set()
        assert self.opened.wait(30)
        return answer


def test_a_worker_that_overslept_records_nothing(play: Play, database_url: str) -> None:
    """Two workers, one effect: the first has charged, and its lease runs out before it records.

    Broken build: without the fence both record, and the second settle of one charge is booked.
    """
    deal, _ = settling(play)
    held = Held(play.services.settings.rail_dir)
    late = runner(play, held, "late")
    thread = threading.Thread(target=late.step)
    thread.start()
    assert held.reached.wait(30)
    run_out(database_url)
    play.services.effects.step()  # asks: the first may have sent
    (effect,) = effects_of(play, deal)
    assert (effect["state"], effect["ask_count"]) == ("confirmed", 1)
    before = play.services.db.read(lambda tx: tx.all("deals_transfers", deal_id=deal["deal_id"]))
    held.opened.set()
    thread.join(30)
    late.close()
    after = play.services.db.read(lambda tx: tx.all("deals_transfers", deal_id=deal["deal_id"]))
    assert after == before
    assert job_of(play, effect).status == "done"
    assert len(charges(play)) == 1


def test_an_answer_under_an_old_fence_is_refused(play: Play, database_url: str) -> None:
    deal, _ = settling(play)
    play.rail.program([Behaviour(does="outage")])
    play.services.effects.step()
    due(database_url)
    play.services.effects.step()
    (effect,) = effects_of(play, deal)
    stale = RecordCharge(
        principal=SYSTEM,
        effect_id=effect["effect_id"],
        deal_id=deal["deal_id"],
        fence=effect["fence"] - 1,
        outcome=RailOutcome(state="confirmed", rail_ref="sim_x"),
    )
    assert isinstance(play.services.engine.execute(stale).error, LeaseLost)
    assert state_of(play, deal) == "settling"


def test_what_a_closing_engine_did_not_book_is_asked_about_later(
    play: Play, database_url: str
) -> None:
    deal, _ = settling(play)
    engine = play.services.engine
    engine.start()
    engine.close()
    play.services.effects.step()
    (effect,) = effects_of(play, deal)
    assert effect["state"] == "sent"
    assert job_of(play, effect).status == "retry"
    due(database_url)
    with house(play.services.settings.rail_dir.parent, database_url) as restarted:
        restarted.effects.step()
    assert state_of(play, deal) == "settled"
    assert len(charges(play)) == 1


def test_several_workers_take_each_effect_once(play: Play) -> None:
    """Broken build: a job that two can claim; the rail's key alone then saves the money."""
    deals = [settling(play)[0] for _ in range(12)]
    workers = [runner(play, play.rail, f"w{n}") for n in range(3)]
    start = threading.Barrier(3)

    def work(worker: EffectRunner) -> None:
        start.wait(30)
        while worker.step(3):
            pass

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for worker in workers:
        worker.close()
    assert {state_of(play, deal) for deal in deals} == {"settled"}
    assert sorted(charges(play)) == sorted(f"charge:{deal['deal_id']}:0" for deal in deals)
    assert {job_of(play, effects_of(play, deal)[0]).attempts for deal in deals} == {1}


# --- payouts -------------------------------------------------------------------------------------


def test_a_payout_that_is_refused_frees_the_money_and_may_be_asked_again(play: Play) -> None:
    deal, seller = settling(play)
    play.services.effects.step()
    play.rail.program([Behaviour(does="decline", match="payout:", first=1)])
    ask = RequestPayout(principal=seller, deal_id=deal["deal_id"], agent_id=str(seller.agent_id))
    assert play.services.engine.execute(ask).running
    play.services.effects.step()
    assert [effect["state"] for effect in effects_of(play, deal)] == ["confirmed", "refused"]
    assert play.services.engine.execute(ask).running
    play.services.effects.step()
    again = play.services.engine.execute(ask)
    assert (again.replayed, again.unwrap()["state"]) == (True, "confirmed")
    payouts = [key for key in charges(play) if key.startswith("payout:")]
    assert payouts == [f"payout:{deal['deal_id']}:{seller.agent_id}:1"]


def test_the_hold_of_a_payout_stays_while_its_outcome_is_unknown(
    play: Play, database_url: str
) -> None:
    """Broken build: silence frees the hold, the payee asks again, and is paid twice."""
    deal, seller = settling(play)
    play.services.effects.step()
    play.rail.program([Behaviour(does="charge_then_silence", match="payout:", first=1)])
    ask = RequestPayout(principal=seller, deal_id=deal["deal_id"], agent_id=str(seller.agent_id))
    play.services.engine.execute(ask)
    play.services.effects.step()
    unknown = play.services.engine.execute(ask)
    assert (unknown.running, unknown.replayed) == (True, True)
    due(database_url)
    play.services.effects.step()
    assert play.services.engine.execute(ask).unwrap()["state"] == "confirmed"
    assert len([key for key in charges(play) if key.startswith("payout:")]) == 1


# --- kills ---------------------------------------------------------------------------------------


@pytest.mark.chaos
@pytest.mark.parametrize(
    "point",
    [
        "effect.before_send",
        "effect.after_send",
        "effect.after_record",
        "engine.before_commit",
        "engine.after_commit",
    ],
)
def test_killed_anywhere_around_the_call_one_charge_is_made_and_booked(
    play: Play, tmp_path: Path, database_url: str, point: str
) -> None:
    """Broken build: the effect is not marked sent before the call, or a sent one is sent again
    under another key; the rail's book then has two charges, or ours has none."""
    deal, seller = settling(play)
    killed = run_step(tmp_path, database_url, f"{point}:kill")
    assert killed.returncode == -9, killed.stderr
    assert f"fault {point}: kill" in killed.stderr
    (effect,) = effects_of(play, deal)
    assert effect["state"] in ("sent", "confirmed")
    run_out(database_url)
    play.services.effects.step()
    (effect,) = effects_of(play, deal)
    assert effect["state"] == "confirmed"
    assert job_of(play, effect).status == "done"
    assert settle(play, deal, seller).unwrap()["status"]
    assert charges(play) == [f"charge:{deal['deal_id']}:0"]
    with house(tmp_path, database_url) as services:
        booked = services.db.read(lambda tx: tx.all("deals_transfers", deal_id=deal["deal_id"]))
    assert [row["kind"] for row in booked].count("charge") == 1
