"""What one decision writes: rows to add, rows to change, claims to finish.

For: the engine, which merges the write sets of a batch and hands them to the store, one
multi-row statement per table.
Guarantees: a write set is complete: nothing outside it is written for a decision. Changes to
effects, payouts and API keys carry what they expect to find, so a stale fence changes nothing.
Does not: validate; `core/ledger.py` and the database do.
Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from settlement.core.acceptance_rows import Acceptance
    from settlement.core.actor_keys import ActorKey
    from settlement.core.api_keys import ApiKey
    from settlement.core.intent_rows import Bid, BidReveal, Intent
    from settlement.core.limit_rows import LimitRow
    from settlement.core.mandate_rows import Mandate
    from settlement.core.refund_rows import BadOutcome, Dispute, Refund
    from settlement.core.rows import (
        Account,
        Agent,
        Claim,
        Deal,
        Destination,
        Effect,
        Event,
        Job,
        LedgerTx,
        OutboxRow,
        Party,
        Payout,
        Proof,
        Receipt,
        Settlement,
        SettlementPayee,
        Transfer,
        VolumeEntry,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectChange:
    """New row of an effect, valid only while `expected_fence` and `expected_state` still hold."""

    effect: Effect
    expected_fence: int
    expected_state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """New standing of an API key, valid only while it still has `expected_status`."""

    key: ApiKey
    expected_status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimFinish:
    """Give a running derived claim its outcome.

    `release`: the operation may run again (a refused charge, a refused payout). Then the derived
    claim goes away, and the sent keys that named it keep the outcome as their own.
    """

    scope: str
    operation: str
    key: str
    outcome: str
    finished_at: str
    release: bool = False


@dataclass(slots=True)
class WriteSet:
    """Lists of rows by table, in the order in which the store writes them."""

    agents: list[Agent] = field(default_factory=list)
    api_keys: list[ApiKey] = field(default_factory=list)
    api_keys_changed: list[KeyChange] = field(default_factory=list)
    actor_keys: list[ActorKey] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)  # before the deals whose heads they are
    deals_new: list[Deal] = field(default_factory=list)
    deals_changed: list[Deal] = field(default_factory=list)
    parties: list[Party] = field(default_factory=list)  # ON CONFLICT DO NOTHING
    intents_new: list[Intent] = field(default_factory=list)
    bids: list[Bid] = field(default_factory=list)
    intents_changed: list[Intent] = field(default_factory=list)
    bid_reveals: list[BidReveal] = field(default_factory=list)  # after the close of their intent
    proofs: list[Proof] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    accounts_new: list[Account] = field(default_factory=list)
    txs: list[LedgerTx] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    payees: list[SettlementPayee] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)  # after transfers and payees
    volumes: list[VolumeEntry] = field(default_factory=list)
    acceptances_new: list[Acceptance] = field(default_factory=list)
    acceptances_changed: list[Acceptance] = field(default_factory=list)
    mandates_new: list[Mandate] = field(default_factory=list)
    mandates_changed: list[Mandate] = field(default_factory=list)
    destinations: list[Destination] = field(default_factory=list)
    effects_new: list[Effect] = field(default_factory=list)
    effects_changed: list[EffectChange] = field(default_factory=list)
    payouts_new: list[Payout] = field(default_factory=list)
    payouts_changed: list[Payout] = field(default_factory=list)
    disputes_new: list[Dispute] = field(default_factory=list)
    disputes_changed: list[Dispute] = field(default_factory=list)
    refunds_new: list[Refund] = field(default_factory=list)  # after the transfers they name
    refunds_changed: list[Refund] = field(default_factory=list)
    bad_outcomes: list[BadOutcome] = field(default_factory=list)  # ON CONFLICT DO NOTHING
    jobs: list[Job] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    claims_finished: list[ClaimFinish] = field(default_factory=list)
    limits: list[LimitRow] = field(default_factory=list)

    def extend(self, other: WriteSet) -> None:
        """Append another decision's rows, keeping order."""
        for name in _TABLES:
            rows: list[Any] = getattr(other, name)
            if rows:
                getattr(self, name).extend(rows)

    def is_empty(self) -> bool:
        """True when there is nothing to write."""
        return not any(getattr(self, name) for name in _TABLES)


_TABLES = tuple(f.name for f in fields(WriteSet))
