"""Planning of money: accounts opened as needed, legs under one tx, and what an account can give.

For: every operation that moves money.
Guarantees: a tx belongs to one event, whose payload carries its hash; each leg is on the list of
spec §5.2 and none overdraws a guarded account, both asserted here and refused by the database
again. Planning reads the state and changes nothing of it.
Does not: decide who may move what; write or lock a row.

Spec §5. Change colour: red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from settlement.core.accounts import GUARDS, MOVEMENTS, UNGUARDED, Counters, Ref
from settlement.core.hashes import tx_hash
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
    def context(self) -> Context:
        """Time, ids and rules of this decision."""
        return self._ctx

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
        giving, taking = self._of(debit), self._of(credit)
        if giving is not None:
            giving.debit(phase, amount_minor)
            guard = GUARDS[debit.account_class]
            assert giving.keeps(guard), f"{debit.ref} would be overdrawn"
        if taking is not None:
            taking.credit(phase, amount_minor)
            guard = GUARDS[credit.account_class]
            assert taking.keeps(guard), f"{credit.ref} would be overdrawn"

    def _of(self, account: Ref) -> Counters | None:
        """The counters of a guarded account, opened if need be; None for an unguarded one."""
        counters = self._counters.get(account.ref)
        if counters is not None or account.ref in self._opened:
            return counters
        row = self._accounts[account.ref, self._asset]
        if row is None:
            self._open(account)
        if GUARDS[account.account_class] == UNGUARDED:
            return None
        counters = self._counters[account.ref] = Counters(row)
        return counters

    def _open(self, account: Ref) -> None:
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


class Leg(NamedTuple):
    """One planned transfer; what `tx_hash` covers of it has the names that it reads."""

    transfer_id: str
    leg: int
    kind: str
    phase: Phase
    asset: str
    amount_minor: int
    debit: str
    debit_class: str
    credit: str
    credit_class: str
    hold_id: str | None


class Tx:
    """Legs that stand or fall together, bound to one event whose ids are drawn beforehand."""

    __slots__ = ("_books", "_hash", "_legs", "event_id", "tx_id")

    def __init__(self, *, books: Books, tx_id: str, event_id: str) -> None:
        self._books = books
        self._legs: list[Leg] = []
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
        leg = Leg(
            transfer_id=books.new_transfer_id(),
            leg=len(self._legs) + 1,
            kind=kind,
            phase=phase,
            asset=books.asset,
            amount_minor=amount_minor,
            debit=debit.ref,
            debit_class=debit.account_class,
            credit=credit.ref,
            credit_class=credit.account_class,
            hold_id=hold_id,
        )
        self._legs.append(leg)
        return leg.transfer_id

    def facts(self) -> dict[str, str]:
        """Seal the legs; the members that bind the event to them (spec §4.2, §5.3)."""
        assert self._legs, "a tx has legs"
        self._hash = tx_hash(self.tx_id, self._books.deal_id, self._legs)
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
                transfer_id=leg.transfer_id,
                tx_id=self.tx_id,
                leg=leg.leg,
                deal_id=deal_id,
                event_id=self.event_id,
                kind=leg.kind,
                phase=leg.phase,
                asset=leg.asset,
                amount_minor=leg.amount_minor,
                debit_ref=leg.debit,
                debit_class=leg.debit_class,
                credit_ref=leg.credit,
                credit_class=leg.credit_class,
                hold_id=leg.hold_id,
                expires_at=None,
                booked_at=now,
            )
            for leg in self._legs
        )
