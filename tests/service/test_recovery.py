"""After a restore: a new epoch, everything in doubt, no second charge (spec §6.4, §7, §17.2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from settlement.core.rail import RailSilent
from settlement.edge.rails.simulated import (
    CHARGE_THEN_SILENCE,
    OUTAGE,
    Behaviour,
    SimulatedRail,
)
from settlement.service.audit import run_audit
from settlement.service.deliveries import Deliveries
from settlement.service.leases import LeaseTable
from settlement.service.rail_statements import import_lists
from settlement.service.reconcile import reconcile
from settlement.service.recovery import release_deliveries
from settlement.service.replay import replay_deal
from settlement.store import webhooks as rows
from settlement.store.recovery import EPOCH_FENCES, read_recovery
from tests.support.archives import back_up, restore
from tests.support.house import Play, house
from tests.support.raw import open_raw, sql

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from settlement.core.principal import Principal
    from settlement.core.rail import RailAnswer, RailRequest
    from settlement.wiring import Services


class Site:
    """A database and a rail that outlives it: what the rail did stays done when we restore."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url
        self.seller: Principal
        self.buyer: Principal

    def open(self) -> AbstractContextManager[Services]:
        return house(self.directory, self.url)

    def rail_charges(self) -> list[str]:
        rail = SimulatedRail(self.directory / "rail")
        try:
            return [entry.obligation_key for entry in rail.entries()]
        finally:
            rail.close()


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Site:
    return Site(tmp_path, database_url)


def yesterday(site: Site, deals: int = 3) -> tuple[Path, list[dict[str, str]]]:
    """Approved deals, one of them settling while nobody works; a backup of that."""
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        site.seller, site.buyer = play.agent("seller"), play.agent("buyer")
        made = [play.proof(site.seller, price_minor=5_000 + n) for n in range(deals)]
        for deal in made:
            play.go(deal, site.buyer)
        play.settle(made[0], site.seller)
        archive = back_up(services, site.directory / "out").path
    return archive, made


def the_lost_day(site: Site, deals: list[dict[str, str]]) -> None:
    """What the backup does not know: every deal charged, settled and paid out at the rail."""
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        for deal in deals[1:]:
            play.settle(deal, site.seller)
        play.work()
        for deal in deals:
            play.payout(deal, site.seller)
        play.work()


