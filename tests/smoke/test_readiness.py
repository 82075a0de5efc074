"""The report's rows have commands that exist, and its own commands run as they are printed.

Spec §19. What runs for minutes is marked `long`: each row's command, and the verification commands
of the published report, against a server on a free port that stands for its port 8000.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.smoke.report import PAGE, Row, environment, rows
from tests.support.server import deployed
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Deployment

ROWS = rows()
#: As the published report prints them; `:8000` is where it has its server.
VERIFICATION = (
    "bash smoke_test_elon.sh",
    "bash smoke_test_hero.sh",
    "python -m pytest tests/conformance/ -v",
    "AME_BASE=http://127.0.0.1:8000 python -m pytest tests/conformance/ -v",
    "AME_BASE=http://127.0.0.1:8000 python -m pytest tests/chaos/ -v",
    "bash scripts/backup.sh --validate-only",
    "bash scripts/backup.sh && bash scripts/recover.sh --latest --validate",
)
#: The files it names as showing something.
NAMED = (
    "tests/conformance/test_hardening.py",
    "tests/conformance/test_privacy.py",
    "tests/chaos/test_concurrent_go.py",
    "tests/chaos/test_concurrent_payout.py",
    "tests/chaos/test_webhook_replay.py",
    "data/conformance_vectors.json",
    "schemas/test_vectors.json",
    "docs/conformance.md",
    "docs/backup_recovery.md",
    "docs/incident_runbook.md",
    "scripts/backup.sh",
    "scripts/recover.sh",
)


def test_there_are_29_rows_each_built_and_with_a_section() -> None:
    """Catches a row dropped, left without a command, or whose link leads nowhere."""
    assert [row.number for row in ROWS] == list(range(1, 30))
    page = PAGE.read_text("utf-8")
    anchors = {
        "".join(c for c in line[3:].lower().replace(" ", "-") if c.isalnum() or c in "-_")
        for line in page.splitlines()
        if line.startswith("## ")
    }
    for row in ROWS:
        assert row.state.startswith("built"), row
        assert row.anchor in anchors, row


def test_every_test_that_a_row_names_exists() -> None:
    """Catches a renamed test: pytest itself is asked to find each, in one run."""
    nodes = sorted({node for row in ROWS for node in row.nodes})
    assert len(nodes) >= 29
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *nodes],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    found = {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}
    for node in nodes:
        assert any(one == node or one.startswith((f"{node}::", f"{node}/")) for one in found), node


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_what_a_row_runs_is_there(row: Row) -> None:
    """Catches a row whose command is neither a test nor a program of this project."""
    assert row.nodes or row.command.startswith(("bash scripts/", "settlement ")), row.command
    for name in NAMED:
        assert (ROOT / name).is_file(), name


@pytest.fixture(scope="module")
def standing_for_8000(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A server as a reader starts one: default limits, its own files."""
    directory = tmp_path_factory.mktemp("readiness")
    database = f"sqlite:///{directory / 'settlement.db'}"
    settings = {
        "SETTLEMENT_RATE_LIMITS": "",
        "SETTLEMENT_BACKUP_DIR": str(directory / "backups"),
    }
    with deployed(directory, database, **settings) as deployment:
        deployment.server()
        yield deployment


def run(deployment: Deployment, line: str) -> None:
    (server,) = deployment.servers
    used = {n: v for n, v in deployment.environment().items() if n.startswith("SETTLEMENT_")}
    done = subprocess.run(
        ["bash", "-c", line.replace("http://127.0.0.1:8000", server.url)],
        cwd=ROOT,
        env=environment(deployment.directory, **used),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1700,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("line", VERIFICATION)
def test_the_reports_commands_run_as_printed(standing_for_8000: Deployment, line: str) -> None:
    """Catches a command that worked once: another path, option, port or precondition."""
    run(standing_for_8000, line)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_every_row_is_shown_by_its_command(standing_for_8000: Deployment, row: Row) -> None:
    """Catches a row that says built and whose command fails."""
    run(standing_for_8000, row.command)


def test_no_row_is_shown_by_this_file() -> None:
    """Catches a row that proves itself by asking itself."""
    assert not any("tests/smoke" in row.command for row in ROWS)
