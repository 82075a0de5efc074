"""The runbook's incidents, each made for real in a deployment, and the shell its commands run in.

For: `test_runbook.py`. A scene stages one fault past every guard, says what to fill in where the
page has a name, and may do what happens meanwhile in the world (a rail that comes back).
Does not: know the commands; they are read from the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from settlement.edge.rails.base import RailRequest
from settlement.edge.rails.simulated import OUTAGE, Behaviour, SimulatedRail
from tests.chaos.site import Agent, Site
from tests.support.callers import read, send
from tests.support.logs import raw_sql
from tests.support.rows import read_rows
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.server import Deployment, Server

PAGE = ROOT / "docs" / "incident_runbook.md"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_EXIT = re.compile(r"\s*# exit (\d+)(?: or (\d+))?$")
_TRIES = 400


@dataclass(frozen=True, slots=True)
class Command:
    """A line of the page and the exit codes it promises."""

    line: str
    codes: tuple[int, ...] = (0,)


def commands(number: int) -> list[Command]:
    """The commands of one incident, in the order of the page."""
    sections = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    (section,) = [one for one in sections if one.startswith(f"{number}. ")]
    found = []
    for block in _BLOCK.findall(section):
        for line in block.splitlines():
            promised = _EXIT.search(line)
            codes = tuple(int(one) for one in promised.groups() if one) if promised else (0,)
            found.append(Command(_EXIT.sub("", line).strip(), codes))
    return found


@dataclass
class Scene:
    """A server on a deployment, a settled deal, and what the page's names stand for."""

    deployment: Deployment
    server: Server
    site: Site
    names: dict[str, str] = field(default_factory=dict)
    seller: Agent | None = None

    # --- playing ------------------------------------------------------------------------------

    @classmethod
    def begin(cls, deployment: Deployment) -> Scene:
        """A server with one settled deal."""
        server = deployment.server()
        site = Site(bases=[server.url], deployment=deployment)
        scene = cls(deployment, server, site, {"BASE": server.url})
        scene.seller = site.agent()
        scene.names["AGENT"] = scene.seller.agent_id
        scene.names["DEAL"] = scene.settled()
        return scene

    def settled(self) -> str:
        """One more deal of the seller, settled, with a signed head over it."""
        assert self.seller is not None
        deal = str(self.site.pack(self.seller)["deal_id"])
        body = {"deal_id": deal, "amount": 99, "actor_id": self.seller.agent_id}
        self.site.post("/protocol/settle", {**body, "counterparty_id": "b"}, self.seller.headers)
        self.site.get(f"/protocol/proofs/{deal}/export")
        return deal

    def payout(self) -> dict[str, Any]:
        """Ask once for the deal's payout; its answer, which may be 202."""
        assert self.seller is not None
        body = {"deal_id": self.names["DEAL"]}
        plan = self.site.plan("/protocol/payouts", body, self.seller.headers)
        row = send(self.server.url, plan)
        assert row.get("status") in (200, 202), row
        return read(row)

    def rail(self, *behaviours: Behaviour) -> None:
        """What the rail does from now on."""
        rail = SimulatedRail(self.deployment.rail_directory)
        rail.program(behaviours)
        rail.close()

    def charge_past_us(self) -> None:
        """Somebody charges for the same deal at the rail, not through this service."""
        rail = SimulatedRail(self.deployment.rail_directory)
        rail.send(
            RailRequest(
                kind="charge",
                rail_key="ab" * 32,
                obligation_key=f"by hand:{self.names['DEAL']}",
                asset="USD/2",
                amount_minor=9_900,
                deal_id=self.names["DEAL"],
                destination=None,
            )
        )
        rail.close()

    def sql(self, *statements: str) -> None:
        """Statements past our code and past every trigger."""
        raw_sql(self.deployment.database, *statements, without_triggers=True)

    def one(self, query: str) -> str:
        """The one value that a query finds."""
        ((value,),) = read_rows(self.deployment.database, query)
        return str(value)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a condition, not for a time."""
        tick = threading.Event()
        for _ in range(_TRIES):
            if holds():
                return
            tick.wait(0.1)
        raise AssertionError(self.server.story(f"it never came to this: {what}"))

    # --- the page's user ----------------------------------------------------------------------

    def run(self, command: Command) -> str:
        """Run a line as its reader would; what it said. Fails on another exit code."""
        if command.line.startswith("systemctl "):
            verb, *units = command.line.split()[1:]
            return self._unit(verb) if "settlement" in units else ""
        done = subprocess.run(
            ["bash", "-c", command.line],
            cwd=self.deployment.directory,
            env={**self._environment(), **self.names},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        said = f"{command.line}\n{done.stdout}\n{done.stderr}"
        assert done.returncode in command.codes, f"exit code {done.returncode}: {said}"
        return done.stdout

    def _unit(self, verb: str) -> str:
        """The machine's service manager, played with the one server there is."""
        if verb in ("stop", "restart"):
            self.server.stop()
        if verb in ("start", "restart"):
            self.server.start()
        return ""

    def _environment(self) -> dict[str, str]:
        programs = self.deployment.directory / "bin"
        if not programs.exists():
            programs.mkdir()
            program = programs / "settlement"
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m settlement "$@"\n')
            program.chmod(0o755)
            scripts = self.deployment.directory / "scripts"
            scripts.mkdir()
            for name in ("backup.sh", "recover.sh"):
                (scripts / name).write_bytes((ROOT / "scripts" / name).read_bytes())
        path = os.pathsep.join([str(programs), "/usr/bin", "/bin"])
        return {**self.deployment.environment(), "PATH": path}


