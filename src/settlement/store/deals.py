"""One deal, as the read-side services need it: rows found by the deal's id.

Guarantees: every query goes by an index on the deal's id, so a read costs what the deal holds and
nothing of the history around it; events come in version order, transfers in booked order.
Does not: decide who may see a deal.

Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.core.accounts import escrow_account
from settlement.core.rows import (
    Account,
    Deal,
    DealState,
    Effect,
    EffectKind,
    EffectState,
    Event,
    LedgerTx,
    Payout,
    Phase,
    Settlement,
    SettlementPayee,
    Transfer,
)

if TYPE_CHECKING:
    from settlement.store.database import Row, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """An event with its place in the log, None until it has one."""

    event: Event
    log_index: int | None


def find_deal(tx: Tx, deal_id: str) -> Deal | None:
    """The deal of that id."""
    row = tx.maybe("deals_get", deal_id=deal_id)
    return Deal(**{**row, "state": DealState(row["state"])}) if row is not None else None


def events_page(tx: Tx, deal_id: str, from_version: int, limit: int) -> list[LoggedEvent]:
    """Events from a version on."""
    rows = tx.all("deals_events_page", deal_id=deal_id, from_version=from_version, limit=limit)
    found = []
    for row in rows:
        log_index = row.pop("log_index")
        found.append(LoggedEvent(event=Event(**row), log_index=log_index))
    return found


def transfers_of(tx: Tx, deal_id: str) -> list[Transfer]:
    """Every transfer of the deal, holds included."""
    found = tx.all("deals_transfers", deal_id=deal_id)
    return [Transfer(**{**row, "phase": Phase(row["phase"])}) for row in found]


def txs_of(tx: Tx, deal_id: str) -> list[LedgerTx]:
    """The deal's ledger transactions."""
    return [LedgerTx(**row) for row in tx.all("deals_txs", deal_id=deal_id)]


def find_settlement(tx: Tx, deal_id: str) -> Settlement | None:
    """The settlement, if there is one."""
    row = tx.maybe("deals_settlement", deal_id=deal_id)
    return Settlement(**row) if row is not None else None


def payees_of(tx: Tx, deal_id: str) -> list[SettlementPayee]:
    """Who shares the net, in the order named."""
    return [SettlementPayee(**row) for row in tx.all("deals_payees", deal_id=deal_id)]


def payouts_of(tx: Tx, deal_id: str) -> list[Payout]:
    """The deal's payouts."""
    return [Payout(**row) for row in tx.all("deals_payouts", deal_id=deal_id)]


def escrow_of(tx: Tx, deal: Deal) -> Account | None:
    """The deal's escrow, once money has come in."""
    row = tx.maybe("deals_escrow", ref=escrow_account(deal.deal_id).ref, asset=deal.asset)
    return Account(**row) if row is not None else None


def effects_of(tx: Tx, deal_id: str) -> list[Effect]:
    """What was asked of rails for this deal."""
    return [_effect(row) for row in tx.all("deals_effects", deal_id=deal_id)]


def _effect(row: Row) -> Effect:
    return Effect(**{**row, "kind": EffectKind(row["kind"]), "state": EffectState(row["state"])})


def is_party(tx: Tx, deal_id: str, agent_id: str) -> bool:
    """True when the agent is seller, buyer or payee of the deal."""
    return tx.maybe("deals_party_any", deal_id=deal_id, agent_id=agent_id) is not None


def outbox_pending(tx: Tx, deal_id: str) -> int:
    """Messages of the deal that have not left."""
    return int(tx.one("deals_outbox_pending", deal_id=deal_id)["pending"])
