"""Reads the file that an operator makes of a provider's export: one CSV form, strictly.

For: `settlement statement-import RAIL FILE`.
Guarantees: a row is read exactly or named, with its line in the file and what is wrong; one bad row
and nothing of the file is taken in. The file is read a row at a time.
Does not: guess: no other columns, no local times, no thousands' separators, no signs.

Spec §16.3 (32). Change colour: amber.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from settlement.core.errors import SettlementError
from settlement.core.money import Asset, parse_amount
from settlement.core.rail_lines import FROM_FILE, LINE_KINDS, RailLine
from settlement.service.rail_statements import SHOWN, Imported, Spool, keep
from settlement.service.revenue import instant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.store.database import Database

COLUMNS: Final = ("line_id", "kind", "asset", "amount", "rail_ref", "occurred_at")
NAME_MAX: Final = 200


class BadRow(Exception):
    """What is wrong with a row."""


def import_file(
    db: Database, rail: str, path: Path, starts_at: str = "", ends_at: str = ""
) -> Imported:
    """Take a file in, or say what is wrong with it.

    It covers from `starts_at` to `ends_at`; by default from its first line to its last.
    """
    found = Imported(rail=rail, source=FROM_FILE)
    with Spool() as spool:
        for number, row in _rows(path, found):
            try:
                spool.add(_line(row, starts_at, ends_at))
            except BadRow as bad:
                _note(found, number, str(bad))
        found.line_count = spool.count
        found.starts_at, found.ends_at = starts_at or spool.first_at, ends_at or spool.last_at
        if not found.problems and (found.starts_at is None or found.ends_at is None):
            _note(found, 1, "it has no lines: say with --period which time it covers")
        if found.problems:
            return found
        return keep(db, found, spool)


def _note(found: Imported, number: int, why: str) -> None:
    if len(found.problems) < SHOWN:
        found.problems.append({"line": number, "why": why})


def _rows(path: Path, found: Imported) -> Iterator[tuple[int, list[str]]]:
    """Rows with their lines in the file; what cannot be read at all ends it."""
    number = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                _note(found, 1, f"the first line is not {','.join(COLUMNS)}")
                return
            for row in reader:
                number = reader.line_num
                if row:
                    yield number, row
    except (csv.Error, UnicodeDecodeError) as error:
        _note(found, number + 1, f"it is no CSV file in UTF-8: {error}")


def _line(row: list[str], starts_at: str, ends_at: str) -> RailLine:
    if len(row) != len(COLUMNS):
        raise BadRow(f"it has {len(row)} columns, not {len(COLUMNS)}")
    line_id, kind, asset, amount, rail_ref, occurred_at = row
    for name, text in (("line_id", line_id), ("rail_ref", rail_ref)):
        if not text or len(text) > NAME_MAX or not text.isprintable() or text != text.strip():
            raise BadRow(f"{name}: not a name of 1 to {NAME_MAX} printable characters")
    if kind not in LINE_KINDS:
        raise BadRow(f"kind: not one of {', '.join(LINE_KINDS)}")
    try:
        minor = parse_amount(amount, Asset.parse(asset), "amount")
        at = instant(occurred_at, "occurred_at")
    except SettlementError as error:
        raise BadRow(error.detail) from error
    if not at:
        raise BadRow("occurred_at: it is missing")
    if at < starts_at or (ends_at and at > ends_at):
        raise BadRow("occurred_at: it is not in the period")
    return RailLine(
        line_id=line_id,
        kind=kind,
        asset=asset,
        amount_minor=minor,
        rail_ref=rail_ref,
        occurred_at=at,
    )
