"""A write set as statements: one per table, rows as tuples, in an order that is safe to run.

For: `Tx.write` of both drivers, which run the statements as given.
Guarantees: events come before the deals whose heads they are, transfers and payees before the
settlement that sums them; rows that other processes may insert too go in key order, so that two
writers wait for each other and do not deadlock; several changes of one row become one, the last.
Does not: know SQL (that is `sql/writes.<kind>.sql`), or lock; `store/loading.py` did.
Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from settlement.core import intent_rows, refund_rows, rows
from settlement.core.acceptance_rows import Acceptance
from settlement.core.actor_keys import ActorKey
from settlement.core.api_keys import ApiKey
from settlement.core.limit_rows import LimitRow
from settlement.core.mandate_rows import Mandate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from settlement.core.writeset import ClaimFinish, EffectChange, KeyChange, WriteSet

R = TypeVar("R")
_Tuple = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A query and its rows, each in the order of `names`.

    lost: what to say when fewer rows changed than were sent; None when that is fine.
    """

    query: str
    names: tuple[str, ...]
    rows: Sequence[_Tuple]
    lost: str | None = None


def _names(row: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(row))


def _key(*names: str) -> Callable[[Any], Any]:
    return attrgetter(*names)


def jobs_due(writes: WriteSet, later_us: int) -> WriteSet:
    """The same write set, its jobs due by that much later."""
    if not later_us:
        return writes
    jobs = [replace(job, run_at_us=job.run_at_us + later_us) for job in writes.jobs]
    return replace(writes, jobs=jobs)


@dataclass(frozen=True, slots=True)
class _Insert:
    """How the rows of one list go into their table."""

    query: str
    names: tuple[str, ...]
    pick: Callable[[Any], _Tuple]
    sort: Callable[[Any], Any] | None


def _insert(query: str, row: type[Any], *sort: str) -> _Insert:
    names = _names(row)
    return _Insert(query, names, attrgetter(*names), _key(*sort) if sort else None)


_AGENT: Final = _insert("agent_insert", rows.Agent)
_API_KEY: Final = _insert("api_key_insert", ApiKey)
_ACTOR_KEY: Final = _insert("actor_key_insert", ActorKey)
_DEAL: Final = _insert("deal_insert", rows.Deal, "deal_id")
_PARTY: Final = _insert("party_insert", rows.Party, "deal_id", "agent_id", "role")
_PROOF: Final = _insert("proof_insert", rows.Proof)
_INTENT: Final = _insert("intent_insert", intent_rows.Intent, "intent_id")
_BID: Final = _insert("bid_insert", intent_rows.Bid, "intent_id", "n")
_BID_REVEAL: Final = _insert("bid_reveal_insert", intent_rows.BidReveal)
_RECEIPT: Final = _insert("receipt_insert", rows.Receipt, "receipt_digest", "authority")
_ACCOUNT: Final = _insert("account_insert", rows.Account, "ref", "asset")
_EVENT: Final = _insert("event_insert", rows.Event)
_PENDING: Final = _Insert(
    "event_pending_insert", ("deal_id", "version"), attrgetter("deal_id", "version"), None
)
_TX: Final = _insert("ledger_tx_insert", rows.LedgerTx)
_TRANSFER: Final = _insert("transfer_insert", rows.Transfer)
_PAYEE: Final = _insert("settlement_payee_insert", rows.SettlementPayee)
_SETTLEMENT: Final = _insert("settlement_insert", rows.Settlement)
_VOLUME: Final = _insert("volume_entry_insert", rows.VolumeEntry, "agent_id", "asset", "n")
_DESTINATION: Final = _insert("destination_insert", rows.Destination)
_ACCEPTANCE: Final = _insert("acceptance_insert", Acceptance, "acceptance_id")
_MANDATE: Final = _insert("mandate_insert", Mandate, "mandate_id")
_EFFECT: Final = _insert("effect_insert", rows.Effect, "obligation_key")
_PAYOUT: Final = _insert("payout_insert", rows.Payout, "deal_id", "agent_id")
_DISPUTE: Final = _insert("dispute_insert", refund_rows.Dispute, "deal_id")
_REFUND: Final = _insert("refund_insert", refund_rows.Refund, "refund_id")
_BAD_OUTCOME: Final = _insert("bad_outcome_insert", refund_rows.BadOutcome, "deal_id")
_JOB: Final = _insert("job_insert", rows.Job, "job_type", "dedup_key")
_OUTBOX: Final = _insert("outbox_insert", rows.OutboxRow)
_CLAIM: Final = _insert("claim_insert", rows.Claim, "scope", "operation", "key")


