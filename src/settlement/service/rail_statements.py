"""Takes in what a rail says it moved: its own list, or a file that its provider exports.

For: `settlement statement-import`, and `settlement reconcile --statements`.
Guarantees: the rail's list is read to its end, into a scratch file, before a transaction begins;
then all of an import is kept or nothing, in pages. A line taken in twice is there once. A line
whose id is known with other money is reported and changes nothing; in a file it stops the file.
Does not: compare lines with the books; the audit does (check 32).

Spec §16.3 (32). Change colour: amber.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import SECOND_US, parse_time, time_text
from settlement.core.rail import Listing, RailSilent
from settlement.core.rail_lines import FROM_FILE, FROM_RAIL, LINE_KINDS, RailLine, RailStatement
from settlement.service.fresh import new_id
from settlement.store import rail_lines as rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from settlement.core.rail import Rail, RailRecord
    from settlement.store.database import Database, Tx

PREFIX: Final = "rst_"
PAGE: Final = 500
FIRST_TIME: Final = "1970-01-01T00:00:00.000000Z"
#: A list is asked for from a little before the last one ended: the rail's clock is not ours.
OVERLAP_US: Final = 3_600 * SECOND_US
#: What is shown of things that are wrong.
SHOWN: Final = 20


@dataclass(slots=True, kw_only=True)
class Imported:
    """What became of a statement. `kept` is False when nothing of it was taken in."""

    rail: str
    source: str
    kept: bool = False
    statement_id: str | None = None
    starts_at: str | None = None
    ends_at: str | None = None
    line_count: int = 0
    new: int = 0
    known: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)
    contradictions: list[dict[str, Any]] = field(default_factory=list)
    unlisted: bool = False
    silent: str | None = None

    @property
    def clean(self) -> bool:
        """Nothing about it needs a person, but for a rail that has no list."""
        return not (self.problems or self.contradictions or self.silent)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"ok": self.clean, **asdict(self)}


class Spool:
    """Lines on their way from a rail or a file into the books: a scratch file, and its digest."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # closed by __exit__
        self._digest = hashlib.sha256()
        self.count = 0
        self.first_at: str | None = None
        self.last_at: str | None = None

    def __enter__(self) -> Spool:
        """To be used in a `with`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The scratch file is gone."""
        self._file.close()

    def add(self, line: RailLine) -> None:
        """One more."""
        text = json.dumps(asdict(line), sort_keys=True) + "\n"
        self._digest.update(text.encode())
        self._file.write(text)
        self.count += 1
        if line.occurred_at is not None:
            self.first_at = min(self.first_at or line.occurred_at, line.occurred_at)
            self.last_at = max(self.last_at or line.occurred_at, line.occurred_at)

    def digest(self) -> str:
        """Of all lines so far."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[RailLine]:
        """All lines, from the first."""
        self._file.seek(0)
        for text in self._file:
            yield RailLine(**json.loads(text))


class _NothingKept(Exception):
    """Rolls an import back."""


def import_lists(db: Database, rails: Mapping[str, Rail]) -> list[Imported]:
    """What each rail's own list says."""
    return [import_list(db, name, rails[name]) for name in sorted(rails)]


def import_list(db: Database, name: str, rail: Rail) -> Imported:
    """What the rail's own list has since the last time; all of it the first time."""
    found = Imported(rail=name, source=FROM_RAIL)
    if not isinstance(rail, Listing):
        found.unlisted = True
        return found
    # What we booked before we asked, the rail had told us before: its list must have it. Its lag is
    # how long it may not know yet what it did.
    now_us, last = db.read(lambda tx: (tx.now_us, rows.last_end(tx, name, FROM_RAIL)))
    since_us = 0 if last is None else max(0, parse_time(last) - OVERLAP_US)
    ends_us = max(since_us, now_us - rail.lookup_lag_seconds * SECOND_US)
    found.starts_at, found.ends_at = time_text(since_us), time_text(ends_us)
    with Spool() as spool:
        try:
            for record in rail.known(since_us):
                _take(record, spool, found)
        except RailSilent as silence:
            found.silent = f"its list: {silence}"
            return found
        return keep(db, found, spool)


