"""Back to a moment with shipped logs, as docs/backup_recovery.md says (spec §17.1).

Real parts: the tool ships the log of a database that is being written, and is killed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from settlement.service.replay import replay_deal
from settlement.store.database import open_database
from tests.cli.running import run
from tests.support.house import Play, house
from tests.support.raw import open_raw

if TYPE_CHECKING:
    from collections.abc import Callable

LITESTREAM = Path(sys.executable).with_name("litestream")
SECONDS_MAX = 60


def wait_until(holds: Callable[[], bool], what: str) -> None:
    tick, deadline = threading.Event(), time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen in {SECONDS_MAX} s"
        tick.wait(0.1)


def shipped(directory: Path, *, at: str | None = None) -> Path:
    """What the replica gives back: all of it, or as of a moment."""
    out = directory / f"restored-{time.monotonic_ns()}.db"
    command = [str(LITESTREAM), "restore", "-config", "litestream.yml", "-o", str(out)]
    command += ["-timestamp", at] if at else []
    subprocess.run(
        [*command, str(directory / "settlement.db")],
        cwd=directory,
        check=False,
        capture_output=True,
        timeout=SECONDS_MAX,
    )
    return out


def deals_in(file: Path) -> set[str]:
    if not file.exists():
        return set()
    with open_raw(f"sqlite:///{file}") as raw:
        return {row[0] for row in raw.rows("SELECT deal_id FROM deal WHERE state = 'settled'")}


def settled(play: Play) -> str:
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    return str(deal["deal_id"])


def test_a_shipped_log_goes_back_to_a_moment_and_passes_the_audit(tmp_path: Path) -> None:
    """Catches settings of ours that a log shipper cannot live with: a log that we cut before it was
    read would leave the replica torn, and the audit would see it."""
    url = f"sqlite:///{tmp_path / 'settlement.db'}"
    (tmp_path / "litestream.yml").write_text(
        f"dbs:\n  - path: {tmp_path / 'settlement.db'}\n    replica:\n      type: file\n"
        f"      path: {tmp_path / 'replica'}\n      sync-interval: 100ms\n"
    )
    with house(tmp_path, url) as services:
        services.engine.start()
        play = Play(services)
        with (tmp_path / "litestream.log").open("wb") as log:
            shipper = subprocess.Popen(
                [LITESTREAM, "replicate", "-config", "litestream.yml"],
                cwd=tmp_path,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            before = settled(play)
            wait_until(lambda: before in deals_in(shipped(tmp_path)), "the first deal's shipping")
            moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            after = settled(play)
            wait_until(lambda: after in deals_in(shipped(tmp_path)), "the second deal's shipping")
        finally:
            shipper.kill()  # SIGKILL: what was shipped is whole without a farewell
            shipper.wait()
    back = shipped(tmp_path, at=moment)
    assert deals_in(back) == {before}
    out = ("--out", str(tmp_path / "out"))
    assert run(tmp_path, "backup", *out, "--database", f"sqlite:///{back}").code == 0
    place = {"SETTLEMENT_DATABASE": f"sqlite:///{tmp_path / 'settlement.db'}"}
    done = run(
        tmp_path, "recover", "--latest", *out, "--lost-since", moment, "--force", "--json", **place
    )
    assert done.code == 0, done.out + done.err
    assert run(tmp_path, "audit", **place).code == 0
    db = open_database(url)
    try:
        assert replay_deal(db, before)["verdict"] == "clean"
    finally:
        db.close()
    with open_raw(url) as raw:
        parked = dict(raw.rows("SELECT name, value FROM setting"))["recovery_parked"]
    assert parked.startswith(moment[:19])
