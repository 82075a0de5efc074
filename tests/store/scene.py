"""One deal of its own in a shared database, and ways to add to it by raw SQL."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from settlement.core.rows import Phase
from tests.store.make import LATER, NOW, Story, account
from tests.support.raw import Sql, insert, sql

if TYPE_CHECKING:
    from settlement.core import rows
    from tests.store.conftest import Books

CLEARING = account("clearing", "simulated")
TRANSIT = account("payout_transit", "simulated")
SELLER = account("agent", "agent_seller")
BUYER = account("agent", "agent_buyer")


@dataclass(frozen=True, slots=True)
class Scene:
    """One case's own deal, funded with 100.00, and ways to add to it."""

    books: Books
    story: Story
    deal_id: str
    last: list[rows.Transfer] = field(default_factory=list)  # resolved last

    @property
    def escrow(self) -> rows.Account:
        return account("escrow", self.deal_id)

    def dispute(self) -> rows.Account:
        """The deal's dispute account, opened."""
        made = account("dispute", self.deal_id)
        self.given(insert("account", made))
        return made

    def tx(
        self, *, settles: bool = False, event: str = "REFUNDED"
    ) -> tuple[list[Sql], rows.LedgerTx]:
        """A new tx with its event and the deal moved along."""
        made = self.story.event(self.deal_id, event)
        tx = self.story.tx(made, settles=settles)
        return [insert("event", made), self.head(), insert("ledger_tx", tx)], tx

    def head(self) -> Sql:
        now = self.story.deals[self.deal_id]
        return sql(
            "UPDATE deal SET version = :version, head_hash = :head_hash WHERE deal_id = :deal_id",
            version=now.version,
            head_hash=now.head_hash,
            deal_id=now.deal_id,
        )

    def given(self, *statements: Sql) -> None:
        self.books.raw.run(statements)

    def charged(self, **changes: Any) -> tuple[list[Sql], rows.Transfer]:
        """A further payment into the escrow."""
        before, tx = self.tx(event="PAYMENT_AUTHORIZED")
        return before, replace(
            self.story.transfer(tx, "charge", 100, CLEARING, self.escrow), **changes
        )

    def topped_up(self, agent: rows.Account, amount: int = 1_000) -> None:
        before, tx = self.tx()
        topup = self.story.transfer(tx, "topup", amount, CLEARING, agent)
        self.given(*before, insert("transfer", topup))

    def held(self, amount: int = 500, expires_at: str | None = LATER) -> rows.Transfer:
        """A payout's hold on the seller's account."""
        self.topped_up(SELLER)
        before, tx = self.tx()
        hold = self.story.transfer(
            tx, "payout", amount, SELLER, TRANSIT, phase=Phase.HOLD, expires_at=expires_at
        )
        self.given(*before, insert("transfer", hold))
        return hold

    def resolved(self, hold: rows.Transfer, phase: Phase, **changes: Any) -> list[Sql]:
        before, tx = self.tx()
        made = self.story.transfer(
            tx, hold.kind, hold.amount_minor, SELLER, TRANSIT, phase=phase,
            hold_id=hold.transfer_id,
        )  # fmt: skip
        self.last[:] = [replace(made, **changes)]
        return [*before, insert("transfer", self.last[0])]

    def settlement(self) -> dict[str, list[Any]]:
        """Rows of a settlement, by table, in an order that is accepted."""
        writes = self.story.settled(self.deal_id, volume_n=self.volume_n())
        return {
            "event": writes.events,
            "ledger_tx": writes.txs,
            "transfer": writes.transfers,
            "settlement_payee": writes.payees,
            "settlement": writes.settlements,
        }

    def charged_at(self) -> tuple[list[Sql], str, rows.Transfer]:
        before, charge = self.charged()
        return before, "transfer", charge

    def closing(self, ref: str, **changes: Any) -> tuple[list[Sql], list[Sql]]:
        """A charge after, and instead without, the closing of an account."""
        before, charge = self.charged(**changes)
        close = sql("UPDATE account SET closed_at = :now WHERE ref = :ref", now=NOW, ref=ref)
        return [close, *before, insert("transfer", charge)], [*before, insert("transfer", charge)]

    def resolving(
        self, phase: Phase, good: dict[str, Any] | None = None, **wrong: Any
    ) -> tuple[list[Sql], list[Sql]]:
        """A hold of 500 resolved wrongly, and rightly."""
        *before, _ = self.resolved(self.held(), phase)
        return swap(before, "transfer", replace(self.last[0], **(good or {})), **wrong)

    def settling(self, table: str, **wrong: Any) -> tuple[list[Sql], list[Sql]]:
        """A settlement whose last row in a table is wrong, and the right one."""
        good = self.settlement()
        bad = {**good, table: [*good[table][:-1], replace(good[table][-1], **wrong)]}
        return flat(bad, self.head()), flat(good, self.head())

    def fenced(self, text: str) -> tuple[list[Sql], list[Sql]]:
        return tuple([sql(text, fence=f, deal_id=self.deal_id)] for f in (4, 6))  # type: ignore[return-value]  # two of them

    def volume_n(self) -> int:
        count: int = self.books.raw.rows("SELECT count(*) FROM volume_entry")[0][0]
        return 1 + count


def swap(before: list[Sql], table: str, good: Any, **wrong: Any) -> tuple[list[Sql], list[Sql]]:
    """Attack and control that differ in one row's members."""
    bad = replace(good, **wrong)
    return [*before, insert(table, bad)], [*before, insert(table, good)]


def flat(tables: dict[str, list[Any]], head: Sql) -> list[Sql]:
    inserts = [insert(table, row) for table, found in tables.items() for row in found]
    return [*inserts, head]
