"""`settlement doctor`: try what the server will need, and say what to fix.

Guarantees: findings come from doing (opening, writing, syncing, signing, binding), not from reading
settings; exit 0 when everything a start needs works, 1 otherwise.
Does not: create a database or a key, or leave anything behind.
Change colour: green.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import rich_click as click
from rich.markup import escape
from rich.table import Table

from settlement.cli import doctor_around
from settlement.cli.findings import OK, PROBLEM, WARNING, Finding, nearest
from settlement.cli.output import (
    DAMAGE_ADVICE,
    DATABASE_ADVICE,
    EXIT_NO,
    EXIT_OK,
    console,
    database_advice,
    database_option,
    database_silence,
    emit,
    json_option,
    settings_from_environment,
)
from settlement.core.clock import parse_time
from settlement.core.errors import DatabaseUnavailable, SettlementError
from settlement.sealing import read_key_file
from settlement.service.checkpoint_file import CheckpointFile
from settlement.signing import Ed25519FileSigner, SigningKeyError, verify_ed25519
from settlement.store import operator
from settlement.store.database import MigrationRefused, StoreError, SystemClock, open_database
from settlement.store.log import find_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from settlement.config import Settings
    from settlement.core.checkpoint import TreeHead
    from settlement.store.database import Database

_Probe: TypeAlias = "Callable[[Settings], Iterator[Finding]]"

_MARKS: Final = {
    OK: "[green]ok[/]",
    WARNING: "[yellow]warning[/]",
    PROBLEM: "[bold red]problem[/]",
}
_MEBIBYTE: Final = 2**20
_FREE_MIN: Final = 100 * _MEBIBYTE
_FREE_WANTED: Final = 1024 * _MEBIBYTE
_CLOCK_APART_US: Final = 2_000_000


@click.command()
@click.option(
    "--quick", is_flag=True, help="Before each start: all but reading an SQLite file to its end."
)
@database_option
@json_option
def doctor(*, quick: bool, database: str | None, as_json: bool) -> int:
    """Try everything a start needs and say what to fix."""
    settings = settings_from_environment(database=database)
    probes: tuple[_Probe, ...] = (partial(_database, whole=not quick), *_PROBES)
    findings = [found for probe in probes for found in probe(settings)]
    good = not any(found.status == PROBLEM for found in findings)
    if as_json:
        emit({"ok": good, "checks": [asdict(found) for found in findings]})
        return EXIT_OK if good else EXIT_NO
    table = Table("what", "result", "found", "what to do")
    for found in findings:
        shown = (escape(text) for text in (found.detail, found.advice))
        table.add_row(found.name, _MARKS[found.status], *shown)
    console().print(table)
    return EXIT_OK if good else EXIT_NO


# --- database ------------------------------------------------------------------------------------


def _database(settings: Settings, *, whole: bool = True) -> Iterator[Finding]:
    path = settings.sqlite_path
    if path is not None and not path.exists():
        yield Finding(
            name="database",
            status=WARNING,
            detail=f"{path} does not exist yet",
            advice="The first start makes it.",
        )
        return
    try:
        db = open_database(settings.database)
    except (SettlementError, StoreError, RuntimeError) as error:
        yield _no_database(error)
        return
    try:
        yield from _opened(db, whole=whole)
    except (SettlementError, StoreError) as error:
        yield _no_database(error)
    finally:
        db.close()


def _no_database(error: Exception) -> Finding:
    if isinstance(error, DatabaseUnavailable):
        detail, advice = database_silence(error), database_advice(error)
    else:
        detail, advice = str(error), DATABASE_ADVICE
    return Finding(name="database", status=PROBLEM, detail=detail, advice=advice)


def _opened(db: Database, *, whole: bool) -> Iterator[Finding]:
    how = operator.durability(db)
    yield Finding(name="database", status=OK, detail=f"{db.kind} {how.version} opens")
    full = how.is_full(db.kind)
    wanted = "fsync=on and synchronous_commit=on" if db.kind == "postgres" else "WAL and FULL"
    yield Finding(
        name="durability",
        status=OK if full else PROBLEM,
        detail=f"journal {how.journal}, synchronous {how.synchronous}",
        advice="" if full else f"An acknowledged payment could be lost: set {wanted}.",
    )
    try:
        pending = operator.schema_state(db).pending
    except MigrationRefused as error:
        yield Finding(name="schema", status=PROBLEM, detail=str(error), advice="Use that release.")
        return
    if pending:
        yield Finding(
            name="schema",
            status=WARNING,
            detail=f"{len(pending)} migrations are missing",
            advice="`settlement migrate` applies them; so does a start.",
        )
        return
    yield Finding(name="schema", status=OK, detail="up to date")
    # A file of many gigabytes takes minutes, in which no service starts.
    if whole and (damage := operator.damage(db)) is not None:
        yield Finding(name="file", status=PROBLEM, detail=damage, advice=DAMAGE_ADVICE)
        return
    if whole and db.kind == "sqlite":
        yield Finding(name="file", status=OK, detail="every page and row was read")
    stamp_us = operator.probe(db)
    yield Finding(name="commit", status=OK, detail="a transaction was committed")
    yield from _clock(db, stamp_us)


def _clock(db: Database, stamp_us: int) -> Iterator[Finding]:
    apart_us = abs(SystemClock().now_us() - stamp_us)
    last = operator.last_head_time(db)
    if apart_us > _CLOCK_APART_US:
        yield Finding(
            name="clock",
            status=WARNING,
            detail=f"this machine and the database are {apart_us // 1_000_000} s apart",
            advice="Let both follow one time server.",
        )
    elif last is not None and parse_time(last) > stamp_us:
        yield Finding(
            name="clock",
            status=WARNING,
            detail=f"the last tree head was signed at {last}, which is in the future",
            advice="Set the clock; times in the books never go back.",
        )
    else:
        yield Finding(name="clock", status=OK, detail="agrees with the database")


# --- files ---------------------------------------------------------------------------------------


def _directories(settings: Settings) -> Iterator[Finding]:
    path = settings.sqlite_path
    wanted = {
        "database directory": path.parent if path is not None else None,
        "key directory": settings.signing_key_file.parent,
        "checkpoint directory": settings.checkpoint_file.parent,
        "rail directory": settings.rail_dir,
    }
    for name, directory in wanted.items():
        if directory is None:
            continue
        place = nearest(directory)
        try:
            _write_and_read_back(place)
        except OSError as error:
            yield Finding(
                name=name,
                status=PROBLEM,
                detail=f"{place}: {error.strerror}",
                advice="Let the server's user write there.",
            )
        else:
            yield Finding(name=name, status=OK, detail=f"{place}: written, synced, read back")


def _write_and_read_back(directory: Path) -> None:
    probe = directory / f".settlement-doctor-{secrets.token_hex(8)}"
    try:
        with probe.open("xb") as file:
            file.write(b"probe")
            file.flush()
            os.fsync(file.fileno())
        if probe.read_bytes() != b"probe":
            raise OSError(0, "what was written did not come back")
    finally:
        probe.unlink(missing_ok=True)


def _space(settings: Settings) -> Iterator[Finding]:
    place = nearest((settings.sqlite_path or settings.checkpoint_file).parent)
    free = shutil.disk_usage(place).free
    status = PROBLEM if free < _FREE_MIN else WARNING if free < _FREE_WANTED else OK
    yield Finding(
        name="disk",
        status=status,
        detail=f"{free // _MEBIBYTE:,} MiB free at {place}",
        advice="" if status == OK else "Make room: a full disk stops all writing.",
    )


def _signing_key(settings: Settings) -> Iterator[Finding]:
    path = settings.signing_key_file
    if not path.exists() and settings.sandbox:
        yield Finding(
            name="signing key",
            status=WARNING,
            detail=f"{path} does not exist yet",
            advice="The first start in sandbox makes it.",
        )
        return
    try:
        signer = Ed25519FileSigner(path, settings.log_key_id)
    except SigningKeyError as error:
        yield Finding(
            name="signing key",
            status=PROBLEM,
            detail=f"{error.path}: {error.reason}",
            advice=error.advice,
        )
        return
    works = verify_ed25519(signer.public_key, b"doctor", signer.sign(b"doctor"))
    yield Finding(
        name="signing key",
        status=OK if works else PROBLEM,
        detail="signs, and the signature verifies",
    )


def _seal_key(settings: Settings) -> Iterator[Finding]:
    """Without one the server serves, so its absence is a warning; a spoilt one stops the start."""
    path = settings.seal_key_file
    if settings.seal_key:
        yield Finding(name="seal key", status=OK, detail="SETTLEMENT_SEAL_KEY holds 32 bytes")
        return
    if not path.exists():
        advice = "Set SETTLEMENT_SEAL_KEY: until then bids are refused."
        yield Finding(
            name="seal key",
            status=WARNING,
            detail=f"SETTLEMENT_SEAL_KEY is empty and {path} does not exist yet",
            advice="The first start in sandbox makes it." if settings.sandbox else advice,
        )
        return
    try:
        read_key_file(path)
    except (SigningKeyError, ValueError) as error:
        yield Finding(
            name="seal key",
            status=PROBLEM,
            detail=f"{path}: {error}",
            advice="Put the key back from your own copy, or set SETTLEMENT_SEAL_KEY.",
        )
        return
    yield Finding(name="seal key", status=OK, detail=f"{path} holds 32 bytes")


def _checkpoint(settings: Settings) -> Iterator[Finding]:
    try:
        head = CheckpointFile(settings.checkpoint_file).read()
    except (SettlementError, OSError) as error:
        yield Finding(
            name="checkpoint file",
            status=PROBLEM,
            detail=error.detail if isinstance(error, SettlementError) else str(error),
            advice="Put your own copy of it back; do not delete it.",
        )
        return
    if head is None:
        yield Finding(name="checkpoint file", status=OK, detail="none yet")
        return
    yield _against_log(settings, head)


def _against_log(settings: Settings, promised: TreeHead) -> Finding:
    """What makes a start read-only: a log that is shorter than what was signed, or another."""
    detail = f"tree head of size {promised.tree_size}"
    try:
        reached, root = _log_at(settings, promised.tree_size)
    except (SettlementError, StoreError, RuntimeError):  # the database has a finding of its own
        detail += "; the log cannot be read to compare it with"
        return Finding(name="checkpoint file", status=OK, detail=detail)
    if reached >= promised.tree_size and root == promised.root_hash:
        return Finding(name="checkpoint file", status=OK, detail=f"{detail}, and the log has it")
    if reached < promised.tree_size:
        detail += f" was signed, the log in the database reaches {reached} only"
    else:
        detail += ": the log in the database has another root there"
    return Finding(
        name="checkpoint file",
        status=PROBLEM,
        detail=detail,
        advice="A start is read-only: `settlement recover` a later backup, or, if there is none,"
        " `settlement accept-gap`. docs/incident_runbook.md, incidents 3 and 7.",
    )


def _log_at(settings: Settings, tree_size: int) -> tuple[int, str | None]:
    """The size of the last head in the database, and the root of the head of that size."""
    path = settings.sqlite_path
    if path is not None and not path.exists():
        return 0, None
    db = open_database(settings.database)
    try:
        if not operator.schema_state(db).applied:
            return 0, None
        last, same = db.read(lambda tx: (find_head(tx), find_head(tx, tree_size)))
    finally:
        db.close()
    return 0 if last is None else last.tree_size, None if same is None else same.root_hash


def _port(settings: Settings) -> Iterator[Finding]:
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            yield Finding(
                name="port",
                status=WARNING,
                detail=f"{where}: {error.strerror}",
                advice="A server may be running already; else choose another SETTLEMENT_PORT.",
            )
            return
    yield Finding(name="port", status=OK, detail=f"{where} is free")


_PROBES: Final[tuple[_Probe, ...]] = (
    _directories,
    _space,
    _signing_key,
    _seal_key,
    _checkpoint,
    _port,
    *doctor_around.PROBES,
)