def test_replaying_every_request_after_a_restore_charges_nobody_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a runner that sends what it finds planned: the rail would be asked for money that it
    moved in the time that was lost. A rail that still knows the key would save us; one that
    forgets keys after a day would not, so nothing may be sent at all."""
    archive, deals = yesterday(site)
    the_lost_day(site, deals)
    before = site.rail_charges()
    assert len(before) == 2 * len(deals)
    restore(archive, site.url)
    sent: list[str] = []
    send = SimulatedRail.send

    def heard(rail: SimulatedRail, request: RailRequest) -> RailAnswer:
        sent.append(request.obligation_key)
        return send(rail, request)

    monkeypatch.setattr(SimulatedRail, "send", heard)
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        for deal in deals:
            play.settle(deal, site.seller)
        play.work()
        report = reconcile(services.db, services.rails, "ops")
        assert report.complete
        assert report.unparked
        play.work()
        for deal in deals:
            play.payout(deal, site.seller)
        play.work()
        assert {replay_deal(services.db, deal["deal_id"])["verdict"] for deal in deals} == {"clean"}
        assert run_audit(services.db).clean
    assert sent == []
    assert site.rail_charges() == before


def test_the_audit_names_what_a_restore_lost_until_the_repeats_have_booked_it(site: Site) -> None:
    """Catches a check 32 that has no eye for money of the lost time, and one whose alarm stays when
    every movement has found its line."""
    archive, deals = yesterday(site)
    the_lost_day(site, deals)
    restore(archive, site.url)
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        reconcile(services.db, services.rails, "ops")
        (taken,) = import_lists(services.db, services.rails)
        assert taken.new == 2 * len(deals)
        failed = run_audit(services.db).failed()
        assert [one.number for one in failed] == [32]
        assert "nothing in the books belongs to it" in str(failed[0].reason)
        for deal in deals:
            play.settle(deal, site.seller)
        play.work()
        for deal in deals:
            play.payout(deal, site.seller)
        play.work()
        assert import_lists(services.db, services.rails)[0].known == 2 * len(deals)
        report = run_audit(services.db)
        assert report.clean, report.failed()
        assert 32 in report.numbers("ok")


def test_nothing_is_sent_before_reconciling_and_work_goes_on_afterwards(site: Site) -> None:
    """Catches a restore that leaves its jobs free to run."""
    archive, deals = yesterday(site)
    restore(archive, site.url)
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        play.settle(deals[1], site.seller)
        play.work()
        assert site.rail_charges() == []
        report = reconcile(services.db, services.rails, "ops")
        assert report.asked == {"not_known": 2}
        play.work()
        assert len(site.rail_charges()) == 2
        play.payout(deals[0], site.seller)
        play.work()
        assert len(site.rail_charges()) == 3
        assert run_audit(services.db).clean


def test_a_payout_says_that_it_is_parked(site: Site) -> None:
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        seller, buyer = play.agent("seller"), play.agent("buyer")
        deal = play.proof(seller)
        play.go(deal, buyer)
        play.settle(deal, seller)
        play.work()
        play.payout(deal, seller)
        archive = back_up(services, site.directory / "out").path
    restore(archive, site.url)

    def waits_for() -> str:
        with open_raw(site.url) as raw:
            return str(raw.rows("SELECT waiting_for FROM payout")[0][0])

    assert waits_for() == "recovery_parked"
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        play.work()
        assert waits_for() == "recovery_parked"
        reconcile(services.db, services.rails, "ops")
        assert waits_for() == "effect_open"
        play.work()
        with open_raw(site.url) as raw:
            assert raw.rows("SELECT state FROM payout")[0][0] == "confirmed"


def test_a_silent_rail_keeps_everything_parked(site: Site) -> None:
    """Catches an unparking on half an answer."""
    archive, deals = yesterday(site)
    restore(archive, site.url)
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        play.rail.program([Behaviour(does=OUTAGE)])
        report = reconcile(services.db, services.rails, "ops")
        assert not report.complete
        assert not report.unparked
        assert report.silent[0]["obligation_key"] == f"charge:{deals[0]['deal_id']}:0"
        play.behave()
        play.work()
        assert site.rail_charges() == []
        assert services.db.read(read_recovery).parked
        assert reconcile(services.db, services.rails, "ops").unparked


def test_what_was_sent_is_unknown_and_is_asked_about(site: Site) -> None:
    """Catches a restore that believes `sent`: the answer came after the backup, and is lost."""
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        seller, buyer = play.agent("seller"), play.agent("buyer")
        deal = play.proof(seller)
        play.go(deal, buyer)
        play.misbehave(CHARGE_THEN_SILENCE, deal["deal_id"])
        play.settle(deal, seller)
        play.work()
        with open_raw(site.url) as raw:
            assert raw.rows("SELECT state FROM effect")[0][0] == "unknown"
        archive = back_up(services, site.directory / "out").path
    restore(archive, site.url)
    before = site.rail_charges()
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        play.behave()
        report = reconcile(services.db, services.rails, "ops")
        assert report.asked == {"confirmed": 1}
    assert site.rail_charges() == before


def test_what_the_rail_knows_and_we_do_not_is_named(site: Site) -> None:
    """Catches a reconciliation that only looks at its own rows."""
    archive, deals = yesterday(site)
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        play.settle(deals[1], site.seller)
        late = play.proof(site.seller, price_minor=7_777)
        play.go(late, site.buyer)
        play.settle(late, site.seller)
        play.work()
    restore(archive, site.url)
    with site.open() as services:
        services.engine.start()
        report = reconcile(services.db, services.rails, "ops")
        found = {one["deal_id"]: one for one in report.strangers}
        assert found.keys() == {deals[1]["deal_id"], late["deal_id"]}
        assert found[deals[1]["deal_id"]]["deal_exists"]
        assert not found[late["deal_id"]]["deal_exists"]
        assert found[late["deal_id"]]["amount_minor"] == 7_777
        assert report.contradictions == []


def test_a_charge_of_another_amount_under_our_key_is_not_taken_for_ours(site: Site) -> None:
    """Catches an answer that is believed for its key alone: the books would hold money that never
    came, or lose some that did."""
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        seller, buyer = play.agent("seller"), play.agent("buyer")
        deal = play.proof(seller, price_minor=5_000)
        archive = back_up(services, site.directory / "out").path
        play.go(deal, buyer, amount_minor=4_000)
        play.settle(deal, seller)
        play.work()
    assert len(site.rail_charges()) == 1
    restore(archive, site.url)
    with site.open() as services:
        services.engine.start()
        play = Play(services)
        play.go(deal, buyer)  # for the quoted 50.00 this time
        play.settle(deal, seller)
        report = reconcile(services.db, services.rails, "ops")
        assert [one["obligation_key"] for one in report.contradictions]
        play.work()
        with open_raw(site.url) as raw:
            assert raw.rows("SELECT state FROM effect")[0][0] == "unknown"
            assert raw.rows("SELECT count(*) FROM settlement")[0][0] == 0
    assert len(site.rail_charges()) == 1


def test_every_fence_jumps_and_nobody_holds_anything(site: Site) -> None:
    """Catches a holder of before the restore that can still write under its old fence."""
    with site.open() as services:
        table = LeaseTable(services.db)
        old = table.acquire("sequencer", "before", 3600)
        assert old is not None
        services.engine.start()
        play = Play(services)
        seller, buyer = play.agent("seller"), play.agent("buyer")
        deal = play.proof(seller)
        play.go(deal, buyer)
        play.settle(deal, seller)
        jobs = services.jobs.claim(["effect"], 10, "before")
        assert len(jobs) == 1
        archive = back_up(services, site.directory / "out").path
    restore(archive, site.url)
    with site.open() as services:
        with open_raw(site.url) as raw:
            assert raw.rows("SELECT status FROM job WHERE job_type = 'effect'")[0][0] == "retry"
            fences = [row[0] for row in raw.rows("SELECT fence FROM lease")]
        assert all(fence >= EPOCH_FENCES for fence in fences)
        table = LeaseTable(services.db)
        new = table.acquire("sequencer", "after", 3600)
        assert new is not None
        assert new.fence > EPOCH_FENCES > old.fence
        assert services.jobs.renew(jobs) == 0
        again = services.jobs.claim(["effect"], 10, "after")
        assert again[0].lease_fence > EPOCH_FENCES


def test_each_step_of_a_recovery_is_an_event(site: Site) -> None:
    archive, _ = yesterday(site)
    restore(archive, site.url)
    with site.open() as services:
        services.engine.start()
        reconcile(services.db, services.rails, "ops")
        assert not reconcile(services.db, services.rails, "ops").unparked
        assert release_deliveries(services.db, "ops")
        assert not release_deliveries(services.db, "ops")
    with open_raw(site.url) as raw:
        found = raw.rows(
            "SELECT event_type, payload FROM event WHERE deal_id = 'sys_recovery' ORDER BY version"
        )
    assert [row[0] for row in found] == ["RECOVERED", "RECONCILED", "DELIVERIES_RELEASED"]
    assert {json.loads(row[1])["recovery_epoch"] for row in found} == {1}


def test_deliveries_are_held_until_they_are_released(site: Site) -> None:
    """Catches a restore that tells receivers yesterday's news by itself."""
    sent: list[str] = []

    class Post:
        def post(self, url: str, headers: object, body: bytes) -> object:
            sent.append(url)
            raise RailSilent("no receiver here")

    archive, _ = yesterday(site)
    restore(archive, site.url)
    with site.open() as services:
        hook_sql = (
            "INSERT INTO hook (hook_id, owner_id, url, events, secret, status, created_at,"
            f" updated_at) VALUES ('hook_1', '{site.seller.agent_id}', 'https://x.test/', '[]',"
            " 's', 'active', 'now', 'now')"
        )
        delivery_sql = (
            "INSERT INTO delivery (delivery_id, hook_id, event_id, stream, version, name, data,"
            " status, tries, due_us, lease_fence, created_at, updated_at) VALUES ('dlv_1',"
            " 'hook_1', 'evt_1', 'evt_1', 0, 'webhook.test', '{}', 'pending', 0, 0, 0, 'now',"
            " 'now')"
        )
        with open_raw(site.url) as raw:
            raw.run([sql(hook_sql), sql(delivery_sql)])
        assert services.db.read(rows.any_due)
        sender = Deliveries(services.db, Post(), owner="t")  # type: ignore[arg-type]  # never heard
        assert sender.step() == 0
        assert sent == []
        release_deliveries(services.db, "ops")
        assert sender.step() == 1
        sender.wait()
        sender.close()
        assert sent == ["https://x.test/"]
