"""Audit of the money at rails: what is booked there against what rails say they moved (check 32).

Guarantees: one pass over the transfers that touch clearing or transit, each held against the lines
of its reference; one over the lines; and both sums must leave the same difference. A line may be
unmatched while the effect it belongs to is open; a movement, where no statement covers its time.
Does not: look at rails of which no statement was ever taken in.

Spec §16.3 (32). Change colour: amber.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final

from settlement.core.canonical import load_json
from settlement.core.clock import DAY_US, SECOND_US, parse_time
from settlement.core.errors import CanonicalForm
from settlement.core.rail_lines import (
    CHARGE,
    CHARGEBACK,
    FROM_FILE,
    FROM_RAIL,
    PAYOUT,
    REFUND,
    signed,
)
from settlement.service.audit_base import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from settlement.service.audit_base import AuditContext, Outcome
    from settlement.store.audit import AuditReader

_BATCH: Final = 500
#: How far a provider's clock may be from ours, and its newest lines behind.
MARGIN_US: Final = 3_600 * SECOND_US
#: How late a rail's message about a payment may come: providers repeat them for three days.
LATE_US: Final = 3 * DAY_US
_CASH: Final = frozenset({"clearing", "payout_transit"})
#: A movement's kind -> how a rail lists it.
_LISTED_AS: Final = {
    "charge": CHARGE,
    "topup": CHARGE,
    "refund": REFUND,
    "payout": PAYOUT,
    "payout_settled": PAYOUT,
    "chargeback": CHARGEBACK,
}
_NO_LINE: Final = "it is booked, and a statement that covers its time has no line of it"
_TWICE: Final = "statements have more than one line of it"
_OTHER: Final = "its line has other money"
_IN_TRANSIT: Final = "its line says that it has arrived, and a part of it is in transit"
_DIFFERENCE: Final = "clearing and transit are not what statements say and what is unmatched"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved:
    """What one transaction moved at one rail."""

    tx_id: str
    rail: str
    asset: str
    deal_id: str
    booked_at: str
    kind: str
    rail_ref: str | None
    minor: int  # more at the rail, or less
    transit_minor: int

    @property
    def name(self) -> tuple[str, str | None, str]:
        return self.rail, self.rail_ref, self.kind

    def bad(self, why: str, line: dict[str, Any] | None = None) -> dict[str, Any]:
        shown = {name: getattr(self, name) for name in ("rail", "tx_id", "deal_id", "kind")}
        money = {"asset": self.asset, "minor": self.minor, "rail_ref": self.rail_ref}
        return {**shown, **money, "booked_at": self.booked_at, "line": line, "why": why}


@dataclass(slots=True)
class _Cover:
    """The times that statements cover, by rail and source: spans that neither meet nor overlap."""

    spans: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def read(cls, reader: AuditReader) -> _Cover:
        cover = cls()
        start: dict[str, Any] = {"rail": "", "source": "", "starts_at": "", "statement_id": ""}
        for row in reader.stream("audit_cover_page", **start):
            spans = cover.spans.setdefault((row["rail"], row["source"]), [])
            begin, end = parse_time(row["starts_at"]), parse_time(row["ends_at"])
            if spans and begin <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((begin, end))
        return cover

    def rails(self) -> set[str]:
        return {rail for rail, _ in self.spans}

    def demands(self, moved: _Moved, asked_at: str | None) -> bool:
        """Whether a statement must have a line of it. `asked_at`: when we planned to ask for it.

        The rail moved it between then and when it was booked. What we did not ask for was moved
        before its message came; a rail's own list does not have it.
        """
        booked = parse_time(moved.booked_at)
        if asked_at is not None:
            asked = parse_time(asked_at)
            if self._covers((moved.rail, FROM_RAIL), asked, booked):
                return True
            return self._covers((moved.rail, FROM_FILE), asked - MARGIN_US, booked + MARGIN_US)
        return self._covers((moved.rail, FROM_FILE), booked - LATE_US, booked + MARGIN_US)

    def _covers(self, whose: tuple[str, str], begin: int, end: int) -> bool:
        spans = self.spans.get(whose, [])
        place = bisect_right(spans, begin, key=lambda span: span[0]) - 1
        return place >= 0 and spans[place][1] >= end


def _lines(reader: AuditReader, _context: AuditContext) -> Outcome:
    cover = _Cover.read(reader)
    rails = cover.rails()
    unmatched: Counter[tuple[str, str]] = Counter()
    moved = (one for one in _movements(reader) if one.rail in rails)
    while batch := list(islice(moved, _BATCH)):
        bad = _compare(reader, batch, cover, unmatched)
        if bad is not None:
            return bad
    return _stray(reader) or _difference(reader, rails, unmatched)


# --- what is booked ------------------------------------------------------------------------------


def _movements(reader: AuditReader) -> Iterator[_Moved]:
    """Transaction by transaction, in their order."""
    rows = reader.stream("audit_cash_page", tx_id="", leg=-1)
    for _, legs in groupby(rows, key=lambda row: row["tx_id"]):
        by_rail: dict[tuple[str, str], list[tuple[dict[str, Any], int, str]]] = {}
        for row in legs:
            for side, sign in (("debit", 1), ("credit", -1)):
                if row[f"{side}_class"] in _CASH:
                    rail = row[f"{side}_ref"].partition(":")[2]
                    part = (row, sign * row["amount_minor"], row[f"{side}_class"])
                    by_rail.setdefault((rail, row["asset"]), []).append(part)
        for (rail, asset), parts in by_rail.items():
            yield _moved(rail, asset, parts)


def _moved(rail: str, asset: str, parts: Sequence[tuple[dict[str, Any], int, str]]) -> _Moved:
    first = parts[0][0]
    return _Moved(
        tx_id=first["tx_id"],
        rail=rail,
        asset=asset,
        deal_id=first["deal_id"],
        booked_at=first["booked_at"],
        kind=_LISTED_AS.get(first["kind"], first["kind"]),
        rail_ref=_reference(first["payload"]),
        minor=sum(minor for _, minor, _ in parts),
        transit_minor=sum(minor for _, minor, at in parts if at == "payout_transit"),
    )


def _reference(payload: str | None) -> str | None:
    """The rail's name of it, by its event. Text that is no JSON, the checks of chains name."""
    try:
        value = load_json(payload or "{}")
    except CanonicalForm:
        return None
    found = value.get("rail_ref") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _compare(
    reader: AuditReader,
    batch: Sequence[_Moved],
    cover: _Cover,
    unmatched: Counter[tuple[str, str]],
) -> dict[str, Any] | None:
    lines = _lines_of(reader, batch)
    without: list[_Moved] = []
    for moved in batch:
        found = lines.get(moved.name, [])
        if found:
            why = _line_fault(moved, found)
            if why is not None:
                return moved.bad(why, found[-1])
        elif moved.minor or moved.transit_minor:
            without.append(moved)
            unmatched[moved.rail, moved.asset] += moved.minor
    asked = _asked(reader, without)
    for moved in without:
        if cover.demands(moved, asked.get((moved.deal_id, *moved.name))):
            return moved.bad(_NO_LINE)
    return None


