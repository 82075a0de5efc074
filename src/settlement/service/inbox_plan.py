"""What a rail's news calls for: an operation, a verdict without one, or another look later.

For: `inbox.py`, within the transaction that leased the job.
Guarantees: news about something we asked a rail for (an effect, found by its rail key, or by the
rail's own reference) answers that effect or nothing; only a charge that no effect explains is money
paid in from outside. While a charge of the deal is undecided, such money waits. Money that left a
charge by itself is a contradiction, kept and alarming, also where nobody knows the deal.
A top-up is told from a deal by its name.
Does not: execute the operation; every one of them is guarded, so a plan may be out of date.

Spec §10.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from settlement.core.obligations import rail_key
from settlement.core.operations import (
    RailOutcome,
    RecordCharge,
    RecordChargeback,
    RecordPayment,
    RecordPayout,
    RecordRefund,
    RecordTopup,
    RecordTopupCharge,
)
from settlement.core.principal import SYSTEM
from settlement.core.rows import EffectKind, EffectState
from settlement.core.topups import is_topup
from settlement.service.recorders import find_recorder
from settlement.store import deals as deal_rows
from settlement.store.claims import claims_of_key
from settlement.store.topups import find_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.inbound import RailNews
    from settlement.core.rows import Deal, Effect
    from settlement.core.topups import TopupRequest
    from settlement.store.database import Tx
    from settlement.store.inbox import InboxRow

OTHER_AMOUNT = "the amount is not the deal's; it stays in escrow"
OTHER_TOPUP = "the amount is not what was asked for; it is on the balance"
CHARGED_BACK = "the payer's bank has taken a payment back"
_ANSWERABLE = frozenset({EffectState.SENT, EffectState.UNKNOWN})
_OPEN = _ANSWERABLE | {EffectState.PLANNED}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a message."""

    status: Literal["applied", "ignored", "contradiction"]
    note: str | None


@dataclass(frozen=True, slots=True)
class Later:
    """Not yet: look again."""

    why: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A fault of ours, not of the message: tried again, and in the end left for somebody to see."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An operation to run, or what to say without one. `note` goes with a success."""

    operation: (
        RecordPayment
        | RecordChargeback
        | RecordCharge
        | RecordPayout
        | RecordRefund
        | RecordTopup
        | RecordTopupCharge
        | None
    ) = None
    verdict: Verdict | Later | Failed | None = None
    note: str | None = None


def alarming(outcome: Verdict) -> bool:
    """True for what somebody has to look at."""
    note = outcome.note or ""
    return outcome.status == "contradiction" or note.startswith(
        (OTHER_AMOUNT, OTHER_TOPUP, CHARGED_BACK)
    )


def plan(tx: Tx, message: InboxRow, news: RailNews) -> Plan:
    """Decide what to do about a piece of news."""
    deal_id = news.deal_id or _deal_of_charge(tx, message.source, news.rail_ref)
    deal = None if deal_id is None else deal_rows.find_deal(tx, deal_id)
    if news.kind == "chargeback":
        return _taken_back(message, news, deal)
    if deal_id is not None and is_topup(deal_id):
        return _topped_up(tx, message, news, deal_id)
    if deal is None:
        return _contradiction(f"{news.kind} {news.rail_ref} names no deal that is known here")
    effects = [e for e in deal_rows.effects_of(tx, deal.deal_id) if e.rail == message.source]
    return _about_ours(effects, news) or _paid_in(tx, message, news, deal, effects)


def _about_ours(effects: Sequence[Effect], news: RailNews) -> Plan | None:
    """What concerns something that was asked for here; None for money from outside."""
    if news.kind == "refunded_total":
        return _gone_back(effects, news)
    effect = _effect_of(effects, news)
    if effect is not None:
        return _about_effect(effect, news)
    if news.kind != "charge":
        return _contradiction(f"{news.kind} {news.rail_ref} was never asked for")
    return None


def _effect_of(effects: Sequence[Effect], news: RailNews) -> Effect | None:
    for effect in effects:
        if news.rail_key is not None and rail_key(effect.obligation_key) == news.rail_key:
            return effect
    return next((e for e in effects if e.rail_ref == news.rail_ref), None)


def _about_effect(effect: Effect, news: RailNews) -> Plan:
    """The news answers what we asked the rail for."""
    what = f"effect {effect.effect_id}"
    if (effect.kind, effect.asset, effect.amount_minor) != (
        news.kind,
        news.asset,
        news.amount_minor,
    ):
        return _contradiction(f"{what} was for another kind or amount")
    if effect.state is EffectState.PLANNED:
        # Its job sends it under the key the rail knows, and so hears the same.
        return Plan(verdict=Verdict("ignored", f"{what} is yet to be sent"))
    if effect.state not in _ANSWERABLE:
        return _about_answered(effect, news, what)
    operation = find_recorder(effect)
    if operation is None:
        # Its own job asks within minutes and hears the same.
        return Plan(verdict=Verdict("ignored", f"{what} is asked about by its job"))
    return Plan(
        operation=operation(
            principal=SYSTEM,
            effect_id=effect.effect_id,
            deal_id=effect.deal_id,
            fence=effect.fence,
            outcome=RailOutcome(state=news.state, rail_ref=news.rail_ref, code=news.code),
        )
    )


