"""Money that goes back: what is left to give, who bears it, and the legs that do it.

For: refunds, rulings and chargebacks.
Guarantees: what goes back never exceeds what the payment gave; escrow gives first, then each who
got a part of the settlement in proportion to what it still has of it (largest remainder), so many
partial refunds of one deal sum exactly. A payee's part comes from what it has available, the rest
from `receivable:<agent>`. To a rail every leg is a hold until the rail has said, so a refusal
undoes all of it; to an account of ours everything is final at once.
Does not: decide who may ask, or call a rail.

Spec §4.8, §5.4. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.accounts import (
    FEE_PLATFORM,
    FEE_PROTOCOL,
    Ref,
    agent_account,
    available,
    clearing_account,
    escrow_account,
    receivable_account,
)
from settlement.core.errors import RequestInProgress
from settlement.core.money import allocate
from settlement.core.refund_rows import OPEN_REFUNDS, RefundState
from settlement.core.rows import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from settlement.core.ledger import Tx
    from settlement.core.refund_rows import Dispute, PaymentIn, Refund
    from settlement.core.rows import Deal
    from settlement.core.state import State

#: An open payout: the rail may be paying it out this moment.
OPEN_PAYOUTS: Final = frozenset({"planned", "sent", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One amount by who bears it: the escrow, the fees, the payees."""

    escrow: int = 0
    fee_platform: int = 0
    fee_protocol: int = 0
    payees: tuple[tuple[str, int], ...] = ()

    @property
    def settled(self) -> int:
        """What of it a settlement had given away."""
        return self.fee_platform + self.fee_protocol + sum(minor for _, minor in self.payees)

    @property
    def total(self) -> int:
        """All of it."""
        return self.escrow + self.settled

    def of(self, agent_id: str) -> int:
        """What one payee bears."""
        return sum(minor for agent, minor in self.payees if agent == agent_id)

    def text(self) -> str:
        """The form kept in a row."""
        return json.dumps(
            {
                "escrow": self.escrow,
                "fee_platform": self.fee_platform,
                "fee_protocol": self.fee_protocol,
                "payees": dict(self.payees),
            }
        )


def read_parts(text: str) -> Parts:
    """Read parts back from a row."""
    found: dict[str, Any] = json.loads(text)
    payees = tuple(found.pop("payees").items())
    return Parts(payees=payees, **found)


def counts(refund: Refund) -> bool:
    """A refused refund gave nothing; an open one has its money held."""
    return refund.state is not RefundState.REFUSED


def borne_by(refunds: Iterable[Refund], agent_id: str) -> int:
    """What a payee has given back of a deal, or holds for it."""
    return sum(read_parts(one.parts).of(agent_id) for one in refunds if counts(one))


def taken_by_ruling(dispute: Dispute | None, agent_id: str) -> int:
    """What a ruling after the settlement took from a payee."""
    taken = json.loads(dispute.parts).get("taken") if dispute is not None else None
    return 0 if taken is None else read_parts(json.dumps(taken)).of(agent_id)


