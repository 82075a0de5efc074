"""The rows the engine decides on and writes, as plain values.

For: `core/operations` (which reads and makes them) and `store` (which loads and writes them); the
field names are the column names of docs/architecture.md's schema, in the order of the DDL.
Guarantees: immutable; integers in minor units; times in the one text form of spec §1.4, but for
lease and schedule columns, which are integer microseconds since 1970 (`_us`).
Does not: know SQL, compute anything, or hold defaults that mean money.
Change colour: red (a field here is a column in two databases).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, dataclass_transform

_R = TypeVar("_R")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def _row(cls: type[_R]) -> type[_R]:
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


class DealState(StrEnum):
    """Spec §4.1."""

    CREATED = "created"
    PROOF_READY = "proof_ready"
    GO_APPROVED = "go_approved"
    SETTLING = "settling"
    SETTLED = "settled"
    DISPUTED = "disputed"
    REFUNDED = "refunded"
    CANCELLED = "cancelled"


class EffectState(StrEnum):
    """Spec §6.4."""

    PLANNED = "planned"
    SENT = "sent"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class EffectKind(StrEnum):
    """One thing asked of a rail (spec §6.4)."""

    CHARGE = "charge"
    PAYOUT = "payout"
    REFUND = "refund"
    PAYMENT_LINK = "payment_link"


class Phase(StrEnum):
    """Spec §5.3: a final transfer, a hold, or the one row that resolves a hold."""

    FINAL = "final"
    HOLD = "hold"
    POST = "post"
    VOID = "void"
    EXPIRE = "expire"


@_row
class Agent:
    agent_id: str
    name: str
    agent_type: str
    capabilities: str  # JSON list
    description: str
    api_endpoint: str
    owner_email: str
    status: str  # active | suspended
    operator: int
    created_at: str
    verifier: int = 0  # 1: an operator approved it (spec §11)


@_row
class Deal:
    deal_id: str
    state: DealState
    version: int  # version of the next event
    head_hash: str  # hash of the last event, "" before the first
    asset: str
    open: int  # 1: made without a key, anyone may act on it (spec §4.3)
    seller_label: str
    seller_id: str | None  # a registered agent
    buyer_label: str
    buyer_id: str | None
    vertical: str
    sku_id: str
    proof_type: str
    proof_hash: str
    scope_summary: str
    scope_lock_hash: str
    scope_digest: str
    policy: str  # JSON list of predicates
    policy_hash: str
    price_minor: int
    quote_digest: str  # SHA-256 of the quote id: the id itself is a bearer secret
    quote_expires_at: str
    gross_minor: int | None  # approved amount
    fee_policy: str | None
    fee_policy_hash: str | None
    tier: str | None
    volume_minor: int | None
    approval_authority: str | None  # key | quote | mandate | open | operator | rail
    approval_mode: str | None  # manual | auto
    approved_by: str | None
    mandate_id: str | None
    acceptance_id: str | None
    acceptance_state: str | None  # pending | accepted | rejected
    funding: str | None  # charge | balance | mandate
    funding_rail: str | None
    charge_refusals: int  # proven refusals so far: the n of spec §6.4
    intent_id: str | None
    created_at: str
    updated_at: str
    settled_at: str | None


@_row
class Party:
    deal_id: str
    agent_id: str
    role: str  # seller | buyer | payee


@_row
class Proof:
    deal_id: str
    n: int
    proof_type: str
    proof_hash: str
    proof_data: str  # JSON object, exactly as hashed
    attachment_url: str | None
    parent_proof_ids: str  # JSON list
    agent: str
    created_at: str


@_row
class Account:
    ref: str
    asset: str
    account_class: str
    guard: str  # credit | debit | none (spec §5.1)
    holder: str | None  # agent id
    deal_id: str | None  # escrow and dispute accounts belong to one deal
    debits_posted: int
    credits_posted: int
    debits_held: int
    credits_held: int
    version: int  # transfers seen
    opened_at: str
    closed_at: str | None


@_row
class Event:
    deal_id: str
    version: int
    event_id: str
    event_type: str
    actor_id: str
    actor_role: str | None
    counterparty_id: str | None
    amount_minor: int | None
    asset: str | None
    source: str
    timestamp: str
    payload: str  # JSON, the exact text the hash was made from (core.canonical.J)
    actor_signature: str | None  # JSON
    prev_hash: str
    hash: str


@_row
class LedgerTx:
    tx_id: str
    deal_id: str
    event_id: str
    settles: str | None  # the deal id when this tx is its settlement
    tx_hash: str
    booked_at: str


@_row
class Transfer:
    transfer_id: str
    tx_id: str
    leg: int
    deal_id: str
    event_id: str
    kind: str
    phase: Phase
    asset: str
    amount_minor: int
    debit_ref: str
    debit_class: str
    credit_ref: str
    credit_class: str
    hold_id: str | None
    expires_at: str | None
    booked_at: str


@_row
class Settlement:
    deal_id: str
    tx_id: str
    event_id: str
    asset: str
    gross_minor: int
    platform_fee_minor: int
    protocol_fee_minor: int
    net_minor: int
    components: str  # JSON list of named platform fee components
    fee_policy: str
    fee_policy_hash: str
    tier: str
    volume_minor: int
    seller_id: str
    buyer_id: str | None
    settled_at: str


@_row
class SettlementPayee:
    deal_id: str
    position: int
    agent_id: str
    role: str
    share: str  # decimal text; "1" for a plain settle
    fee_minor: int
    net_minor: int


@_row
class VolumeEntry:
    """Running total of a seller's settled gross: V of spec §3.2 is a difference of two of them."""

    agent_id: str
    asset: str
    n: int
    at: str  # never before the previous entry's
    delta_minor: int
    total_minor: int
    deal_id: str


