"""The two smoke scripts: they pass on a sound service, and stop at the first thing that is not.

Spec §18.3. They are run as their user runs them, by bash, with nothing but curl and Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from settlement.edge.rails.simulated import DECLINE, Behaviour, SimulatedRail
from tests.support.server import deployed
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SECONDS_MAX = 280


def script(name: str, directory: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """A script of the repository's root, in the caller's directory."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SETTLEMENT_", "AME_"))
    }
    return subprocess.run(
        ["bash", str(ROOT / name)],
        cwd=directory,
        env={**inherited, "PYTHON": sys.executable, "TMPDIR": str(directory), **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def test_elon_passes_on_a_server_of_its_own_and_leaves_nothing(tmp_path: Path) -> None:
    """Catches a step that no longer works as the script has it, a lost payment after kill -9, and
    a throw-away server that stays behind."""
    done = script("smoke_test_elon.sh", tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.splitlines()[-1] == "smoke_test_elon: passed"
    for step in ("429", "kill -9", "backup", "sealed price", "revoked", "audit"):
        assert step in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_hero_passes_against_the_server_it_is_given(tmp_path: Path, database_url: str) -> None:
    """Catches a script that starts its own server whatever AME_BASE says."""
    with deployed(tmp_path / "server", database_url) as deployment:
        server = deployment.server()
        elsewhere = tmp_path / "caller"
        elsewhere.mkdir()
        done = script("smoke_test_hero.sh", elsewhere, AME_BASE=server.url)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert f"server {server.url}" in done.stdout
        assert done.stdout.splitlines()[-1] == "smoke_test_hero: passed"
        deployment.assert_audit_is_clean()


def test_hero_stops_at_the_first_failure(tmp_path: Path, sqlite_url: str) -> None:
    """Catches a script that goes on, or says "passed", after a step that failed."""
    with deployed(tmp_path / "server", sqlite_url) as deployment:
        server = deployment.server()
        rail = SimulatedRail(deployment.rail_directory)
        rail.program([Behaviour(does=DECLINE, match="charge:")])
        rail.close()
        elsewhere = tmp_path / "caller"
        elsewhere.mkdir()
        done = script("smoke_test_hero.sh", elsewhere, AME_BASE=server.url)
    assert done.returncode == 1, done.stdout
    assert done.stdout.splitlines()[-1] == "ok   GO, and GO again: one approval"
    assert "FAIL POST /protocol/settle: status 409" in done.stderr
    assert script("smoke_test_hero.sh", elsewhere, AME_BASE="http://127.0.0.1:1").returncode == 1
