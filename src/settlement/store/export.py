"""Reads whole tables for an export, a page at a time.

For: `service/exports.py`.
Guarantees: rows come in key order and in bounded memory, all of one snapshot when one transaction
reads them; a span of time is found by the time in the ids, without an index of its own.
Does not: hold secrets: keys, quotes, payout addresses and contacts are in none of these tables.
Change colour: green.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.rows import Account, Event, Payout, Settlement, Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Row, Tx

PAGE_ROWS: Final = 1_000
_LAST: Final = "g"  # after every hex digit


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From (included) to (not included), in microseconds; None: without end."""

    start_us: int | None = None
    end_us: int | None = None

    def after(self, prefix: str) -> str:
        """An id before every one of the span."""
        return prefix + (f"{self.start_us // 1000:012x}" if self.start_us is not None else "")

    def before(self, prefix: str) -> str:
        """An id after every one of the span."""
        return prefix + (f"{self.end_us // 1000:012x}" if self.end_us is not None else _LAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What one file of an export holds. `timed`: the id's prefix, where a span can be asked for."""

    name: str
    query: str
    row: type[Any]
    extra: tuple[str, ...] = ()
    start: tuple[tuple[str, Any], ...]
    timed: str | None = None


TABLES: Final = (
    Table(
        name="accounts", query="export_accounts", row=Account, start=(("ref", ""), ("asset", ""))
    ),
    Table(
        name="transfers",
        query="export_transfers",
        row=Transfer,
        start=(("tx_id", ""), ("leg", 0)),
        timed="tx_",
    ),
    Table(
        name="settlements",
        query="export_settlements",
        row=Settlement,
        start=(("tx_id", ""),),
        timed="tx_",
    ),
    Table(
        name="payouts", query="export_payouts", row=Payout, start=(("payout_id", ""),), timed="pay_"
    ),
    Table(
        name="events",
        query="export_events",
        row=Event,
        extra=("log_index",),
        start=(("log_index", -1),),
    ),
)


def stream(tx: Tx, table: Table, span: Span) -> Iterator[list[Row]]:
    """Pages of a table's rows."""
    after = dict(table.start)
    bounds: dict[str, Any] = {}
    if table.timed is not None:
        after[table.start[0][0]] = span.after(table.timed)
        bounds["before"] = span.before(table.timed)
    while True:
        rows = tx.all(table.query, limit=PAGE_ROWS, **after, **bounds)
        if rows:
            yield rows
        if len(rows) < PAGE_ROWS:
            return
        after = {name: rows[-1][name] for name in after}