def _about_answered(effect: Effect, news: RailNews, what: str) -> Plan:
    if effect.state.value != news.state:
        return _contradiction(f"{what} is {effect.state.value}, and the rail says {news.state}")
    confirmed = effect.state is EffectState.CONFIRMED
    if confirmed and effect.rail_ref not in (None, news.rail_ref):
        return _contradiction(f"{what} was {effect.rail_ref}; {news.rail_ref} is a second one")
    return Plan(verdict=Verdict("ignored", f"{what} is {effect.state.value} already"))


def _paid_in(
    tx: Tx, message: InboxRow, news: RailNews, deal: Deal, effects: Sequence[Effect]
) -> Plan:
    """Money that came in from outside, or did not."""
    charge = f"charge {news.rail_ref}"
    if news.state == "refused":
        if _is_booked(tx, message.source, news.rail_ref):
            return _contradiction(f"{charge} is booked, and the rail says refused")
        return Plan(verdict=Verdict("ignored", "nothing was booked"))
    if news.asset != deal.asset:
        return _contradiction(f"{charge} is in {news.asset}, the deal in {deal.asset}")
    if any(e.kind is EffectKind.CHARGE and e.state in _OPEN for e in effects):
        return Plan(verdict=Later("a charge of this deal is undecided"))
    wanted = deal.gross_minor if deal.gross_minor is not None else deal.price_minor
    return Plan(
        operation=RecordPayment(
            principal=SYSTEM,
            deal_id=deal.deal_id,
            amount_minor=news.amount_minor,
            rail=message.source,
            rail_ref=news.rail_ref,
            message_id=message.message_id,
        ),
        note=None if news.amount_minor == wanted else OTHER_AMOUNT,
    )


def _topped_up(tx: Tx, message: InboxRow, news: RailNews, stream: str) -> Plan:
    """Money for a balance: the answer to our own charge, or what a payer paid at the page."""
    request = find_request(tx, stream)
    if request is None or request.rail != message.source:
        return _contradiction(f"{news.kind} {news.rail_ref} names no top-up that is known here")
    effects = deal_rows.effects_of(tx, stream)
    return _about_ours(effects, news) or _paid_up(message, news, request, effects)


def _paid_up(
    message: InboxRow, news: RailNews, request: TopupRequest, effects: Sequence[Effect]
) -> Plan:
    """A payer paid at the page, or did not."""
    if news.state == "refused":
        return Plan(verdict=Verdict("ignored", "nothing was booked"))
    if news.asset != request.asset:
        return _contradiction(
            f"charge {news.rail_ref} is in {news.asset}, the top-up in {request.asset}"
        )
    if any(e.state in _OPEN for e in effects):
        return Plan(verdict=Later("the charge of this top-up is undecided"))
    return Plan(
        operation=RecordTopup(
            principal=SYSTEM,
            request=request,
            amount_minor=news.amount_minor,
            rail_ref=news.rail_ref,
            message_id=message.message_id,
        ),
        note=None if news.amount_minor == request.amount_minor else OTHER_TOPUP,
    )


def _gone_back(effects: Sequence[Effect], news: RailNews) -> Plan:
    """How much of a charge went back in all; more than was asked for here is somebody else's."""
    ours = [e for e in effects if e.kind is EffectKind.REFUND and e.destination == news.rail_ref]
    asked = sum(e.amount_minor for e in ours if e.state is not EffectState.REFUSED)
    if news.amount_minor > asked:
        return _contradiction(
            f"{news.amount_minor} of charge {news.rail_ref} went back, {asked} by a refund of ours"
        )
    return Plan(verdict=Verdict("ignored", "what went back was asked for here"))


def _taken_back(message: InboxRow, news: RailNews, deal: Deal | None) -> Plan:
    """A chargeback: the money is out of our hands already, whatever the books say."""
    reason = news.code or "no reason given"
    if deal is None or news.asset != deal.asset:
        whose = f"deal {deal.deal_id}" if deal is not None else "no deal that is known here"
        return _contradiction(
            f"{news.amount_minor} of charge {news.rail_ref} is taken back by the payer's bank"
            f" ({reason}); it paid for {whose}"
        )
    return Plan(
        operation=RecordChargeback(
            principal=SYSTEM,
            deal_id=deal.deal_id,
            amount_minor=news.amount_minor,
            rail=message.source,
            rail_ref=news.rail_ref,
            message_id=message.message_id,
        ),
        note=f"{CHARGED_BACK} ({reason}), from deal {deal.deal_id}",
    )


def _deal_of_charge(tx: Tx, rail: str, rail_ref: str) -> str | None:
    """The deal into whose escrow a charge was booked."""
    claims = claims_of_key(tx, f"{rail}:{rail_ref}")
    return next((one.deal_id for one in claims if one.operation == RecordPayment.name), None)


def _is_booked(tx: Tx, rail: str, rail_ref: str) -> bool:
    return any(
        claim.operation == RecordPayment.name and '"result"' in (claim.outcome or "")[:10]
        for claim in claims_of_key(tx, f"{rail}:{rail_ref}")
    )


def _contradiction(why: str) -> Plan:
    return Plan(verdict=Verdict("contradiction", why))