# --- the faults ----------------------------------------------------------------------------------

OUTAGE_OF_PAYOUTS = Behaviour(does=OUTAGE)


def charged_past_us(scene: Scene) -> None:
    """1: the rail's book has two charges for one deal; ours has one."""
    scene.charge_past_us()


def rail_away(scene: Scene) -> None:
    """2: the rail took a payout and says nothing, nor to questions."""
    scene.rail(OUTAGE_OF_PAYOUTS)
    scene.payout()
    unknown = "SELECT count(*) FROM effect WHERE state = 'unknown'"
    scene.until(lambda: scene.one(unknown) == "1", "an unknown effect")


def tampered_event(scene: Scene) -> None:
    """3: after a backup, somebody with the owner's rights rewrites an event."""
    backed_up(scene)
    deal = scene.names["DEAL"]
    scene.sql(
        "UPDATE event SET payload = replace(payload, '9900', '1900')"
        f" WHERE deal_id = '{deal}' AND event_type = 'SETTLED'"
    )
    backed_up(scene)  # the timer goes on until somebody notices


def tampered_books(scene: Scene) -> None:
    """4: after a backup guards are off, a balance and a settlement are changed."""
    backed_up(scene)
    deal, seller = scene.names["DEAL"], scene.names["AGENT"]
    scene.sql(
        f"UPDATE settlement_payee SET net_minor = net_minor + 100 WHERE deal_id = '{deal}'",
        f"UPDATE account SET credits_posted = credits_posted + 100 WHERE ref = 'entity:{seller}'",
        *NO_GUARD[scene.deployment.database.partition(":")[0]],
    )
    backed_up(scene)  # the timer goes on until somebody notices


NO_GUARD = {
    "sqlite": (),  # the triggers are off already
    "postgresql": ("ALTER TABLE transfer DISABLE TRIGGER USER",),
}


def backlog(scene: Scene) -> None:
    """5: a job is dead, and a message was parked, whose event is there by now."""
    scene.payout()
    deal = scene.names["DEAL"]
    told = f"SELECT count(*) FROM outbox WHERE deal_id = '{deal}' AND status <> 'emitted'"
    scene.until(lambda: scene.one(told) == "0", "all messages told")
    scene.sql(
        "UPDATE job SET status = 'dead', attempts = 8, last_error = 'made by the test'"
        " WHERE job_id = (SELECT max(job_id) FROM job WHERE status = 'done')",
        "UPDATE outbox SET status = 'parked', attempts = 8, last_error = 'made by the test'"
        f" WHERE seq = (SELECT max(seq) FROM outbox WHERE deal_id = '{deal}')",
    )
    scene.names["JOB_ID"] = scene.one("SELECT job_id FROM job WHERE status = 'dead'")
    scene.names["SEQ"] = scene.one("SELECT seq FROM outbox WHERE status = 'parked'")


def key_in_public(scene: Scene) -> None:
    """6: the seller's only key is known to somebody else, who makes another with it."""
    assert scene.seller is not None
    key = scene.site.post("/protocol/keys/validate", {}, scene.seller.headers)
    made = scene.site.post("/protocol/keys", {"name": "the thief's"}, scene.seller.headers)
    scene.names["KEY_ID"] = key["key_id"]
    scene.names["OLD_KEY"] = scene.seller.api_key
    scene.names["THIEFS_ID"], scene.names["THIEFS_KEY"] = made["key_id"], made["api_key"]


def database_lost(scene: Scene) -> None:
    """7: after a backup more was settled and signed; then the database is gone."""
    backed_up(scene)
    scene.names["LOST"] = scene.settled()


def lose(scene: Scene) -> None:
    """What is left of the database once its server is stopped: noise, or nothing."""
    url = scene.deployment.database
    if url.startswith("sqlite:///"):
        file = scene.deployment.directory / "settlement.db"
        assert str(file) in url
        for left in file.parent.glob("settlement.db-*"):
            left.unlink()
        file.write_bytes(b"\x00noise" * 5_000)
    else:
        raw_sql(url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")


def backed_up(scene: Scene) -> None:
    """A backup, as the timer makes it."""
    scene.run(Command("settlement backup"))
