"""The operator's way back after a restore, with real servers: gap, rails, webhooks (spec §17)."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from tests.chaos.site import Site
from tests.support.raw import open_raw
from tests.support.server import deployed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import Deployment, Server


def settled(site: Site) -> str:
    """A deal of its own, settled by its seller."""
    seller = site.agent()
    deal = str(site.pack(seller)["deal_id"])
    body = {"deal_id": deal, "amount": 99, "actor_id": seller.agent_id, "counterparty_id": "buyer"}
    site.post("/protocol/settle", body, seller.headers)
    return deal


def says_when_asked(server: Server) -> str:
    """What /ready answers as soon as it answers, whatever that is."""
    tick = threading.Event()
    for _ in range(600):
        try:
            return json.dumps(server.get("/ready"))
        except HTTPError as refused:
            return str(refused.read().decode())
        except OSError:  # it does not listen yet
            tick.wait(0.05)
    raise AssertionError(server.story("it never answered"))


def command(deployment: Deployment, *arguments: str, code: int = 0) -> dict[str, object]:
    done = deployment.command(*arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_restored_server_is_read_only_until_the_gap_is_accepted_and_rails_were_asked(
    tmp_path: Path, database_url: str
) -> None:
    """Catches a server that goes on from an old head as if nothing had been signed since, and one
    that sends what it finds before anybody has asked."""
    with deployed(tmp_path, database_url) as deployment:
        server = deployment.server()
        site = Site(bases=[server.url], deployment=deployment)
        first = settled(site)
        command(deployment, "backup")
        lost = settled(site)
        site.get(f"/protocol/proofs/{lost}/export")  # which signs a head over it
        server.stop()
        rail = sorted(entry.obligation_key for entry in deployment.rail_entries())
        made = command(deployment, "recover", "--latest", "--force")
        assert made["recovery_epoch"] == 1

        server.start(wait=False)
        assert "read-only" in says_when_asked(server)
        assert site.timeline(first)["events"]  # it reads
        server.stop()

        gap = command(deployment, "accept-gap", "--reason", "the disk was lost", "--force")["gap"]
        assert isinstance(gap, dict)
        assert gap["promised"] > gap["reached"]
        assert gap["lost_leaves"] > 0
        server.start()
        assert command(deployment, "accept-gap", "--reason", "again", "--force")["gap"] is None

        report = command(deployment, "reconcile", "--release-deliveries")
        assert report["unparked"] is True
        assert report["deliveries_released"] is True
        strangers = report["strangers"]
        assert isinstance(strangers, list)
        assert [one["deal_id"] for one in strangers] == [lost]
        again = settled(site)
        server.stop()
        after = sorted(entry.obligation_key for entry in deployment.rail_entries())
        assert set(after) - set(rail) == {f"charge:{again}:0"}
        deployment.assert_audit_is_clean()
    with open_raw(database_url) as raw:
        types = [
            row[0]
            for row in raw.rows(
                "SELECT event_type FROM event WHERE deal_id = 'sys_recovery' ORDER BY version"
            )
        ]
    assert types == ["RECOVERED", "GAP_ACCEPTED", "RECONCILED", "DELIVERIES_RELEASED"]


def test_without_a_reason_or_a_word_nothing_is_accepted(tmp_path: Path, sqlite_url: str) -> None:
    with deployed(tmp_path, sqlite_url) as deployment:
        server = deployment.server()
        site = Site(bases=[server.url], deployment=deployment)
        deal = settled(site)
        command(deployment, "backup")
        deal = settled(site)
        site.get(f"/protocol/proofs/{deal}/export")
        server.stop()
        command(deployment, "recover", "--latest", "--force")
        before = (tmp_path / "checkpoint.json").read_bytes()
        assert deployment.command("accept-gap").returncode == 2
        assert deployment.command("accept-gap", "--reason", "why").returncode == 2
        assert (tmp_path / "checkpoint.json").read_bytes() == before
