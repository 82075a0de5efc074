"""An agent's statement: what stood, what moved, what stands, at a signed tree head.

For: `settlement statement`, and the audit, which makes each statement given out again.
Guarantees: a statement is a function of its agent, asset, period and tree head, to the byte: what
is booked later changes nothing in it. Opening and closing balance are tied to the counters that
the database keeps. Every movement in it is covered by the head.
Does not: show holds, which have moved nothing, or another agent's account.

Spec §16.3 (36). Change colour: amber (a statement given out must be made again byte for byte).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.canonical import k_bytes, sha256_hex
from settlement.core.clock import parse_time
from settlement.core.errors import InvalidField, LogLagging
from settlement.core.ids import system_stream
from settlement.core.money import Asset, format_exact
from settlement.service.audit_base import Check
from settlement.service.entry_view import Entry, entries_of
from settlement.service.fresh import new_id
from settlement.service.reputation import get_agent
from settlement.store import statements as rows
from settlement.store.agents import accounts_of
from settlement.store.log import find_head

if TYPE_CHECKING:
    from settlement.core.checkpoint import TreeHead
    from settlement.service.audit_base import AuditContext, Outcome
    from settlement.store.audit import AuditReader
    from settlement.store.database import Database, Tx
    from settlement.store.statements import Movement, StatementRow

PREFIX: Final = "stm_"
FIRST_TIME: Final = "1970-01-01T00:00:00.000000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement: its document, the digest of that, and the id under which it was given out."""

    statement_id: str
    document: dict[str, Any]
    digest: str


def make_statement(
    db: Database, agent_id: str, asset: str, starts_at: str = "", ends_at: str = ""
) -> Statement:
    """Make and keep a statement; without an end it goes up to the last tree head.

    Raises AgentNotFound, InvalidField for an empty period, LogLagging while something that was
    booked in the period is not yet under a signed head.
    """

    def make(tx: Tx) -> Statement:
        get_agent(tx, agent_id)
        _check_asset(tx, agent_id, asset)
        head = find_head(tx)
        if head is None:
            raise LogLagging(deal_id=system_stream(agent_id))
        period = (starts_at or FIRST_TIME, ends_at or head.timestamp)
        if period[0] >= period[1]:
            raise InvalidField(field="until", reason="the period is empty")
        document = _document(tx, agent_id, asset, period, head)
        made = Statement(statement_id=new_id(PREFIX), document=document, digest=digest_of(document))
        rows.keep(
            tx,
            rows.StatementRow(
                statement_id=made.statement_id,
                agent_id=agent_id,
                asset=asset,
                starts_at=period[0],
                ends_at=period[1],
                tree_size=head.tree_size,
                digest=made.digest,
                made_at=tx.now,
            ),
        )
        return made

    return db.transaction(make)


def _check_asset(tx: Tx, agent_id: str, asset: str) -> None:
    """Refuse an asset in which the agent has nothing, unless it has nothing at all."""
    own = sorted({one.asset for one in accounts_of(tx, agent_id)})
    known = own or rows.assets(tx)
    if asset not in known:
        reason = f"no account in {asset}; the assets are {', '.join(known)}"
        raise InvalidField(field="asset", reason=reason)


def remade_digest(tx: Tx, row: StatementRow) -> str | None:
    """The digest of the same statement made again at its head; None when the head is gone."""
    head = find_head(tx, row.tree_size)
    if head is None:
        return None
    period = (row.starts_at, row.ends_at)
    return digest_of(_document(tx, row.agent_id, row.asset, period, head))


def digest_of(document: dict[str, Any]) -> str:
    """SHA-256 of the document's one byte form."""
    return sha256_hex(k_bytes(document))


def _document(
    tx: Tx, agent_id: str, asset_code: str, period: tuple[str, str], head: TreeHead
) -> dict[str, Any]:
    """The statement; raises LogLagging when its period holds what the head does not cover."""
    asset, ref = Asset.parse(asset_code), f"entity:{agent_id}"
    starts_at, ends_at = period
    kept: list[Movement] = []
    since = 0
    for moved in rows.movements_since(tx, ref, asset_code, parse_time(starts_at)):
        booked_at = moved.transfer.booked_at
        if booked_at < starts_at:
            continue  # earlier within the same millisecond
        since += _signed(moved, ref)
        if booked_at < ends_at:
            if moved.log_index is None or moved.log_index >= head.tree_size:
                raise LogLagging(deal_id=moved.transfer.deal_id)
            kept.append(moved)
    opening = rows.balance_of(tx, ref, asset_code) - since
    entries = [one for one in entries_of(m.transfer for m in kept) if one.ref == ref]
    return {
        "agent_id": agent_id,
        "account": ref,
        "asset": asset.code,
        "currency": asset.currency,
        "period": {"from": starts_at, "to": ends_at},
        "log": {
            "log_id": head.log_id,
            "tree_size": head.tree_size,
            "root_hash": head.root_hash,
        },
        **_figures(entries, opening, asset),
    }


def _signed(moved: Movement, ref: str) -> int:
    minor = moved.transfer.amount_minor
    return minor if moved.transfer.credit_ref == ref else -minor


def _figures(entries: list[Entry], opening: int, asset: Asset) -> dict[str, Any]:
    """Balances and lines, each with the balance after it."""
    lines = []
    balance = opening
    sums = {"debit": 0, "credit": 0}
    for entry in entries:
        sums[entry.side] += entry.amount_minor
        balance += entry.amount_minor if entry.side == "credit" else -entry.amount_minor
        told = entry.document()
        lines.append(
            {
                "booked_at": entry.transfer.booked_at,
                "entry_type": entry.entry_type,
                "deal_id": entry.transfer.deal_id,
                "tx_id": told["tx_id"],
                "counterparty": entry.other_ref,
                "debit": told["debit"],
                "credit": told["credit"],
                "balance": format_exact(balance, asset),
            }
        )
    return {
        "opening_balance": format_exact(opening, asset),
        "debits": format_exact(sums["debit"], asset),
        "credits": format_exact(sums["credit"], asset),
        "closing_balance": format_exact(balance, asset),
        "entry_count": len(lines),
        "entries": lines,
    }


# --- audit ---------------------------------------------------------------------------------------

_PAGE: Final = 100


def _remade(reader: AuditReader, _context: AuditContext) -> Outcome:
    """Make every statement that was given out again."""
    return reader.on_snapshot(_first_different)


def _first_different(tx: Tx) -> Outcome:
    after = ""
    while found := rows.page(tx, after, _PAGE):
        for row in found:
            why = _difference(tx, row)
            if why is not None:
                return {"statement_id": row.statement_id, "agent_id": row.agent_id, "why": why}
        after = found[-1].statement_id
    return None


def _difference(tx: Tx, row: StatementRow) -> str | None:
    try:
        digest = remade_digest(tx, row)
    except LogLagging:
        return "it shows what its tree head does not cover"
    if digest is None:
        return "the tree head it was made at is gone"
    return None if digest == row.digest else "made again it says something else"


CHECKS: Final = (
    Check(
        number=36,
        title="a statement remade at its head is identical",
        run=_remade,
        needs="statement",
    ),
)
