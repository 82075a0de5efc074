"""How an audit reads: pages of rows in key order, and single answers, all on one snapshot.

For: `service/audit*.py`.
Guarantees: constant memory: never more than a page of rows at once; reads only. What was streamed
is summed into a digest, so two reports can be told to be about the same rows.
Does not: judge anything.
Change colour: green.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from settlement.store.database import Row, Tx

PAGE_ROWS: Final = 1_000
T = TypeVar("T")


class AuditReader:
    """One snapshot, read a page at a time. `turned` is told the rows of every page.

    `planned`: the database plans by statistics, and is told what kind of query comes.
    """

    def __init__(
        self, tx: Tx, turned: Callable[[int], None] | None = None, *, planned: bool = False
    ) -> None:
        self._tx = tx
        self._planned = planned
        self._mode = ""
        if planned:
            tx.run("audit_patience")
        self._turned = turned or (lambda _rows: None)
        self._digests: dict[str, str] = {}
        self._kept: dict[str, list[Row]] = {}
        self.now_us = tx.now_us
        self.counts: dict[str, int] = {row["name"]: row["n"] for row in tx.all("audit_counts")}

    def first(self, query: str, **params: Any) -> Row | None:
        """The first row of a query that looks for faults, or None."""
        rows = self.all(query, **params)
        return rows[0] if rows else None

    def all(self, query: str, **params: Any) -> list[Row]:
        """A short list: rules, kinds, at most a row per check.

        What names no place goes over everything, what names one seeks.
        """
        self._plan_for("audit_by_page" if params else "audit_by_sum")
        return self._tx.all(query, **params)

    def once(self, query: str) -> list[Row]:
        """As `all`, but asked only once: several checks share the answer."""
        if query not in self._kept:
            self._kept[query] = self.all(query)
        return self._kept[query]

    def stream(
        self, query: str, fixed: Mapping[str, Any] | None = None, **start: Any
    ) -> Iterator[Row]:
        """Every row of a paged query, in the order of its key; `start` names the key's columns.

        `fixed`: what the query asks for beside its place.
        """
        after, digest = dict(start), hashlib.sha256()
        while True:
            self._plan_for("audit_by_page")
            rows = self._tx.all(query, limit=PAGE_ROWS, **after, **(fixed or {}))
            for row in rows:
                digest.update(json.dumps(list(row.values())).encode() + b"\n")
                yield row
            self._turned(len(rows))
            if len(rows) < PAGE_ROWS:
                break
            after = {name: rows[-1][name] for name in start}
        self._digests[query] = digest.hexdigest()

    def _plan_for(self, mode: str) -> None:
        if self._planned and mode != self._mode:
            self._tx.all(mode)
            self._mode = mode

    def on_snapshot(self, read: Callable[[Tx], T]) -> T:
        """What another part reads, on the same snapshot."""
        return read(self._tx)

    def input_hash(self) -> str:
        """A digest of everything streamed to its end, and of the size of every table."""
        text = json.dumps([self.counts, self._digests], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
