"""Exports: the books as files that other tools read.

For: `settlement export`.
Guarantees: all files of one export are of one snapshot; they are written beside and moved into
place when complete, so a directory with its name is whole; amounts stand in minor units and as
exact decimal text, never as binary numbers. Memory does not grow with the tables (for a beancount
file it does with the accounts that are not at zero).
Does not: export keys, quotes, payout addresses, contacts or anything still sealed.

Change colour: green.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from settlement.core.beancount import ledger_text
from settlement.core.money import Asset, format_exact
from settlement.core.rows import Account, Transfer
from settlement.store.export import TABLES, Span, Table, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from settlement.store.database import Database, Row, Tx

_MINOR: Final = "_minor"
_SUM_BYTES: Final = 1 << 20
_BY_NAME: Final = {table.name: table for table in TABLES}


class Format(StrEnum):
    """What the files are."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    BEANCOUNT = "beancount"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of an export."""

    name: str
    rows: int
    sha256: str


def export(
    db: Database,
    directory: Path,
    form: Format,
    span: Span,
    turned: Callable[[int], None] = lambda _rows: None,
) -> list[File]:
    """Write a new directory; `turned` is told the rows of every page.

    Raises FileExistsError, OSError, and ImportError where Parquet's library is not installed.
    """
    if directory.exists():
        raise FileExistsError(17, "an export of that name is there already", str(directory))
    beside = directory.with_name(f".{directory.name}.partial")

    def on_snapshot(tx: Tx) -> list[File]:
        # A read may run again after a lost connection, and then starts over.
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        if form is Format.BEANCOUNT:
            return [_beancount(tx, beside / "ledger.beancount", turned)]
        return [_table(tx, beside, table, form, span, turned) for table in TABLES]

    try:
        written = db.read(on_snapshot)
        beside.rename(directory)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return written


def _table(
    tx: Tx, beside: Path, table: Table, form: Format, span: Span, turned: Callable[[int], None]
) -> File:
    path = beside / f"{table.name}.{form}"
    columns = columns_of(table)
    count = 0
    with _sink(path, form, columns) as sink:
        for page in stream(tx, table, span):
            sink.add([_told(row) for row in page])
            count += len(page)
            turned(len(page))
    return File(name=path.name, rows=count, sha256=_digest(path))


def columns_of(table: Table) -> dict[str, type]:
    """Name and type of each column; beside each amount in minor units its exact text."""
    columns: dict[str, type] = dict.fromkeys(table.extra, int)
    for one in fields(table.row):
        whole = str(one.type).split(" |")[0] == "int"
        columns[one.name] = int if whole else str
        if one.name.endswith(_MINOR):
            columns[one.name.removesuffix(_MINOR)] = str
    return columns


def _told(row: Row) -> Row:
    """The row with its amounts as exact text too."""
    asset = row.get("asset")
    scale = Asset.parse(asset) if asset is not None else None
    told: Row = {}
    for name, value in row.items():
        told[name] = value
        if name.endswith(_MINOR):
            exact = None if value is None or scale is None else format_exact(value, scale)
            told[name.removesuffix(_MINOR)] = exact
    return told


def _beancount(tx: Tx, path: Path, turned: Callable[[int], None]) -> File:
    count = 0

    def transfers() -> Iterator[Transfer]:
        nonlocal count
        for page in stream(tx, _BY_NAME["transfers"], Span()):
            count += len(page)
            turned(len(page))
            yield from (Transfer(**row) for row in page)

    accounts = (Account(**row) for page in stream(tx, _BY_NAME["accounts"], Span()) for row in page)
    with path.open("w", encoding="utf-8") as out:
        out.writelines(ledger_text(accounts, transfers()))
    return File(name=path.name, rows=count, sha256=_digest(path))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- forms of files ------------------------------------------------------------------------------


class _Sink(Protocol):
    """Takes rows; closed at the end of its block."""

    def __enter__(self) -> _Sink: ...
    def __exit__(self, *_error: object) -> None: ...
    def add(self, rows: Sequence[Row]) -> None: ...


def _sink(path: Path, form: Format, columns: dict[str, type]) -> _Sink:
    if form is Format.CSV:
        return _Csv(path, columns)
    return _Parquet(path, columns) if form is Format.PARQUET else _Jsonl(path)


class _Text:
    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")

    def __exit__(self, *_error: object) -> None:
        self._file.close()


class _Jsonl(_Text):
    def __enter__(self) -> _Jsonl:
        return self

    def add(self, rows: Sequence[Row]) -> None:
        self._file.writelines(
            json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows
        )


class _Csv(_Text):
    """RFC 4180, a heading line first; what is null is empty."""

    def __init__(self, path: Path, columns: dict[str, type]) -> None:
        super().__init__(path)
        self._rows = csv.DictWriter(self._file, list(columns))
        self._rows.writeheader()

    def __enter__(self) -> _Csv:
        return self

    def add(self, rows: Sequence[Row]) -> None:
        self._rows.writerows(rows)


class _Parquet:
    """Columns of 64-bit integers and text, compressed, a row group a page."""

    def __init__(self, path: Path, columns: dict[str, type]) -> None:
        # Here: the library is large, and only who asks for this form needs it.
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._make = pa.Table.from_pylist
        self._schema = pa.schema(
            [(name, pa.int64() if kind is int else pa.string()) for name, kind in columns.items()]
        )
        self._writer: Any = pq.ParquetWriter(path, self._schema)

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, *_error: object) -> None:
        self._writer.close()

    def add(self, rows: Sequence[Row]) -> None:
        self._writer.write_table(self._make(list(rows), schema=self._schema))
