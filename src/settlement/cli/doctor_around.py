"""Probes of `settlement doctor` for what stands around the books.

For: `doctor.py`. A scratch database where the real one lies, the disk's sync, the secrets of
inbound messages, the rail, backups, the last audit, open files, the collector of traces.
Guarantees: each is tried, not only looked up, where trying changes nothing; what is written is
removed again.
Does not: judge the books; `settlement audit` does.
Change colour: green.
"""

from __future__ import annotations

import os
import resource
import secrets
import shutil
import socket
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from settlement.cli.findings import OK, PROBLEM, WARNING, Finding, nearest
from settlement.config import SIMULATED
from settlement.core.archive import name_time_us
from settlement.core.clock import parse_time
from settlement.core.errors import SettlementError
from settlement.core.rail import Answering, RailDenies, RailSilent
from settlement.edge.rails.choice import rails
from settlement.service.archive import archives_in
from settlement.service.verdict import find_verdict
from settlement.store import operator
from settlement.store.database import StoreError, SystemClock, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.config import Settings

_FILES_MIN: Final = 256
_FILES_WANTED: Final = 4096
_SYNCS: Final = 9
#: No disk syncs faster; what does keeps the data in memory or in a cache that a power cut empties.
_SYNC_MIN_NS: Final = 20_000
_DAY_US: Final = 86_400_000_000
#: As the alerts of deploy/prometheus have it.
_BACKUP_MAX_US: Final = 2 * _DAY_US // 24
_AUDIT_MAX_US: Final = _DAY_US // 2
_CONNECT_SECONDS: Final = 3