@_row
class Receipt:
    receipt_id: str
    deal_id: str
    proof_hash: str
    provider: str
    provider_type: str
    proof_type: str
    verified: int
    confidence: str
    verification_hash: str
    receipt_hash: str
    receipt_digest: str
    checks_run: str  # JSON list
    authority: str  # verifier | operator | party | open
    event_id: str | None
    created_at: str


@_row
class Claim:
    scope: str  # "deal:<deal_id>" for a derived key, else the principal
    operation: str
    key: str
    key_digest: str
    principal: str
    deal_id: str | None
    args: str  # JSON (canonical.K) of the resolved command
    fingerprint: str
    state: str  # running | done
    phase: str
    fence: int
    outcome: str | None  # JSON: {"result": {...}} or {"error": {"code", "members"}}
    target_scope: str | None  # a sent key is a second name of a derived claim
    target_key: str | None
    first_seen: str
    finished_at: str | None


@_row
class Destination:
    destination_id: str
    owner_id: str
    rail: str
    address: str
    metadata: str  # JSON object
    auto: int
    status: str  # active | unsupported | paused
    created_at: str


@_row
class Effect:
    effect_id: str
    obligation_key: str
    kind: EffectKind
    deal_id: str
    rail: str
    asset: str
    amount_minor: int
    state: EffectState
    fence: int
    destination: str | None  # address at the rail, for payouts
    plan: str  # JSON: what follows when the rail has answered
    claim_operation: str | None
    claim_key: str | None
    payout_id: str | None
    rail_ref: str | None
    refusal: str | None
    ask_count: int
    sent_at: str | None
    asked_at: str | None
    created_at: str
    updated_at: str


@_row
class Payout:
    payout_id: str
    deal_id: str
    agent_id: str
    asset: str
    amount_minor: int
    rail: str
    destination_id: str | None
    state: str  # planned | sent | unknown | confirmed | refused
    refusals: int
    effect_id: str | None
    hold_id: str | None  # transfer id of the open hold
    waiting_for: str | None
    waiting_since: str | None
    next_check_at: str | None
    attempts: int
    rail_ref: str | None
    created_at: str
    updated_at: str


@_row
class Job:
    job_id: str
    job_type: str
    deal_id: str
    payload: str  # JSON object
    dedup_key: str
    status: str  # queued | leased | retry | done | dead | cancelled
    attempts: int
    max_attempts: int
    lost_leases: int
    #: Asked for by the wall clock; the store keeps it in lease time. While leased: since when.
    run_at_us: int
    lease_owner: str | None
    lease_fence: int
    lease_expires_us: int | None
    last_error: str | None
    result: str | None  # until done: how far it has come
    created_at: str
    updated_at: str


@_row
class OutboxRow:
    outbox_id: str
    deal_id: str
    event_id: str
    event_type: str
    actor_id: str
    counterparty_id: str | None
    payload: str | None  # None: as in the event of that id
    source: str
    timestamp: str
