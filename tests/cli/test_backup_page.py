"""docs/backup_recovery.md: every command that it shows is run, in its order (spec §17.4)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.chaos.site import Site
from tests.support.server import deployed
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import Deployment

PAGE = ROOT / "docs" / "backup_recovery.md"
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
#: Only these need the database for themselves.
ALONE = re.compile(r"recover\.sh .*(--force|--dry-run)")


def commands() -> list[str]:
    return [line for block in BLOCK.findall(PAGE.read_text("utf-8")) for line in block.splitlines()]


def settle(site: Site) -> None:
    seller = site.agent()
    deal = site.pack(seller)["deal_id"]
    body = {"deal_id": deal, "amount": 99, "actor_id": seller.agent_id, "counterparty_id": "buyer"}
    site.post("/protocol/settle", body, seller.headers)
    site.get(f"/protocol/proofs/{deal}/export")


def shell(deployment: Deployment, line: str) -> subprocess.CompletedProcess[str]:
    """A line of the page, where `settlement` is the program of this tree."""
    directory = deployment.directory
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "settlement"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m settlement "$@"\n')
    program.chmod(0o755)
    scripts = directory / "scripts"
    if not scripts.exists():
        scripts.mkdir()
        for name in ("backup.sh", "recover.sh"):
            (scripts / name).write_bytes((ROOT / "scripts" / name).read_bytes())
    path = os.pathsep.join([str(programs), "/usr/bin", "/bin"])
    return subprocess.run(
        ["bash", "-c", line],
        cwd=directory,
        env={
            **deployment.environment(),
            "PATH": path,
            "NEW_DATABASE": f"sqlite:///{directory / 'moved.db'}",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_every_command_on_the_page_works_as_it_is_written(
    tmp_path: Path, database_url: str
) -> None:
    """Catches a page that says what once was: a renamed option, a step in the wrong order."""
    lines = commands()
    assert len(lines) > 8
    with deployed(tmp_path, database_url) as deployment:
        server = deployment.server()
        site = Site(bases=[server.url], deployment=deployment)
        settle(site)
        for line in lines:
            if ALONE.search(line):
                server.stop()
            done = shell(deployment, line)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            if "--label" in line and server.running:
                settle(site)  # which the newest backup does not have: the log will be behind
            if "accept-gap" in line:
                assert "Accepted" in done.stdout
                server.start()
        assert "moved.db" in {path.name for path in tmp_path.iterdir()}