def scratch(settings: Settings) -> Iterator[Finding]:
    """SQLite: make a database beside the real one, write, close, open again, find it there."""
    path = settings.sqlite_path
    if path is None:
        return
    place = nearest(path.parent) / f".settlement-doctor-{secrets.token_hex(8)}"
    try:
        place.mkdir(mode=0o700)
        found = _written_and_reopened(f"sqlite:///{place / 'scratch.db'}")
    except (OSError, SettlementError, StoreError, RuntimeError) as error:
        yield Finding(
            name="scratch database",
            status=PROBLEM,
            detail=f"{place.parent}: {error}",
            advice="SQLite needs a local file system, with locks and shared memory.",
        )
    else:
        yield Finding(
            name="scratch database",
            status=OK if found else PROBLEM,
            detail="written, closed, opened again" if found else "what was committed was gone",
            advice="" if found else "Put the database on another file system.",
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _written_and_reopened(url: str) -> bool:
    db = open_database(url)
    try:
        db.migrate()
        operator.probe(db)
    finally:
        db.close()
    again = open_database(url)
    try:
        return not operator.schema_state(again).pending
    finally:
        again.close()


def sync(settings: Settings) -> Iterator[Finding]:
    """How long the disk takes to sync; one that takes no time does not."""
    place = nearest((settings.sqlite_path or settings.checkpoint_file).parent)
    try:
        took_ns = _sync_ns(place)
    except OSError as error:
        detail = f"{place}: {error.strerror}"
        yield Finding(name="sync", status=PROBLEM, detail=detail, advice="Use another disk.")
        return
    honest = took_ns >= _SYNC_MIN_NS
    yield Finding(
        name="sync",
        status=OK if honest else WARNING,
        detail=f"{place} syncs in {took_ns // 1000} us",
        advice="" if honest else "No disk is so fast: a power cut may lose what was acknowledged.",
    )


def _sync_ns(place: Path) -> int:
    """The middle of a few syncs of a small file."""
    probe = place / f".settlement-doctor-{secrets.token_hex(8)}"
    took = []
    try:
        with probe.open("xb") as file:
            for _ in range(_SYNCS):
                file.write(b"probe")
                file.flush()
                started = time.monotonic_ns()
                os.fsync(file.fileno())
                took.append(time.monotonic_ns() - started)
    finally:
        probe.unlink(missing_ok=True)
    return sorted(took)[_SYNCS // 2]


def webhook_secrets(settings: Settings) -> Iterator[Finding]:
    """Whether what the rail tells us can be taken in."""
    rail = settings.rail
    now = getattr(settings, f"{rail}_webhook_secret", "")
    before = getattr(settings, f"{rail}_webhook_secret_previous", "")
    variable = f"SETTLEMENT_{rail.upper()}_WEBHOOK_SECRET"
    if before and before == now:
        yield Finding(
            name="webhook secret",
            status=WARNING,
            detail="the previous secret is the current one",
            advice=f"Empty {variable}_PREVIOUS: a rotation is over, or was not made.",
        )
    elif now:
        yield Finding(name="webhook secret", status=OK, detail=f"messages of {rail} are checked")
    else:
        wanted = rail != SIMULATED
        yield Finding(
            name="webhook secret",
            status=WARNING if wanted else OK,
            detail=f"none, so no message of {rail} is taken in",
            advice=f"Set {variable}." if wanted else "",
        )


def rail(settings: Settings) -> Iterator[Finding]:
    """Ask the rail something that changes nothing."""
    if settings.rail == SIMULATED and settings.sandbox and not settings.rail_dir.exists():
        detail = f"{settings.rail_dir} does not exist yet"
        advice = "The first start makes it."
        yield Finding(name="rail", status=WARNING, detail=detail, advice=advice)
        return
    try:
        adapter = rails(settings)[settings.rail]
        if isinstance(adapter, Answering):
            adapter.check()
    except RailDenies as denial:
        advice = "Stripe: SETTLEMENT_STRIPE_SECRET_KEY is not, or no longer, its account's."
        yield Finding(name="rail", status=PROBLEM, detail=str(denial), advice=advice)
        return
    except RailSilent as silence:
        # A warning: during a rail's outage a server may be restarted, and asks until it answers.
        advice = "See the rail's status page, then the way to it from here."
        yield Finding(name="rail", status=WARNING, detail=str(silence), advice=advice)
        return
    except (SettlementError, OSError) as error:
        advice = "SETTLEMENT_RAIL_DIR must be readable and hold the simulated rail's book whole."
        yield Finding(name="rail", status=PROBLEM, detail=str(error), advice=advice)
        return
    if settings.rail == SIMULATED and not settings.sandbox:
        detail = "live mode with the simulated rail: it books payments that nobody makes"
        advice = "SETTLEMENT_RAIL=stripe, or SETTLEMENT_MODE=sandbox for a rehearsal."
        yield Finding(name="rail", status=WARNING, detail=detail, advice=advice)
        return
    yield Finding(name="rail", status=OK, detail=f"{settings.rail} answers")


def backups(settings: Settings) -> Iterator[Finding]:
    """Whether there is a backup, and from when."""
    newest = next(reversed(archives_in(settings.backup_dir)), None)
    if newest is None:
        yield Finding(
            name="backups",
            status=WARNING,
            detail=f"none in {settings.backup_dir}",
            advice="Run `settlement backup` from a timer; deploy/systemd has one.",
        )
        return
    age_us = SystemClock().now_us() - name_time_us(newest.name)
    old = age_us > _BACKUP_MAX_US
    yield Finding(
        name="backups",
        status=WARNING if old else OK,
        detail=f"{newest.name}, {age_us * 24 // _DAY_US} h old",
        advice="See why the timer does not run, then `settlement backup`." if old else "",
    )


def last_audit(settings: Settings) -> Iterator[Finding]:
    """What the last audit said, and when."""
    verdict = find_verdict(settings.audit_file)
    if verdict is None:
        yield Finding(
            name="audit",
            status=WARNING,
            detail=f"{settings.audit_file} holds no verdict",
            advice="Run `settlement audit`, from a timer too.",
        )
        return
    if not verdict.ok:
        # A warning, or a server that was only restarted would stay away.
        yield Finding(
            name="audit",
            status=WARNING,
            detail=f"{verdict.audited_at}: checks {', '.join(map(str, verdict.failed))} failed",
            advice="`settlement audit --only-failed` names the rows. Pause before you serve.",
        )
        return
    old = SystemClock().now_us() - parse_time(verdict.audited_at) > _AUDIT_MAX_US
    yield Finding(
        name="audit",
        status=WARNING if old else OK,
        detail=f"clean at {verdict.audited_at}",
        advice="Run `settlement audit` from a timer." if old else "",
    )


def open_files(_settings: Settings) -> Iterator[Finding]:
    """How many files and connections the process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = soft == resource.RLIM_INFINITY
    enough = endless or soft >= _FILES_WANTED
    yield Finding(
        name="open files",
        status=OK if enough else PROBLEM if soft < _FILES_MIN else WARNING,
        detail="no limit" if endless else f"at most {soft} (hard limit {hard})",
        advice="" if enough else "Every connection is one: LimitNOFILE=65536, or ulimit -n.",
    )


def collector(settings: Settings) -> Iterator[Finding]:
    """Whether somebody listens where traces go."""
    if not settings.trace_endpoint:
        return
    parts = urlsplit(settings.trace_endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), _CONNECT_SECONDS).close()
    except OSError as error:
        yield Finding(
            name="traces",
            status=WARNING,
            detail=f"{settings.trace_endpoint}: {error.strerror or error}",
            advice="Start the collector; until then traces are dropped, and nothing else.",
        )
        return
    yield Finding(name="traces", status=OK, detail=f"{settings.trace_endpoint} takes connections")


PROBES: Final = (
    scratch,
    sync,
    webhook_secrets,
    rail,
    backups,
    last_audit,
    open_files,
    collector,
)