def any_open(refunds: Iterable[Refund]) -> bool:
    """True while a rail has not said what became of a refund."""
    return any(one.state in OPEN_REFUNDS for one in refunds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What a deal's money is at this moment: payments newest first, and who still has what."""

    payments: tuple[tuple[PaymentIn, int], ...]  # with what each can still be given back
    has: Parts

    @property
    def owed(self) -> int:
        """What the payments together could still be given back."""
        return sum(left for _, left in self.payments)

    def newest(self) -> tuple[PaymentIn, int] | None:
        """The payment a refund goes back to, and how much can: a surplus was paid last."""
        for payment, left in self.payments:
            most = min(left, self.has.total)
            if most:
                return payment, most
        return None

    def divide(self, amount_minor: int) -> Parts:
        """Who bears an amount: the escrow first, then all who still have of the settlement."""
        escrow = min(amount_minor, self.has.escrow)
        return share_out(self.has, amount_minor - escrow, escrow)

    def by_payment(self, amount_minor: int) -> list[tuple[PaymentIn, int]]:
        """Divide an amount among the payments, newest first."""
        found = []
        for payment, left in self.payments:
            part = min(left, amount_minor)
            if part:
                found.append((payment, part))
            amount_minor -= part
        assert amount_minor == 0, "nothing goes back that nobody paid"
        return found


def share_out(has: Parts, amount_minor: int, escrow: int = 0) -> Parts:
    """Divide an amount in proportion to what each still has; nobody gives more than that."""
    if not amount_minor:
        return Parts(escrow=escrow)
    weights = [has.fee_platform, has.fee_protocol, *(minor for _, minor in has.payees)]
    assert amount_minor <= sum(weights), "nobody gives more than it has of the settlement"
    platform, protocol, *rest = allocate(amount_minor, weights)
    payees = tuple((agent, part) for (agent, _), part in zip(has.payees, rest, strict=True) if part)
    return Parts(escrow=escrow, fee_platform=platform, fee_protocol=protocol, payees=payees)


def remains_of(state: State, deal: Deal) -> Remains:
    """Take a deal's money apart, from its payments, its settlement and what went back already.

    Raises RequestInProgress when this batch settled or paid the deal: its accounts were not read.
    """
    refunds = [one for one in state.refunds[deal.deal_id] if counts(one)]
    gone: dict[str, int] = {}
    for refund in refunds:
        gone[refund.payment_event_id] = gone.get(refund.payment_event_id, 0) + refund.amount_minor
    payments = state.payments[deal.deal_id]
    left = [(one, max(one.amount_minor - gone.get(one.event_id, 0), 0)) for one in payments]
    _check_loaded(state, deal, [one.debit_ref for one in payments])
    escrow = available(state.accounts[escrow_account(deal.deal_id).ref, deal.asset])
    return Remains(payments=tuple(reversed(left)), has=_has(state, deal, refunds, escrow))


def _has(state: State, deal: Deal, refunds: Sequence[Refund], escrow: int) -> Parts:
    view = state.settlements[deal.deal_id]
    if view is None:
        return Parts(escrow=escrow)
    back = [read_parts(one.parts) for one in refunds]
    dispute = state.disputes[deal.deal_id]
    taken = json.loads(dispute.parts).get("taken") if dispute is not None else None
    if taken is not None:
        back.append(read_parts(json.dumps(taken)))
    _check_loaded(
        state,
        deal,
        [
            ref.ref
            for payee in view.payees
            for ref in (agent_account(payee.agent_id), receivable_account(payee.agent_id))
        ],
    )
    settled = view.settlement
    payees = tuple(
        (one.agent_id, max(one.net_minor - sum(b.of(one.agent_id) for b in back), 0))
        for one in view.payees
    )
    return Parts(
        escrow=escrow,
        fee_platform=settled.platform_fee_minor - sum(b.fee_platform for b in back),
        fee_protocol=settled.protocol_fee_minor - sum(b.fee_protocol for b in back),
        payees=payees,
    )


def still_held(dispute: Dispute | None) -> dict[str, int]:
    """What an open dispute holds, by the account it came from: less what a rail took since."""
    if dispute is None or dispute.status != "opened":
        return {}
    held: dict[str, int] = json.loads(dispute.parts)["held"]
    return held


def _check_loaded(state: State, deal: Deal, refs: Iterable[str]) -> None:
    """Settled or paid earlier in this very batch: whose accounts these are was not known then."""
    if any((ref, deal.asset) not in state.accounts for ref in refs):
        raise RequestInProgress()


def source_account(payment: PaymentIn) -> Ref:
    """The account a payment came from, which is where it goes back to."""
    holder = payment.debit_ref.partition(":")[2] if payment.debit_class == "agent" else None
    return Ref(payment.debit_ref, payment.debit_class, holder)


def take_back(
    tx: Tx, state: State, deal: Deal, parts: Parts, *, phase: Phase = Phase.FINAL
) -> list[dict[str, Any]]:
    """The opposite legs of a settlement, into escrow; what was planned, for resolving it later."""
    escrow = escrow_account(deal.deal_id)
    legs: list[tuple[str, Ref, int]] = []
    for agent_id, minor in parts.payees:
        account = agent_account(agent_id)
        has = min(minor, available(state.accounts[account.ref, deal.asset]))
        legs.append(("release_back", account, has))
        legs.append(("release_back", receivable_account(agent_id), minor - has))
    legs.append(("fee_back", FEE_PLATFORM, parts.fee_platform))
    legs.append(("fee_back", FEE_PROTOCOL, parts.fee_protocol))
    return [_planned(tx, kind, debit, escrow, minor, phase) for kind, debit, minor in legs if minor]


def hold_refund(tx: Tx, deal: Deal, payment: PaymentIn, amount_minor: int) -> dict[str, Any]:
    """Hold escrow money that a rail is to give back."""
    escrow, source = escrow_account(deal.deal_id), source_account(payment)
    return _planned(tx, "refund", escrow, source, amount_minor, Phase.HOLD)


def _planned(
    tx: Tx, kind: str, debit: Ref, credit: Ref, amount_minor: int, phase: Phase
) -> dict[str, Any]:
    hold_id = tx.add(kind, debit, credit, amount_minor, phase=phase)
    return {
        "hold_id": hold_id,
        "kind": kind,
        "debit": [debit.ref, debit.account_class, debit.holder, debit.deal_id],
        "credit": [credit.ref, credit.account_class, credit.holder, credit.deal_id],
        "amount_minor": amount_minor,
    }


def resolve_holds(tx: Tx, refund: Refund, *, confirmed: bool) -> None:
    """Post all that was held and let the whole amount leave, or void all of it."""
    held: list[dict[str, Any]] = json.loads(refund.holds)
    phase = Phase.POST if confirmed else Phase.VOID
    for leg in held:
        debit, credit = Ref(*leg["debit"]), Ref(*leg["credit"])
        tx.add(leg["kind"], debit, credit, leg["amount_minor"], phase=phase, hold_id=leg["hold_id"])
    gone = sum(leg["amount_minor"] for leg in held if leg["kind"] == "refund")
    if confirmed and gone < refund.amount_minor:
        assert refund.rail is not None, "only a rail's refund is held"
        source = clearing_account(refund.rail)
        tx.add("refund", escrow_account(refund.deal_id), source, refund.amount_minor - gone)


def held_accounts(refund: Refund) -> tuple[str, ...]:
    """The accounts that resolving a refund's holds moves on."""
    legs: list[dict[str, Any]] = json.loads(refund.holds)
    return tuple(leg[side][0] for leg in legs for side in ("debit", "credit"))