def _change(row: type[Any], key: str, *fixed: str) -> tuple[str, ...]:
    """The columns an update sets, then the key it finds the row by."""
    return (*(name for name in _names(row) if name not in (key, *fixed)), key)


DEAL_CHANGE: Final = _change(rows.Deal, "deal_id", "created_at")
PAYOUT_CHANGE: Final = _change(
    rows.Payout, "payout_id", "deal_id", "agent_id", "asset", "created_at"
)
#: What was submitted stays as it was; a review is only decided.
ACCEPTANCE_CHANGE: Final = (
    *("status", "reviewer_id", "reason", "checks_passed", "checks_failed", "decided_at"),
    "acceptance_id",
)
#: What a mandate allows never changes; it can only end.
MANDATE_CHANGE: Final = ("status", "revoked_at", "mandate_id")
_EFFECT_ROW: Final = _change(
    rows.Effect,
    "effect_id",
    *("obligation_key", "kind", "deal_id", "rail", "asset", "amount_minor", "created_at"),
)
EFFECT_CHANGE: Final = (*_EFFECT_ROW, "expected_fence", "expected_state")
DISPUTE_CHANGE: Final = (
    "status",
    "parts",
    "seller_ppm",
    "ruling_hash",
    "resolved_at",
    "dispute_id",
)
REFUND_CHANGE: Final = ("holds", "state", "rail_ref", "refusal", "updated_at", "refund_id")
KEY_CHANGE: Final = (
    *("status", "grace_until", "revoked_at", "revoke_reason", "key_id"),
    "expected_status",
)
FINISH: Final = ("outcome", "finished_at", "scope", "operation", "key")
#: All that a close changes of an intent.
INTENT_CHANGE: Final = (
    *("state", "closed_at", "winner_bid_id", "winner_agent_id", "winning_minor", "due_at"),
    "intent_id",
)
LIMIT: Final = _names(LimitRow)
_CLAIM_KEY: Final = ("scope", "operation", "key")

_deal_change: Final = attrgetter(*DEAL_CHANGE)
_acceptance_change: Final = attrgetter(*ACCEPTANCE_CHANGE)
_mandate_change: Final = attrgetter(*MANDATE_CHANGE)
_payout_change: Final = attrgetter(*PAYOUT_CHANGE)
_effect_change: Final = attrgetter(
    *(f"effect.{name}" for name in _EFFECT_ROW), "expected_fence", "expected_state"
)
_dispute_change: Final = attrgetter(*DISPUTE_CHANGE)
_refund_change: Final = attrgetter(*REFUND_CHANGE)
_key_change: Final = attrgetter(*(f"key.{name}" for name in KEY_CHANGE[:-1]), KEY_CHANGE[-1])
_finish: Final = attrgetter(*FINISH)
_intent_change: Final = attrgetter(*INTENT_CHANGE)
_limit: Final = attrgetter(*LIMIT)


def statements(writes: WriteSet) -> Iterator[Statement]:
    """What to run, in order; nothing for an empty list."""
    deals_new, deals_changed = _fold_deals(writes)
    yield from _put(_AGENT, writes.agents)
    yield from _put(_API_KEY, writes.api_keys)
    yield from _set("api_key_update", KEY_CHANGE, _keys(writes.api_keys_changed))
    yield from _put(_ACTOR_KEY, writes.actor_keys)
    yield from _put(_EVENT, writes.events)
    yield from _put(_PENDING, writes.events)
    yield from _put(_DEAL, deals_new)
    yield from _set("deal_update", DEAL_CHANGE, [_deal_change(d) for d in deals_changed])
    yield from _put(_PARTY, writes.parties)
    yield from _put(_INTENT, writes.intents_new)
    yield from _put(_BID, writes.bids)
    intents = [_intent_change(i) for i in writes.intents_changed]
    yield from _set("intent_update", INTENT_CHANGE, intents)
    yield from _put(_BID_REVEAL, writes.bid_reveals)
    yield from _put(_PROOF, writes.proofs)
    yield from _put(_RECEIPT, writes.receipts)
    yield from _put(_ACCOUNT, writes.accounts_new)
    yield from _put(_TX, writes.txs)
    yield from _put(_TRANSFER, writes.transfers)
    yield from _put(_PAYEE, writes.payees)
    yield from _put(_SETTLEMENT, writes.settlements)
    yield from _put(_VOLUME, writes.volumes)
    yield from _consent(writes)
    yield from _put(_DESTINATION, writes.destinations)
    yield from _put(_EFFECT, writes.effects_new)
    yield from _set("effect_update", EFFECT_CHANGE, _effects(writes.effects_changed))
    yield from _put(_PAYOUT, writes.payouts_new)
    payouts = _last(writes.payouts_changed, "payout_id")
    yield from _set("payout_update", PAYOUT_CHANGE, [_payout_change(p) for p in payouts])
    yield from _back(writes)
    yield from _put(_JOB, writes.jobs)
    yield from _put(_OUTBOX, writes.outbox)
    yield from _put(_CLAIM, writes.claims)
    yield from _finishes(writes.claims_finished)
    limits = sorted(map(_limit, writes.limits))
    yield from _set("limit_write", LIMIT, limits)


