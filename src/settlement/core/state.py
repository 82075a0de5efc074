"""What an operation asked for and what the engine loaded: the only world `decide` can see.

For: operations, which name their needs in two steps (deals and effects first, under lock; then,
knowing those, everything else), and the engine, which loads each noun for a whole batch in one
statement.
Guarantees: reading something that was not asked for raises `NotLoaded`, a programmer's error; a
decision's write set is applied to the state, so that the next decision of the batch sees it.
Does not: load or lock anything itself.
Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from settlement.core.accounts import apply_transfers
from settlement.core.state_money import apply_money

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from settlement.core.acceptance_rows import Acceptance
    from settlement.core.api_keys import ApiKey
    from settlement.core.intent_rows import Bid, IntentView
    from settlement.core.mandate_rows import Mandate
    from settlement.core.proof_rows import ProofTotals
    from settlement.core.refund_rows import Dispute, PaymentIn, Refund
    from settlement.core.rows import (
        Account,
        Agent,
        Deal,
        Destination,
        Effect,
        Event,
        Party,
        Payout,
        Receipt,
        Settlement,
        SettlementPayee,
    )
    from settlement.core.writeset import WriteSet

_K = TypeVar("_K")
_V = TypeVar("_V")


class NotLoaded(LookupError):
    """An operation read what its needs did not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What must be locked before anything else is known: deals, effects, mandates, by id."""

    deals: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    mandates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What else the decision reads, named once the deals and effects are known.

    accounts: (ref, asset), locked in that order. names: agents looked up by registered name.
    api_keys: by key id; the keys that these succeeded come along.
    chains: chain heads of ids that have no deal row. receipts: summary per deal id.
    volumes: (agent id, asset, now - 30 d as text). payouts: (deal id, payee).
    destinations: (owner, destination id or None for all of the owner's, newest first).
    settlements: with its payees. parties, latest_proof_n: per deal id.
    known_receipts: (receipt_digest, authority). events: by event id.
    acceptances: by id. scores: (agent id, asset), the OCS of a seller in hundredths. on_time: a
    seller's punctuality in parts per million. intents: by intent id, with the count of bids.
    bids: all of an intent. bids_by: (intent id, agent id), how many that agent has made on it.
    refunds: of a deal. recovered: (deal id, payee), what was kept of its net for debts.
    disputes: of a deal. money_of: everything that giving money back looks at, per deal: payments,
    refunds, payouts, dispute, settlement, and the accounts of all who gave or got (locked).
    """

    accounts: tuple[tuple[str, str], ...] = ()
    agents: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    receipts: tuple[str, ...] = ()
    known_receipts: tuple[tuple[str, str], ...] = ()
    volumes: tuple[tuple[str, str, str], ...] = ()
    payouts: tuple[tuple[str, str], ...] = ()
    destinations: tuple[tuple[str, str | None], ...] = ()
    settlements: tuple[str, ...] = ()
    parties: tuple[str, ...] = ()
    proofs: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    scores: tuple[tuple[str, str], ...] = ()
    refunds: tuple[str, ...] = ()
    recovered: tuple[tuple[str, str], ...] = ()
    disputes: tuple[str, ...] = ()
    money_of: tuple[str, ...] = ()
    acceptances: tuple[str, ...] = ()
    on_time: tuple[str, ...] = ()
    intents: tuple[str, ...] = ()
    bids: tuple[str, ...] = ()
    bids_by: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """Where the next event of a chain goes: its version, the hash it must name, the last time."""

    version: int = 0
    head_hash: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptSummary:
    """Counting receipts of a deal: verified, by a verifier or operator, of the work offered now.

    Spec §11. What was packed anew since is other work, whatever hash it names.
    """

    best_confidence: str | None = None
    providers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePoint:
    """Running totals of one seller: now, and at the start of the 30-day window."""

    n: int = 0
    at: str = ""
    total_minor: int = 0
    before_window_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementView:
    """A settlement with its payees, in position order."""

    settlement: Settlement
    payees: tuple[SettlementPayee, ...]


