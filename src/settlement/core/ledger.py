"""Planning of money: accounts opened as needed, legs under one tx, and what an account can give.

For: every operation that moves money.
Guarantees: a tx belongs to one event, whose payload carries its hash; each leg is on the list of
spec §5.2 and none overdraws a guarded account, both asserted here and refused by the database
again. Planning reads the state and changes nothing of it.
Does not: decide who may move what; write or lock a row.

Spec §5. Change colour: red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.accounts import GUARDS, MOVEMENTS, UNGUARDED, Counters, Ref
from settlement.core.hashes import LegFacts, tx_hash
from settlement.core.rows import Account, LedgerTx, Phase, Transfer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.operation import Context
    from settlement.core.rows import Event
    from settlement.core.writeset import WriteSet


class Books:
    """The accounts of one decision: opens the missing ones, counts what is planned on each."""

    __slots__ = ("_accounts", "_asset", "_counters", "_ctx", "_opened", "deal_id", "writes")

    def __init__(
        self,
        *,
        accounts: Mapping[tuple[str, str], Account | None],
        ctx: Context,
        writes: WriteSet,
        deal_id: str,
        asset: str,
    ) -> None:
        self._accounts = accounts
        self._ctx = ctx
        self._asset = asset
        self._counters: dict[str, Counters] = {}
        self._opened: set[str] = set()
        self.deal_id = deal_id
        self.writes = writes

    @property
    def asset(self) -> str:
        """The one asset of this decision."""
        return self._asset

    @property
    def now(self) -> str:
        """When the transfers are booked."""
        return self._ctx.now

    def begin(self) -> Tx:
        """Start the tx of the next event."""
        ids = self._ctx.ids
        return Tx(books=self, tx_id=ids.new("tx_"), event_id=ids.new("evt_"))

    def new_transfer_id(self) -> str:
        """The id of the next leg."""
        return self._ctx.ids.new("xfer_")

    def count(self, debit: Ref, credit: Ref, phase: str, amount_minor: int) -> None:
        """Count one leg on both sides, opening accounts that do not exist yet."""
        self._open(debit)
        self._open(credit)
        for ref, counters in ((debit, self._of(debit)), (credit, self._of(credit))):
            if counters is None:
                continue
            if ref is debit:
                counters.debit(phase, amount_minor)
            else:
                counters.credit(phase, amount_minor)
            assert counters.keeps(GUARDS[ref.account_class]), f"{ref.ref} would be overdrawn"

    def _of(self, account: Ref) -> Counters | None:
        if GUARDS[account.account_class] == UNGUARDED:
            return None
        counters = self._counters.get(account.ref)
        if counters is None:
            counters = Counters(self._accounts[account.ref, self._asset])
            self._counters[account.ref] = counters
        return counters

    def _open(self, account: Ref) -> None:
        if account.ref in self._opened or self._accounts[account.ref, self._asset] is not None:
            return
        self._opened.add(account.ref)
        self.writes.accounts_new.append(
            Account(
                ref=account.ref,
                asset=self._asset,
                account_class=account.account_class,
                guard=GUARDS[account.account_class],
                holder=account.holder,
                deal_id=account.deal_id,
                debits_posted=0,
                credits_posted=0,
                debits_held=0,
                credits_held=0,
                version=0,
                opened_at=self._ctx.now,
                closed_at=None,
            )
        )


class Tx:
    """Legs that stand or fall together, bound to one event whose ids are drawn beforehand."""

    __slots__ = ("_books", "_hash", "_legs", "event_id", "tx_id")

    def __init__(self, *, books: Books, tx_id: str, event_id: str) -> None:
        self._books = books
        self._legs: list[tuple[LegFacts, str, str, str]] = []
        self._hash = ""
        self.tx_id = tx_id
        self.event_id = event_id

    def add(
        self,
        kind: str,
        debit: Ref,
        credit: Ref,
        amount_minor: int,
        *,
        phase: Phase = Phase.FINAL,
        hold_id: str | None = None,
    ) -> str:
        """Plan one leg; returns its transfer id. A leg that resolves a hold takes all of it."""
        assert not self._hash, "the tx is sealed"
        assert amount_minor > 0, "a transfer moves something"
        assert (kind, debit.account_class, credit.account_class) in MOVEMENTS, kind
        assert (hold_id is None) == (phase in (Phase.FINAL, Phase.HOLD)), (
            "a resolution names a hold"
        )
        books = self._books
        books.count(debit, credit, phase, amount_minor)
        facts = LegFacts(
            leg=len(self._legs) + 1,
            kind=kind,
            phase=phase,
            asset=books.asset,
            amount_minor=amount_minor,
            debit=debit.ref,
            credit=credit.ref,
            hold_id=hold_id,
        )
        transfer_id = books.new_transfer_id()
        self._legs.append((facts, transfer_id, debit.account_class, credit.account_class))
        return transfer_id

    def facts(self) -> dict[str, str]:
        """Seal the legs; the members that bind the event to them (spec §4.2, §5.3)."""
        assert self._legs, "a tx has legs"
        legs = [leg[0] for leg in self._legs]
        self._hash = tx_hash(self.tx_id, self._books.deal_id, legs)
        return {"asset": self._books.asset, "tx_id": self.tx_id, "tx_hash": self._hash}

    def book(self, event: Event, *, settles: bool = False) -> None:
        """Write the tx and its transfers beside the event that carries its hash."""
        assert event.event_id == self.event_id, "a tx belongs to the event drawn with it"
        assert self._hash, "the event carries the hash of the legs"
        assert self._hash in event.payload, "the event carries the hash of the legs"
        books = self._books
        deal_id, now = books.deal_id, books.now
        books.writes.txs.append(
            LedgerTx(
                tx_id=self.tx_id,
                deal_id=deal_id,
                event_id=self.event_id,
                settles=deal_id if settles else None,
                tx_hash=self._hash,
                booked_at=now,
            )
        )
        books.writes.transfers.extend(
            Transfer(
                transfer_id=transfer_id,
                tx_id=self.tx_id,
                leg=facts.leg,
                deal_id=deal_id,
                event_id=self.event_id,
                kind=facts.kind,
                phase=Phase(facts.phase),
                asset=facts.asset,
                amount_minor=facts.amount_minor,
                debit_ref=facts.debit,
                debit_class=debit_class,
                credit_ref=facts.credit,
                credit_class=credit_class,
                hold_id=facts.hold_id,
                expires_at=None,
                booked_at=now,
            )
            for facts, transfer_id, debit_class, credit_class in self._legs
        )
