"""The command `aigentsy`: its six network commands as processes, with a home of their own.

The command ignores HTTP statuses and prints what it read, so its output is compared with what the
server says and with the ledger.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from aigentsy.cli import main as _entry_point  # noqa: F401  # missing package: fail at import

from tests.support import wire

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import Server

pytestmark = pytest.mark.clients


class Command:
    """`aigentsy ...` with a temporary HOME, on one server."""

    def __init__(self, home: Path, server: Server) -> None:
        self.credentials = home / ".aigentsy_credentials.json"
        self.environment = {**os.environ, "HOME": str(home), "AME_BASE": server.url}

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "aigentsy", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout


@pytest.fixture
def command(tmp_path: Path, server: Server) -> Command:
    return Command(tmp_path, server)


def test_its_journey_is_init_stamp_verify_settle_status(command: Command, server: Server) -> None:
    """Catches: an answer without a member the command reads; a settle that needs a GO first."""
    said = command("init", "--name", "cli agent")
    kept = json.loads(command.credentials.read_text())
    assert kept["base"] == server.url
    assert f"Agent registered: {kept['agent_id']}" in said
    assert "OCS: 50" in said
    assert "Tier: standard" in said

    said = command("stamp", "Logo delivered")
    deal = re.search(r"ProofPack created: (deal_\w+)", said)
    assert deal is not None, said
    deal_id = deal.group(1)
    for name in ("Proof URL", "Verify URL"):
        link = re.search(rf"{name}: (\S+)", said)
        assert link is not None, said
        assert link.group(1).startswith(server.url)
        assert deal_id in link.group(1)

    assert "VERIFIED — chain integrity: True, events: 1" in command("verify", deal_id)

    body = json.loads(command("settle", deal_id, "--amount", "100"))
    assert body["ok"] is True, body
    wire.splits_sum(body)
    wire.money(body, "net", 9692)
    assert body["to_agent"] == kept["agent_id"]
    again = json.loads(command("settle", deal_id, "--amount", "100"))
    assert again["_idempotent"] is True
    wire.settled_once(server.get(f"/protocol/deals/{deal_id}/timeline"), "100.00")
    assert "VERIFIED" in command("verify", deal_id)
    assert f"Agent: {kept['agent_id']}" in command("status")
    server.deployment.assert_audit_is_clean()


def test_settling_without_an_amount_takes_the_quoted_price(
    command: Command, server: Server
) -> None:
    """Catches: the command's `amount_usd: 0` read as an amount of nothing."""
    command("init", "--name", "frugal")
    deal = re.search(r"deal_\w+", command("stamp", "work"))
    assert deal is not None
    body = json.loads(command("settle", deal.group()))
    assert body["ok"] is True, body
    wire.settled_once(server.get(f"/protocol/deals/{deal.group()}/timeline"), "99.00")


def test_an_unknown_deal_is_not_verified(command: Command) -> None:
    """Catches: an error page that the command takes for a verdict."""
    said = command("verify", "deal_unknown")
    assert said.startswith("NOT VERIFIED")


def test_a_refused_settle_is_shown_as_json(command: Command) -> None:
    """Catches: an error that is not JSON, which the command answers with a traceback."""
    command("init", "--name", "hasty")
    body = json.loads(command("settle", "deal_unknown", "--amount", "5"))
    assert (body["ok"], body["error"], body["status"]) == (False, "deal_not_found", 404)


def test_the_demo_runs_to_its_end(command: Command, server: Server) -> None:
    """Catches: a demo that stops halfway, which is the first thing a user tries."""
    said = command("demo")
    assert "Verified: True | Chain: True | Events: 1" in said
    assert "Proofs: 1 | Events: 1" in said
    deal = re.search(r"Deal: (deal_\w+)", said)
    assert deal is not None
    assert said.rstrip().endswith(f"Done. View: {server.url}/proof/{deal.group(1)}")
