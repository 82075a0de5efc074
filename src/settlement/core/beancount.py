"""The ledger as a beancount file: every posted transfer, and balance assertions day by day.

For: `service/exports.py`. The file is read by beancount's own tools, which check what we say.
Guarantees: account names are made of refs without two refs sharing one; a transaction is one tx
with all its posted legs; after each day with movements the balance of every account that moved is
asserted, and at the end that of every guarded account, from the counters the database keeps, so
the file compares two books. Memory grows with the accounts that are not at zero, not with history.
Does not: show holds, which have moved nothing, or convert between assets.

Change colour: green.
"""

from __future__ import annotations

from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final

from settlement.core.money import Asset, format_exact
from settlement.core.rows import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from settlement.core.rows import Account, Transfer

#: What each class of account is in a chart of accounts. What we owe is a liability.
_PLACES: Final = {
    "agent": "Liabilities:Agent",
    "mandate": "Liabilities:Mandate",
    "escrow": "Liabilities:Escrow",
    "dispute": "Liabilities:Dispute",
    "payout_transit": "Liabilities:Transit",
    "receivable": "Assets:Receivable",
    "clearing": "Assets:Clearing",
    "fee_platform": "Income:Fees:Platform",
    "fee_protocol": "Income:Fees:Protocol",
    "write_off": "Expenses:WriteOff",
}
_MOVED: Final = frozenset({Phase.FINAL, Phase.POST})
_DAY: Final = timedelta(days=1)


def account_name(ref: str, account_class: str) -> str:
    """`escrow:deal_1` -> `Liabilities:Escrow:Deal-u1`: what a name may not hold is written out."""
    own = ref.partition(":")[2]
    kept = own.replace("-", "--").replace("_", "-u").replace(".", "-d")
    return f"{_PLACES[account_class]}:{kept[:1].upper()}{kept[1:]}"


def ledger_text(accounts: Iterable[Account], transfers: Iterable[Transfer]) -> Iterator[str]:
    """The file, in pieces. Accounts are all there are; transfers in the order of their tx ids."""
    yield 'option "title" "Settlement ledger"\n'
    closing: list[str] = []
    for account in accounts:
        asset = Asset.parse(account.asset)
        name = account_name(account.ref, account.account_class)
        yield f"{account.opened_at[:10]} open {name} {asset.currency}\n"
        if account.guard != "none":
            minor = account.debits_posted - account.credits_posted
            closing.append(f"{name} {format_exact(minor, asset)} {asset.currency}")
    yield "\n"
    book = _Days()
    moved = (transfer for transfer in transfers if transfer.phase in _MOVED)
    for _, legs in groupby(moved, key=lambda transfer: transfer.tx_id):
        yield from book.add(list(legs))
    yield from book.end()
    if book.day is not None:
        yield "\n; Balances that the database keeps, counted when each transfer was written.\n"
        yield from (f"{book.day + _DAY} balance {text}\n" for text in closing)


class _Days:
    """Transactions, with the balances of what moved after each day."""

    def __init__(self) -> None:
        self.day: date | None = None
        self._balances: dict[tuple[str, str], int] = {}
        self._moved: set[tuple[str, str]] = set()

    def add(self, legs: list[Transfer]) -> Iterator[str]:
        """One tx, after the assertions of the day before if it begins a new one."""
        day = date.fromisoformat(legs[0].booked_at[:10])
        if self.day is not None and day > self.day:
            yield from self.end()
        self.day = day
        yield _heading(legs)
        for leg in legs:
            asset = Asset.parse(leg.asset)
            for ref, account_class, minor in (
                (leg.debit_ref, leg.debit_class, leg.amount_minor),
                (leg.credit_ref, leg.credit_class, -leg.amount_minor),
            ):
                name = account_name(ref, account_class)
                key = (name, leg.asset)
                self._balances[key] = self._balances.get(key, 0) + minor
                self._moved.add(key)
                yield f"  {name} {format_exact(minor, asset)} {asset.currency}\n"

    def end(self) -> Iterator[str]:
        """What stood at the end of the day, on every account that moved."""
        if self.day is None:
            return
        yield "\n"
        for name, code in sorted(self._moved):
            asset = Asset.parse(code)
            minor = self._balances[name, code]
            if not minor:
                del self._balances[name, code]
            amount = format_exact(minor, asset)
            yield f"{self.day + _DAY} balance {name} {amount} {asset.currency}\n"
        self._moved.clear()


def _heading(legs: list[Transfer]) -> str:
    first = legs[0]
    kinds = ", ".join(dict.fromkeys(leg.kind for leg in legs))
    return (
        f'\n{first.booked_at[:10]} * "{kinds}"\n'
        f'  tx_id: "{first.tx_id}"\n'
        f'  deal_id: "{first.deal_id}"\n'
        f'  event_id: "{first.event_id}"\n'
        f'  booked_at: "{first.booked_at}"\n'
    )