def _back(writes: WriteSet) -> Iterator[Statement]:
    """Disputes before the refunds they force; both after the transfers they are checked with."""
    yield from _put(_DISPUTE, writes.disputes_new)
    disputes = _last(writes.disputes_changed, "dispute_id")
    yield from _set("dispute_update", DISPUTE_CHANGE, [_dispute_change(d) for d in disputes])
    yield from _put(_REFUND, writes.refunds_new)
    refunds = _last(writes.refunds_changed, "refund_id")
    yield from _set("refund_update", REFUND_CHANGE, [_refund_change(r) for r in refunds])
    yield from _put(_BAD_OUTCOME, writes.bad_outcomes)


def _consent(writes: WriteSet) -> Iterator[Statement]:
    """What buyers have said: reviews and mandates."""
    yield from _put(_ACCEPTANCE, writes.acceptances_new)
    reviews = _last(writes.acceptances_changed, "acceptance_id")
    decided = [_acceptance_change(one) for one in reviews]
    yield from _set("acceptance_update", ACCEPTANCE_CHANGE, decided)
    yield from _put(_MANDATE, writes.mandates_new)
    mandates = _last(writes.mandates_changed, "mandate_id")
    yield from _set("mandate_update", MANDATE_CHANGE, [_mandate_change(m) for m in mandates])


def _put(table: _Insert, values: Sequence[Any]) -> Iterator[Statement]:
    if not values:
        return
    if table.sort is not None and len(values) > 1:
        values = sorted(values, key=table.sort)
    yield Statement(table.query, table.names, [table.pick(value) for value in values])


def _set(query: str, names: tuple[str, ...], values: list[_Tuple]) -> Iterator[Statement]:
    if values:
        yield Statement(query, names, values, lost=query)


def _fold_deals(writes: WriteSet) -> tuple[list[rows.Deal], list[rows.Deal]]:
    """A deal made and changed in one batch is made as changed."""
    if not writes.deals_changed:
        return writes.deals_new, []
    changed = {deal.deal_id: deal for deal in writes.deals_changed}
    new = [changed.pop(deal.deal_id, deal) for deal in writes.deals_new]
    return new, [changed[deal_id] for deal_id in sorted(changed)]


def _last(values: Iterable[R], key: str) -> list[R]:
    found = {getattr(value, key): value for value in values}
    return [found[name] for name in sorted(found)]


def _effects(changes: Iterable[EffectChange]) -> list[_Tuple]:
    """One change per effect: what the first expected, what the last made of it."""
    found: dict[str, EffectChange] = {}
    for change in changes:
        first = found.get(change.effect.effect_id)
        found[change.effect.effect_id] = (
            change if first is None else replace(first, effect=change.effect)
        )
    return [_effect_change(found[effect_id]) for effect_id in sorted(found)]


def _keys(changes: Iterable[KeyChange]) -> list[_Tuple]:
    """One change per key, as for effects."""
    found: dict[str, KeyChange] = {}
    for change in changes:
        first = found.get(change.key.key_id)
        found[change.key.key_id] = change if first is None else replace(first, key=change.key)
    return [_key_change(found[key_id]) for key_id in sorted(found)]


def _finishes(finished: list[ClaimFinish]) -> Iterator[Statement]:
    ordered = sorted(finished, key=_key(*_CLAIM_KEY))
    yield from _set("claim_finish", FINISH, [_finish(f) for f in ordered if not f.release])
    released = [_finish(f) for f in ordered if f.release]
    if released:
        # The sent keys keep the outcome before the claim they named goes away.
        yield Statement("claim_inherit", FINISH, released)
        keys = [row[2:] for row in released]
        yield Statement("claim_delete", _CLAIM_KEY, keys, lost="claim_delete")
