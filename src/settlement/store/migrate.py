"""Migrations: numbered files, applied forward only, each remembered with its checksum.

`sql/migrations/NNNN_name.<kind>.sql` runs once per database, all missing ones in one transaction
under the caller's exclusive lock, so that processes starting together apply them once. A file that
changed after it was applied, or a database newer than the files, is refused with what to do.
Does not: go backwards, or run anything but the files.
Change colour: red.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from settlement.store.database import MigrationRefused, Tx
from settlement.store.queries import SQL_DIRECTORY

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.(sqlite|postgres)\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file."""

    number: int
    name: str
    text: str
    checksum: str


class SchemaTx(Tx, Protocol):
    """A transaction that can also run a file of statements."""

    def script(self, text: str) -> None:
        """Run all statements of a text; without parameters."""
        ...


@cache
def migrations_of(kind: str) -> tuple[Migration, ...]:
    """The files of one database kind in order; raises MigrationRefused when a number is missing."""
    found: list[Migration] = []
    for path in sorted((SQL_DIRECTORY / "migrations").glob(f"*.{kind}.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise MigrationRefused(f"{path.name} is not named NNNN_name.{kind}.sql")
        content = path.read_bytes()
        found.append(
            Migration(
                number=int(match.group(1)),
                name=match.group(2),
                text=content.decode(),
                checksum=hashlib.sha256(content).hexdigest(),
            )
        )
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise MigrationRefused(f"the {kind} migrations are not numbered 1, 2, 3, ...")
    return tuple(found)


def is_begun(tx: Tx) -> bool:
    """Whether the register of migrations is there, also for a role that may not read it."""
    return bool(tx.one("migration_table_there")["there"])


def apply_migrations(tx: SchemaTx, kind: str, up_to: int | None = None) -> list[str]:
    """Apply what is missing; the caller holds the lock that keeps other processes out.

    `up_to`: stop there, for rows of an older release that are about to be loaded.
    """
    # A role that may not change the schema starts on one that is up to date: nothing is made that
    # is there already, for even IF NOT EXISTS asks for the right to make it.
    if not is_begun(tx):
        tx.run("migration_table_create")
    applied = {row["number"]: row for row in tx.all("migration_all")}
    files = migrations_of(kind)
    newer = [number for number in applied if number > len(files)]
    if newer:
        raise MigrationRefused(
            f"the database has migration {max(newer)}, this release knows {len(files)}: "
            "run the release that applied it, or a later one"
        )
    done: list[str] = []
    for file in files[:up_to]:
        row = applied.get(file.number)
        if row is None:
            tx.script(file.text)
            tx.run(
                "migration_insert",
                number=file.number,
                name=file.name,
                checksum=file.checksum,
                applied_at=tx.now,
            )
            done.append(f"{file.number:04d}_{file.name}")
        elif row["checksum"] != file.checksum:
            raise MigrationRefused(
                f"migration {file.number:04d}_{file.name} has changed since it was applied: "
                "restore the file and put the change into a new migration"
            )
    return done