class Loaded(dict[_K, _V]):
    """A mapping whose missing keys are a programmer's error, not a quiet default."""

    def __missing__(self, key: _K) -> _V:
        raise NotLoaded(f"{key!r} was read but not asked for")


@dataclass(slots=True)
class State:
    """Everything loaded for a batch. A key present with None: asked for, does not exist."""

    deals: Loaded[str, Deal | None] = field(default_factory=Loaded)
    effects: Loaded[str, Effect | None] = field(default_factory=Loaded)
    mandates: Loaded[str, Mandate | None] = field(default_factory=Loaded)
    accounts: Loaded[tuple[str, str], Account | None] = field(default_factory=Loaded)
    agents: Loaded[str, Agent | None] = field(default_factory=Loaded)
    names: Loaded[str, tuple[Agent, ...]] = field(default_factory=Loaded)
    api_keys: Loaded[str, ApiKey | None] = field(default_factory=Loaded)
    chains: Loaded[str, ChainHead] = field(default_factory=Loaded)
    receipts: Loaded[str, ReceiptSummary] = field(default_factory=Loaded)
    known_receipts: Loaded[tuple[str, str], Receipt | None] = field(default_factory=Loaded)
    volumes: Loaded[tuple[str, str, str], VolumePoint] = field(default_factory=Loaded)
    payouts: Loaded[tuple[str, str], Payout | None] = field(default_factory=Loaded)
    destinations: Loaded[tuple[str, str | None], tuple[Destination, ...]] = field(
        default_factory=Loaded
    )
    settlements: Loaded[str, SettlementView | None] = field(default_factory=Loaded)
    parties: Loaded[str, frozenset[tuple[str, str]]] = field(default_factory=Loaded)
    proofs: Loaded[str, ProofTotals] = field(default_factory=Loaded)  # so far
    events: Loaded[str, Event | None] = field(default_factory=Loaded)
    scores: Loaded[tuple[str, str], int] = field(default_factory=Loaded)
    refunds: Loaded[str, tuple[Refund, ...]] = field(default_factory=Loaded)  # by deal
    recovered: Loaded[tuple[str, str], int] = field(default_factory=Loaded)
    payments: Loaded[str, tuple[PaymentIn, ...]] = field(default_factory=Loaded)  # by deal
    payouts_of: Loaded[str, tuple[Payout, ...]] = field(default_factory=Loaded)  # by deal
    disputes: Loaded[str, Dispute | None] = field(default_factory=Loaded)  # by deal
    acceptances: Loaded[str, Acceptance | None] = field(default_factory=Loaded)
    on_time: Loaded[str, int] = field(default_factory=Loaded)
    intents: Loaded[str, IntentView | None] = field(default_factory=Loaded)
    bids: Loaded[str, tuple[Bid, ...]] = field(default_factory=Loaded)
    bids_by: Loaded[tuple[str, str], int] = field(default_factory=Loaded)
    #: (agent, asset) -> its keys in `volumes`, as of when there were `_indexed` of them.
    _windows: dict[tuple[str, str], list[tuple[str, str, str]]] = field(default_factory=dict)
    _indexed: int = 0

    def apply(self, writes: WriteSet) -> None:
        """Make a decision's rows visible to the decisions after it in the same batch."""
        self._apply_rows(writes)
        self._apply_consent(writes)
        # After accounts_new: a new account's row holds zeros and its transfers are counted here,
        # as the database counts them when it writes them.
        apply_transfers(self.accounts, writes.transfers)
        for event in writes.events:
            if event.event_id in self.events:
                self.events[event.event_id] = event
            if event.deal_id in self.chains:
                self.chains[event.deal_id] = ChainHead(
                    version=event.version + 1, head_hash=event.hash, at=event.timestamp
                )
        if writes.volumes:
            self._apply_volumes(writes)
        if self.refunds or self.recovered:
            apply_money(self, writes)
        self._apply_parties(writes.parties)
        for settlement in writes.settlements:
            payees = tuple(p for p in writes.payees if p.deal_id == settlement.deal_id)
            self.settlements[settlement.deal_id] = SettlementView(
                settlement=settlement, payees=payees
            )
        for proof in writes.proofs:
            self.proofs[proof.deal_id] = self.proofs[proof.deal_id].plus(proof)
        self._apply_exchange(writes)

    def _apply_rows(self, writes: WriteSet) -> None:
        for deal in (*writes.deals_new, *writes.deals_changed):
            self.deals[deal.deal_id] = deal
        for effect in writes.effects_new:
            self.effects[effect.effect_id] = effect
        for change in writes.effects_changed:
            self.effects[change.effect.effect_id] = change.effect
        for account in writes.accounts_new:
            self.accounts[account.ref, account.asset] = account
        for agent in writes.agents:
            self.agents[agent.agent_id] = agent
        for key in (*writes.api_keys, *(change.key for change in writes.api_keys_changed)):
            self.api_keys[key.key_id] = key
        for payout in (*writes.payouts_new, *writes.payouts_changed):
            self.payouts[payout.deal_id, payout.agent_id] = payout
        for receipt in writes.receipts:
            self.known_receipts[receipt.receipt_digest, receipt.authority] = receipt

    def _apply_consent(self, writes: WriteSet) -> None:
        for mandate in (*writes.mandates_new, *writes.mandates_changed):
            self.mandates[mandate.mandate_id] = mandate
        for acceptance in (*writes.acceptances_new, *writes.acceptances_changed):
            self.acceptances[acceptance.acceptance_id] = acceptance

    def _apply_volumes(self, writes: WriteSet) -> None:
        """Move every window of the sellers concerned; found by index, not by search of a batch."""
        if self._indexed != len(self.volumes):
            self._indexed = len(self.volumes)
            self._windows.clear()
            for key in self.volumes:
                self._windows.setdefault(key[:2], []).append(key)
        for entry in writes.volumes:
            for key in self._windows.get((entry.agent_id, entry.asset), ()):
                self.volumes[key] = VolumePoint(
                    n=entry.n,
                    at=entry.at,
                    total_minor=entry.total_minor,
                    before_window_minor=self.volumes[key].before_window_minor,
                )

    def _apply_exchange(self, writes: WriteSet) -> None:
        for bid in writes.bids:
            view = self.intents[bid.intent_id]
            assert view is not None, "a bid is for an intent that was loaded"
            self.intents[bid.intent_id] = replace(view, bid_count=bid.n + 1)
            if bid.intent_id in self.bids:
                self.bids[bid.intent_id] = (*self.bids[bid.intent_id], bid)
            if (who := (bid.intent_id, bid.agent_id)) in self.bids_by:
                self.bids_by[who] += 1
        for intent in writes.intents_changed:
            view = self.intents[intent.intent_id]
            assert view is not None, "an intent that changes was loaded"
            self.intents[intent.intent_id] = replace(view, intent=intent)

    def _apply_parties(self, parties: Iterable[Party]) -> None:
        for party in parties:
            known = self.parties.get(party.deal_id, frozenset())
            self.parties[party.deal_id] = known | {(party.agent_id, party.role)}


def merge_needs(needs: Iterable[Needs]) -> Needs:
    """One Needs for a batch: each list sorted and free of duplicates, which is the lock order."""
    merged: dict[str, set[object]] = {f.name: set() for f in fields(Needs)}
    for need in needs:
        for name, values in merged.items():
            values.update(getattr(need, name))
    # Only destinations have None among their keys; the others sort as they are, much quicker.
    orders = {"destinations": _order}
    lists: dict[str, Any] = {
        name: tuple(sorted(values, key=orders.get(name))) for name, values in merged.items()
    }
    return Needs(**lists)


def _order(value: object) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return tuple("" if part is None else str(part) for part in value)
    return (str(value),)


def missing_deals(deals: Mapping[str, Deal | None]) -> tuple[str, ...]:
    """Ids asked for that have no deal row: their chains, if any, are read from the events."""
    return tuple(deal_id for deal_id, deal in deals.items() if deal is None)