def _line_fault(moved: _Moved, found: Sequence[dict[str, Any]]) -> str | None:
    if len(found) > 1:
        return _TWICE
    line = found[0]
    if (line["asset"], signed(line["kind"], line["amount_minor"])) != (moved.asset, moved.minor):
        return _OTHER
    return _IN_TRANSIT if moved.transit_minor else None


def _lines_of(
    reader: AuditReader, batch: Sequence[_Moved]
) -> dict[tuple[str, str | None, str], list[dict[str, Any]]]:
    refs: dict[str, set[str]] = {}
    for moved in batch:
        if moved.rail_ref is not None:
            refs.setdefault(moved.rail, set()).add(moved.rail_ref)
    found: dict[tuple[str, str | None, str], list[dict[str, Any]]] = {}
    for rail, names in sorted(refs.items()):
        rows = reader.all("audit_lines_of", rail=rail, refs=sorted(names))
        for line in sorted(rows, key=lambda row: row["line_id"]):
            found.setdefault((rail, line["rail_ref"], line["kind"]), []).append(line)
    return found


def _asked(reader: AuditReader, without: Sequence[_Moved]) -> dict[tuple[str | None, ...], str]:
    """When each of these that answers an effect of ours was planned."""
    deals = sorted({moved.deal_id for moved in without})
    rows = reader.all("audit_answers_of", deals=deals) if deals else []
    return {
        (row["deal_id"], row["rail"], row["rail_ref"], row["kind"]): row["created_at"]
        for row in rows
    }


# --- what rails say ------------------------------------------------------------------------------


def _stray(reader: AuditReader) -> dict[str, Any] | None:
    """The oldest line that belongs to nothing. Of the last hour, the message may be on its way."""
    line = reader.first("audit_line_stray")
    if line is None:
        return None
    at = line["occurred_at"]
    if at is not None and parse_time(at) > reader.now_us - MARGIN_US:
        return None
    return line


def _difference(
    reader: AuditReader, rails: set[str], unmatched: Counter[tuple[str, str]]
) -> dict[str, Any] | None:
    """What is booked less what no line has = what lines say less what nothing here explains."""
    booked: Counter[tuple[str, str]] = Counter()
    for row in reader.all("audit_cash_totals"):
        booked[row["ref"].partition(":")[2], row["asset"]] += row["minor"]
    said = {(row["rail"], row["asset"]): row for row in reader.all("audit_line_totals")}
    for rail, asset in sorted({*booked, *said}):
        if rail not in rails:
            continue
        row = said.get((rail, asset), {"lines_minor": 0, "unmatched_minor": 0})
        loose = unmatched[rail, asset]
        if booked[rail, asset] - loose != row["lines_minor"] - row["unmatched_minor"]:
            shown = {"rail": rail, "asset": asset, "booked_minor": booked[rail, asset]}
            lines = {name: row[name] for name in ("lines_minor", "unmatched_minor")}
            return {**shown, "without_line_minor": loose, **lines, "why": _DIFFERENCE}
    return None


CHECKS: Final = (
    Check(
        number=32,
        title="clearing and transit match statement lines",
        run=_lines,
        needs="rail_statement",
    ),
)
