"""What an agent earned and paid, deal by deal, from the ledger's entries (spec §16.2).

Guarantees: every figure is a sum of entries on the agent's own account within the period; a page
is a bounded number of deals read in a fixed number of queries; the last id shown continues it. The
first page also has what moved outside deals: reserves of mandates, top-ups, what was recovered.
Does not: estimate, or show another agent's account.

Contract §2.7. Change colour: amber.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import parse_time
from settlement.core.deal import shown_status
from settlement.core.errors import AgentNotFound, CursorMalformed, InvalidField, MalformedId
from settlement.core.ids import check_name
from settlement.core.money import Asset, format_exact
from settlement.core.rows import DealState
from settlement.service.entry_view import Entry, entries_of
from settlement.service.reputation import get_agent
from settlement.store import revenue as rows
from settlement.store.agents import deals_page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from settlement.core.principal import Principal
    from settlement.store.database import Database, Tx
    from settlement.store.revenue import DealFigures

DEALS_MAX: Final = 500
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From (included) to (not included), in the one text form; `after` continues a page."""

    start: str = ""
    end: str = ""
    after: str = ""

    @classmethod
    def of(cls, *, start: str | None, end: str | None, cursor: str | None) -> Window:
        """Read what a caller sent; raises InvalidField, CursorMalformed."""
        after = ""
        if cursor:
            try:
                after = check_name(cursor, "cursor")
            except MalformedId:
                raise CursorMalformed() from None
        return cls(start=instant(start, "from"), end=instant(end, "to"), after=after)

    def holds(self, at: str) -> bool:
        """Tell whether a booked time lies in the window."""
        return self.start <= at and (not self.end or at < self.end)


def instant(text: str | None, field: str) -> str:
    """A UTC day or time in the one text form, "" for none; raises InvalidField."""
    if not text:
        return ""
    if _DAY.fullmatch(text):
        text += "T00:00:00Z"
    found = _TIME.fullmatch(text)
    if found is not None:
        full = f"{found[1]}.{(found[2] or '').ljust(6, '0')}Z"
        try:
            parse_time(full)
        except ValueError:
            found = None
        else:
            return full
    raise InvalidField(field=field, reason="not a UTC day or time such as 2026-01-31")


def audit_for(db: Database, agent_id: str, caller: Principal, window: Window) -> dict[str, Any]:
    """The audit, for the agent itself and operators; raises AgentNotFound for everybody else."""
    if agent_id != caller.agent_id and not caller.is_operator:
        raise AgentNotFound(agent_id=agent_id)
    return agent_revenue_audit(db, agent_id, window)


def agent_revenue_audit(db: Database, agent_id: str, window: Window) -> dict[str, Any]:
    """Entries of the agent's account in the period, summed by type and by deal."""

    def read(tx: Tx) -> tuple[list[str], list[Entry], dict[str, DealFigures]]:
        get_agent(tx, agent_id)
        deal_ids = deals_page(tx, agent_id, window.after, DEALS_MAX + 1)
        ref = f"entity:{agent_id}"
        moved = rows.transfers_on(tx, ref, deal_ids[:DEALS_MAX])
        if not window.after:
            moved += rows.transfers_outside(tx, ref, agent_id)
        entries = [
            entry
            for entry in entries_of(moved)
            if entry.ref == ref and window.holds(entry.transfer.booked_at)
        ]
        shown = sorted({entry.transfer.deal_id for entry in entries})
        return deal_ids, entries, rows.figures_of(tx, shown)

    deal_ids, entries, figures = db.read(read)
    more = len(deal_ids) > DEALS_MAX
    outside = [entry for entry in entries if entry.transfer.deal_id not in figures]
    asset = Asset.parse(entries[0].transfer.asset if entries else "USD/2")
    debits = _total(entries, "debit")
    credits = _total(entries, "credit")
    return {
        "agent_id": agent_id,
        "asset": asset.code,
        "currency": asset.currency,
        "period": {"from": window.start or None, "to": window.end or None},
        "totals_by_type": _by_type(entries, asset),
        "credits": format_exact(credits, asset),
        "debits": format_exact(debits, asset),
        "net": format_exact(credits - debits, asset),
        "deal_count": len(figures),
        "entry_count": len(entries),
        "deals": _by_deal(entries, figures),
        "outside_deals": [entry.document() for entry in outside],
        "next_cursor": deal_ids[DEALS_MAX - 1] if more else None,
    }


def _total(entries: Iterable[Entry], side: str) -> int:
    return sum(entry.amount_minor for entry in entries if entry.side == side)


def _by_type(entries: Iterable[Entry], asset: Asset) -> dict[str, str]:
    sums: dict[str, int] = {}
    for entry in entries:
        sums[entry.entry_type] = sums.get(entry.entry_type, 0) + entry.amount_minor
    return {name: format_exact(total, asset) for name, total in sorted(sums.items())}


def _by_deal(entries: list[Entry], figures: dict[str, DealFigures]) -> dict[str, Any]:
    mine: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.transfer.deal_id in figures:
            mine.setdefault(entry.transfer.deal_id, []).append(entry)
    return {deal_id: _deal_row(mine[deal_id], figures[deal_id]) for deal_id in sorted(mine)}


def _deal_row(entries: list[Entry], figures: DealFigures) -> dict[str, Any]:
    asset = Asset.parse(figures.asset)
    state = DealState(figures.state)
    return {
        "gross": format_exact(figures.gross_minor, asset),
        "platform_fee": format_exact(figures.platform_fee_minor, asset),
        "protocol_fee": format_exact(figures.protocol_fee_minor, asset),
        "net": format_exact(figures.net_minor, asset),
        "credits": format_exact(_total(entries, "credit"), asset),
        "debits": format_exact(_total(entries, "debit"), asset),
        "status": shown_status(state, figures.payout_states),
        "entries": [entry.document() for entry in entries],
    }
