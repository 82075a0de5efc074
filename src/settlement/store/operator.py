"""What an operator asks of a database: its migrations, its durability, its effects and jobs.

For: `settlement doctor`, `migrate --status`, `effects`, `jobs`, and the start, which refuses a
database whose schema is not that of this release.
Guarantees: reads only, but for `probe`, which commits a change that changes nothing.
Does not: judge; the commands do.
Change colour: green.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.core.errors import DatabaseUnavailable
from settlement.store.database import DAMAGED, MigrationRefused
from settlement.store.lease_clock import wall_text
from settlement.store.migrate import is_begun, migrations_of
from settlement.store.pauses import read_pauses

if TYPE_CHECKING:
    from settlement.store.database import Database, Row, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """Which migrations a database has, and which it lacks."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Durability:
    """What the database says about what a commit survives."""

    version: str
    journal: str
    synchronous: str

    def is_full(self, kind: str) -> bool:
        """True when a commit that returned survives a power cut."""
        if kind == "sqlite":
            return self.journal == "wal" and self.synchronous == "2"
        return self.journal == "on" and self.synchronous in ("on", "remote_apply", "remote_write")


def schema_state(db: Database) -> SchemaState:
    """Compare the database with this release; raises MigrationRefused when it is newer,
    NotAllowed when the role may not see how far it is.
    """
    files = [f"{file.number:04d}_{file.name}" for file in migrations_of(db.kind)]
    rows = db.read(lambda tx: tx.all("migration_all") if is_begun(tx) else [])
    applied = tuple(f"{row['number']:04d}_{row['name']}" for row in rows)
    if len(applied) > len(files):
        raise MigrationRefused(
            f"the database has migration {applied[-1]}, which this release does not know: "
            "run the release that applied it, or a later one"
        )
    return SchemaState(applied=applied, pending=tuple(files[len(applied) :]))


def durability(db: Database) -> Durability:
    """Version and the two settings that decide what a commit survives."""
    row = db.read(lambda tx: tx.one("operator_durability"))
    return Durability(
        version=str(row["version"]),
        journal=str(row["journal"]),
        synchronous=str(row["synchronous"]),
    )


def probe(db: Database) -> int:
    """Commit something; returns the time stamp the database gave it, in microseconds."""

    def write(tx: Tx) -> int:
        tx.run("operator_probe")
        return tx.now_us

    return db.transaction(write)


def damage(db: Database) -> str | None:
    """What SQLite finds when it reads its whole file; None when it is sound, and for PostgreSQL."""
    if db.kind != "sqlite":
        return None
    try:
        said = str(db.read(lambda tx: tx.one("operator_quick_check"))["said"])
    except DatabaseUnavailable as error:
        if not error.reason.startswith(DAMAGED):
            raise
        return error.reason
    return None if said == "ok" else f"{DAMAGED}: {said.splitlines()[0].rstrip('.')}"


def last_head_time(db: Database) -> str | None:
    """When the last tree head was signed."""
    time: str | None = db.read(lambda tx: tx.one("operator_last_time"))["at"]
    return time


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Rows of a list, the database's time and lease time, and what is paused then."""

    rows: list[Row]
    now_us: int
    lease_us: int
    paused: tuple[str, ...]

    def shown(self, lease_us: int) -> str:
        """A lease time as people see it."""
        return wall_text(self.now_us, self.lease_us, lease_us)


def effects(
    db: Database, state: str, limit: int, *, deal_id: str = "", agent_id: str = ""
) -> Listed:
    """The latest effects; a condition that is empty leaves none out. State `open`: no outcome yet.

    `agent_id`: of deals it is a party of, and of whatever else it acted in.
    """
    return _listed(db, "operator_effects", state, limit, deal_id=deal_id, agent_id=agent_id)


def jobs(db: Database, state: str, limit: int) -> Listed:
    """The latest jobs, in that state or in any when it is empty."""
    return _listed(db, "operator_jobs", state, limit)


def outbox(db: Database, state: str, limit: int) -> Listed:
    """The messages in that state, oldest first."""
    return _listed(db, "operator_outbox", state, limit)


def waiting_messages(tx: Tx, deal_id: str) -> list[Row]:
    """A deal's messages that are not out yet, in order."""
    return tx.all("operator_deal_messages", deal_id=deal_id)


def chain_tail(tx: Tx, name: str, limit: int) -> list[Row]:
    """The latest events of a chain, newest first."""
    return tx.all("operator_chain_tail", deal_id=name, limit=limit)


def inbox(db: Database, state: str, limit: int) -> Listed:
    """The latest messages of rails in that state."""
    return _listed(db, "operator_inbox", state, limit)


def _listed(db: Database, query: str, state: str, limit: int, **more: str) -> Listed:
    def read(tx: Tx) -> Listed:
        rows = tx.all(query, state=state, limit=limit, **more)
        return Listed(rows=rows, now_us=tx.now_us, lease_us=tx.lease_us, paused=read_pauses(tx).on)

    return db.read(read)
