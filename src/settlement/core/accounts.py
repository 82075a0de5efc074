"""Accounts: their classes and guards, the list of allowed movements, and counting.

For: `core/ledger.py`, which plans on accounts, and `State.apply`, which counts planned transfers.
Guarantees: every class has its guard and every kind its two classes, as spec §5.1 and §5.2 list
them (the database holds the same lists); a hold, its post and its void count as the spec says.
Does not: plan, load or write anything.

Spec §5.1, §5.2. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.core.rows import Account, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping

    from settlement.core.rows import Transfer

CREDIT: Final = "credit"
DEBIT: Final = "debit"
UNGUARDED: Final = "none"

GUARDS: Final[Mapping[str, str]] = {
    "agent": CREDIT,
    "mandate": CREDIT,
    "escrow": CREDIT,
    "dispute": CREDIT,
    "receivable": DEBIT,
    "fee_platform": UNGUARDED,
    "fee_protocol": UNGUARDED,
    "write_off": UNGUARDED,
    "clearing": UNGUARDED,
    "payout_transit": UNGUARDED,
}

#: kind -> classes it may go between (spec §5.2); the database holds the same list.
MOVEMENTS: Final[frozenset[tuple[str, str, str]]] = frozenset(
    {
        ("charge", "clearing", "escrow"),
        ("topup", "clearing", "agent"),
        ("escrow_fund", "agent", "escrow"),
        ("escrow_fund", "mandate", "escrow"),
        ("mandate_reserve", "agent", "mandate"),
        ("mandate_return", "mandate", "agent"),
        ("fee", "escrow", "fee_platform"),
        ("fee", "escrow", "fee_protocol"),
        ("release", "escrow", "agent"),
        ("refund", "escrow", "agent"),
        ("refund", "escrow", "mandate"),
        ("refund", "escrow", "clearing"),
        ("release_back", "agent", "escrow"),
        ("release_back", "receivable", "escrow"),
        ("fee_back", "fee_platform", "escrow"),
        ("fee_back", "fee_protocol", "escrow"),
        ("dispute_open", "escrow", "dispute"),
        ("dispute_open", "agent", "dispute"),
        ("dispute_close", "dispute", "escrow"),
        ("payout", "agent", "payout_transit"),
        ("payout_settled", "payout_transit", "clearing"),
        ("payout_unsettled", "clearing", "payout_transit"),
        ("payout_returned", "payout_transit", "agent"),
        ("chargeback", "escrow", "clearing"),
        ("chargeback", "agent", "clearing"),
        ("chargeback", "receivable", "clearing"),
        ("recover", "agent", "receivable"),
        ("write_off", "write_off", "receivable"),
    }
)


@dataclass(frozen=True, slots=True)
class Ref:
    """An account by name: what it is called, its class, and whose it is."""

    ref: str
    account_class: str
    holder: str | None = None
    deal_id: str | None = None


def agent_account(agent_id: str) -> Ref:
    """What we owe an agent."""
    return Ref(f"entity:{agent_id}", "agent", agent_id)


def escrow_account(deal_id: str) -> Ref:
    """Money held for one deal."""
    return Ref(f"escrow:{deal_id}", "escrow", None, deal_id)


def dispute_account(deal_id: str) -> Ref:
    """Money that waits for a ruling."""
    return Ref(f"dispute:{deal_id}", "dispute", None, deal_id)


def receivable_account(agent_id: str) -> Ref:
    """What an agent owes us, because money it had went back."""
    return Ref(f"receivable:{agent_id}", "receivable", agent_id)


def mandate_account(mandate_id: str, buyer_id: str) -> Ref:
    """What a buyer has put aside for one mandate."""
    return Ref(f"mandate:{mandate_id}", "mandate", buyer_id)


def clearing_account(rail: str) -> Ref:
    """Money at a rail that its statement has not confirmed yet."""
    return Ref(f"clearing:{rail}", "clearing")


def transit_account(rail: str) -> Ref:
    """Money on its way out through a rail."""
    return Ref(f"payout_transit:{rail}", "payout_transit")


FEE_PLATFORM: Final = Ref("fee_platform:platform", "fee_platform")
FEE_PROTOCOL: Final = Ref("fee_protocol:platform", "fee_protocol")
WRITE_OFF: Final = Ref("write_off:platform", "write_off")


def available(account: Account | None) -> int:
    """What a guarded account can give: posted, less what is held. No account: nothing."""
    if account is None:
        return 0
    if account.guard == DEBIT:
        return account.debits_posted - account.credits_posted - account.credits_held
    assert account.guard == CREDIT, "an unguarded account has no synchronous balance"
    return account.credits_posted - account.debits_posted - account.debits_held


# --- counting ------------------------------------------------------------------------------------


class Counters:
    """The four counters of one guarded account while transfers are planned on it."""

    __slots__ = ("credits_held", "credits_posted", "debits_held", "debits_posted", "seen")

    def __init__(self, account: Account | None) -> None:
        self.debits_posted = account.debits_posted if account else 0
        self.credits_posted = account.credits_posted if account else 0
        self.debits_held = account.debits_held if account else 0
        self.credits_held = account.credits_held if account else 0
        self.seen = 0

    def debit(self, phase: str, amount_minor: int) -> None:
        """Count a transfer of which this account is the debit side."""
        self.seen += 1
        if phase == Phase.HOLD:
            self.debits_held += amount_minor
            return
        if phase != Phase.FINAL:
            self.debits_held -= amount_minor
        if phase in (Phase.FINAL, Phase.POST):
            self.debits_posted += amount_minor

    def credit(self, phase: str, amount_minor: int) -> None:
        """Count a transfer of which this account is the credit side."""
        self.seen += 1
        if phase == Phase.HOLD:
            self.credits_held += amount_minor
            return
        if phase != Phase.FINAL:
            self.credits_held -= amount_minor
        if phase in (Phase.FINAL, Phase.POST):
            self.credits_posted += amount_minor

    def keeps(self, guard: str) -> bool:
        """Tell whether the guard of spec §5.1 holds; held amounts can never be negative."""
        if self.debits_held < 0 or self.credits_held < 0:
            return False
        if guard == CREDIT:
            return self.debits_posted + self.debits_held <= self.credits_posted
        return self.credits_posted + self.credits_held <= self.debits_posted


def apply_transfers(
    accounts: MutableMapping[tuple[str, str], Account | None], transfers: Iterable[Transfer]
) -> None:
    """Count transfers on the guarded accounts present; nothing plans a post of less than a hold."""
    touched: dict[tuple[str, str], Counters] = {}
    for transfer in transfers:
        for ref, side in ((transfer.debit_ref, "debit"), (transfer.credit_ref, "credit")):
            key = (ref, transfer.asset)
            counters = touched.get(key)
            if counters is None:
                account = accounts.get(key)
                if account is None or account.guard == UNGUARDED:
                    continue
                counters = touched[key] = Counters(account)
            if side == "debit":
                counters.debit(transfer.phase, transfer.amount_minor)
            else:
                counters.credit(transfer.phase, transfer.amount_minor)
    for key, counters in touched.items():
        account = accounts[key]
        assert account is not None, "only accounts that are there were counted"
        accounts[key] = Account(
            ref=account.ref,
            asset=account.asset,
            account_class=account.account_class,
            guard=account.guard,
            holder=account.holder,
            deal_id=account.deal_id,
            debits_posted=counters.debits_posted,
            credits_posted=counters.credits_posted,
            debits_held=counters.debits_held,
            credits_held=counters.credits_held,
            version=account.version + counters.seen,
            opened_at=account.opened_at,
            closed_at=account.closed_at,
        )