def _take(record: RailRecord, spool: Spool, found: Imported) -> None:
    """What a rail refused moved nothing, and a page to pay at is no money yet."""
    if record.state != "confirmed" or record.kind not in LINE_KINDS:
        return
    if record.rail_ref is None:
        why = f"a {record.kind} of {record.amount_minor} {record.asset} has no name at the rail"
        found.problems.append({"obligation_key": record.obligation_key, "why": why})
        return
    spool.add(
        RailLine(
            line_id=f"{record.kind}:{record.rail_ref}",
            kind=record.kind,
            asset=record.asset,
            amount_minor=record.amount_minor,
            rail_ref=record.rail_ref,
            obligation_key=record.obligation_key,
            occurred_at=record.occurred_at,
        )
    )


def keep(db: Database, given: Imported, lines: Spool) -> Imported:
    """Take the lines in, and note that its time is covered: all of it or nothing."""
    assert given.starts_at is not None, "a statement covers a time"
    assert given.ends_at is not None, "a statement covers a time"
    statement = RailStatement(
        statement_id=new_id(PREFIX),
        rail=given.rail,
        source=given.source,
        starts_at=given.starts_at,
        ends_at=given.ends_at,
        line_count=lines.count,
        digest=lines.digest(),
        imported_at="",
    )

    outcome = given

    def take(tx: Tx) -> None:
        nonlocal outcome
        # The function may run again, and starts anew then.
        outcome = replace(
            given,
            line_count=lines.count,
            problems=list(given.problems),
            contradictions=[],
        )
        _put(tx, replace(statement, imported_at=tx.now), lines, outcome)
        if outcome.problems or (given.source == FROM_FILE and outcome.contradictions):
            raise _NothingKept
        outcome.kept = True

    try:
        db.transaction(take)
    except _NothingKept:
        outcome.new = outcome.known = 0
        outcome.statement_id = None
    return outcome


def _put(tx: Tx, statement: RailStatement, lines: Spool, outcome: Imported) -> None:
    why = _misplaced(tx, statement)
    if why is not None:
        outcome.problems.append({"why": why})
        return
    same = rows.same_statement(tx, statement)
    outcome.statement_id = same or statement.statement_id
    if same is None:
        rows.add_statement(tx, statement)
    rest = iter(lines)
    while page := list(islice(rest, PAGE)):
        _put_page(tx, outcome, page)


def _misplaced(tx: Tx, statement: RailStatement) -> str | None:
    """Lines are never taken back, so what would go to the wrong rail, or say all of it a second
    time under other ids, is not taken in."""
    other = FROM_FILE if statement.source == FROM_RAIL else FROM_RAIL
    if rows.last_end(tx, statement.rail, other) is not None:
        whose = "its own list" if other == FROM_RAIL else "files"
        return f"statements of {statement.rail} come from {whose}; they would say everything twice"
    if statement.source == FROM_FILE and not rows.rail_is_known(tx, statement.rail):
        return f"nothing was ever booked over a rail named {statement.rail}"
    return None


def _put_page(tx: Tx, outcome: Imported, lines: list[RailLine]) -> None:
    known = rows.lines_of(tx, outcome.rail, [line.line_id for line in lines])
    fresh: dict[str, RailLine] = {}
    for line in lines:
        before = known.get(line.line_id) or fresh.get(line.line_id)
        if before is None:
            fresh[line.line_id] = line
        elif _money(before) == _money(line):
            outcome.known += 1
        elif len(outcome.contradictions) < SHOWN:
            outcome.contradictions.append(_contradiction(before, line))
    assert outcome.statement_id is not None, "it was noted before its lines"
    rows.add_lines(tx, outcome.rail, outcome.statement_id, list(fresh.values()))
    outcome.new += len(fresh)


def _money(line: RailLine) -> tuple[str, str, int, str]:
    return line.kind, line.asset, line.amount_minor, line.rail_ref


def _contradiction(before: RailLine, line: RailLine) -> dict[str, Any]:
    """Both, as they are."""
    return {"line_id": line.line_id, "kept": list(_money(before)), "says_now": list(_money(line))}
