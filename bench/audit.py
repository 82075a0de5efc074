"""How much memory and time `settlement audit` takes over a database of many transfers.

Guarantees: the history is a legal one, made by the engine as over HTTP: sellers with keys, proofs,
approvals, payments, settlements split among payees, sequenced and under a signed head; so the
audit must find it clean, and everything it streams is there. The audit runs as a process of its
own, and the kernel says what memory it had at most.
Does not: count what a PostgreSQL server uses, or the building.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from bench import deals
from settlement.config import load
from settlement.core.operations import Settle, Split
from settlement.service.log import clock_ms
from settlement.store.database import open_database
from settlement.wiring import build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from settlement.wiring import Services

SELLERS: Final = 1_000
#: A charge, a fee and a release each.
PAYEES: Final = 8
TRANSFERS_PER_DEAL: Final = PAYEES + 2
CHUNK: Final = 2_000
_SHARE: Final = "0.125"
_NS_PER_MS: Final = 1_000_000
_HEAD_WAIT_MS: Final = 5_000
Report = dict[str, int | str]


def measure(url: str, directory: Path, *, transfers: int, say: Callable[[str], None]) -> Report:
    """Fill the database until it holds so many transfers, and audit it."""
    environment = {
        "SETTLEMENT_DATABASE": url,
        "SETTLEMENT_SIGNING_KEY_FILE": str(directory / "keys" / "log_signing.key"),
        "SETTLEMENT_CHECKPOINT_FILE": str(directory / "checkpoint.json"),
        "SETTLEMENT_RAIL_DIR": str(directory / "rail"),
    }
    with closing(open_database(url)) as db:
        db.migrate()
    services = build(load(environment))
    try:
        services.sequencer.check_checkpoint()
        _fill(services, -(-transfers // TRANSFERS_PER_DEAL), say)
        say(f"{services.db.kind}: auditing")
        kind = services.db.kind
    finally:
        services.close()
    return {"database": kind, **_audit(environment)}


def _fill(services: Services, count: int, say: Callable[[str], None]) -> None:
    people = deals.sellers(services.engine, SELLERS)
    for start in range(0, count, CHUNK):
        say(f"{services.db.kind}: {start * TRANSFERS_PER_DEAL:,} transfers")
        among = people[start % SELLERS :] + people[: start % SELLERS]
        made = deals.approved(services.engine, among, min(CHUNK, count - start), funded=True)
        ops = [_settle(deal, among, n) for n, deal in enumerate(made)]
        for answer in services.engine.execute_all(ops):
            answer.unwrap()
        while services.sequencer.run_once():
            pass
    until = clock_ms() + _HEAD_WAIT_MS
    while services.sequencer.sign() is None and clock_ms() < until:
        time.sleep(0.1)


def _settle(deal: deals.Approved, people: list[deals.Seller], n: int) -> Settle:
    others = [people[(n + ahead) % SELLERS].agent_id for ahead in range(PAYEES)]
    return Settle(
        principal=deal.seller.principal,
        deal_id=deal.deal_id,
        splits=tuple(Split(agent_id=who, role="payee", share=_SHARE) for who in others),
    )


def _audit(environment: dict[str, str]) -> Report:
    """Run it as an operator does; raises RuntimeError unless it is clean."""
    with tempfile.TemporaryFile("w+") as out:
        started = time.monotonic_ns()
        process = subprocess.Popen(
            [sys.executable, "-m", "settlement", "audit", "--json"],
            stdout=out,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        )
        _, status, usage = os.wait4(process.pid, 0)
        took_ms = (time.monotonic_ns() - started) // _NS_PER_MS
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    if process.returncode != 0:
        raise RuntimeError(f"the audit ended with {process.returncode}: {text[:2000]}")
    rows = json.loads(text)["rows"]
    return {
        "transfers": rows["transfer"],
        "events": rows["event"],
        "claims": rows["claim"],
        "audit_ms": took_ms,
        "audit_cpu_ms": int((usage.ru_utime + usage.ru_stime) * 1000),
        "audit_peak_rss_mib": usage.ru_maxrss // 1024,
    }
