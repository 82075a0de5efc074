"""Reads what moved on an agent's account, and keeps which statements were given out.

For: `service/statements.py`, and the audit, which makes them again.
Guarantees: a statement's row is added and never changed; movements come a page at a time.
Does not: add anything up.
Change colour: green.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from settlement.core.rows import Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Tx

PAGE_ROWS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRow:
    """A statement that was given out."""

    statement_id: str
    agent_id: str
    asset: str
    starts_at: str
    ends_at: str
    tree_size: int
    digest: str
    made_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A transfer that moved money on the account, and where the log has its event."""

    transfer: Transfer
    log_index: int | None


def movements_since(tx: Tx, ref: str, asset: str, start_us: int) -> Iterator[Movement]:
    """What moved on an account from the millisecond of a time on, in booked order."""
    after: dict[str, object] = {"tx_id": f"tx_{start_us // 1000:012x}", "leg": 0}
    while True:
        rows = tx.all("statement_movements", ref=ref, asset=asset, limit=PAGE_ROWS, **after)
        for row in rows:
            log_index = row.pop("log_index")
            yield Movement(transfer=Transfer(**row), log_index=log_index)
        if len(rows) < PAGE_ROWS:
            return
        after = {"tx_id": rows[-1]["tx_id"], "leg": rows[-1]["leg"]}


def balance_of(tx: Tx, ref: str, asset: str) -> int:
    """What the account holds now, in minor units; 0 for one that was never opened."""
    row = tx.maybe("statement_balance", ref=ref, asset=asset)
    return 0 if row is None else int(row["balance_minor"])


def assets(tx: Tx) -> list[str]:
    """Every asset that anything was booked in."""
    return [row["asset"] for row in tx.all("statement_assets")]


def keep(tx: Tx, row: StatementRow) -> None:
    """Note that a statement was given out."""
    tx.run("statement_keep", **asdict(row))


def page(tx: Tx, after: str, limit: int) -> list[StatementRow]:
    """Statements given out, in the order of their ids."""
    rows = tx.all("statement_page", statement_id=after, limit=limit)
    return [StatementRow(**row) for row in rows]
