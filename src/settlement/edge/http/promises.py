"""What each call answers: the members a client may rely on, published as the answers' schema.

Guarantees: a test reads every answer into its struct, so a promised member is there with its type.
Money members are numbers with two decimals; beside each `m` stand `m_minor` and `m_exact`, which
the structs leave out where they would say everything three times.
Does not: list every member; more may be there. What is read of deals and of the log is in
`promises_reads.py`.

Contract §2 (its marks R and D). Change colour: green to add, red to take away.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec


class Answer(msgspec.Struct, kw_only=True):
    """Every success."""

    ok: bool


class Document(Answer):
    """A document whose members are described elsewhere (bundles: the contract's format)."""


class Money(Answer):
    asset: str
    currency: str


class Once(Answer):
    """Members of calls that happen once."""

    idempotent: bool = msgspec.field(name="_idempotent")


class Health(Answer):
    status: str
    mode: str
    rails: list[str]
    version: str
    database: str


class Ready(Answer):
    checks: dict[str, Any]


class Info(Answer):
    protocol: str
    version: str
    fee: str
    mode: str
    server_version: str
    stats: dict[str, Any]


class Registered(Answer):
    agent_id: str
    name: str
    api_key: str
    key_id: str
    ocs: Decimal
    tier: str
    escrow_requirement: Decimal
    protocol_fee: str
    passport: dict[str, Any] | None
    signing: dict[str, Any] | None = None  # when a public key was sent


class Reputation(Answer):
    agent_id: str
    ocs: Decimal
    tier: str
    escrow_requirement: Decimal
    total_settlements: int
    total_volume_usd: Decimal


class Stamped(Once):
    deal_id: str
    proof_url: str
    verify_url: str
    badge_url: str
    proof_hash: str


class Verification(msgspec.Struct, kw_only=True):
    status: str


class ProofPacked(Once):
    deal_id: str
    quote_id: str
    quote_expires_at: str
    scope_lock_hash: str
    proof_hash: str
    estimated_price: Decimal
    parent_proof_ids: list[str]
    verification: Verification
    proof_url: str
    go_url: str
    policy_hash: str
    asset: str


class Approved(Once):
    deal_id: str
    amount: Decimal
    amount_minor: int
    amount_exact: str
    go_key: str
    idempotency_key: str
    payment_url: str | None
    proof_url: str
    fee_tier: str
    asset: str
    currency: str


class Provider(msgspec.Struct, kw_only=True):
    name: str
    provider_type: str
    status: str
    proof_types: list[str]


class Providers(Answer):
    providers: list[Provider]


class Verdict(msgspec.Struct, kw_only=True):
    verified: bool
    confidence: Decimal
    verification_hash: str
    provider: str
    details: dict[str, Any]


class Verified(Answer):
    deal_id: str
    provider_used: str
    receipt_id: str | None
    receipt_hash: str
    recorded: bool
    verification: Verdict


class Receipts(Answer):
    deal_id: str
    receipt_count: int
    receipts: list[dict[str, Any]]


class Settled(Once):
    deal_id: str
    asset: str
    currency: str
    gross: Decimal
    gross_minor: int
    gross_exact: str
    platform_fee: Decimal
    platform_fee_minor: int
    protocol_fee: Decimal
    protocol_fee_minor: int
    net: Decimal
    net_minor: int
    net_exact: str
    gross_amount: Decimal
    net_to_recipient: Decimal
    events_emitted: list[str]
    tx_id: str | None
    from_agent: str | None
    to_agent: str | None
    provider: str | None
    settled_at: str | None
    status: str
    fee_tier: str
    idempotency_key: str
    payouts: list[dict[str, Any]]


class WebhookTaken(Once):
    event_id: str


class SplitRow(msgspec.Struct, kw_only=True):
    agent_id: str
    role: str
    share: Decimal
    gross_amount: Decimal
    gross_amount_minor: int
    fee_amount: Decimal
    fee_amount_minor: int
    net_amount: Decimal
    net_amount_minor: int


class SettledMulti(Settled):
    splits: list[SplitRow]


class Splits(Answer):
    deal_id: str
    splits: list[SplitRow]


class FeePart(msgspec.Struct, kw_only=True):
    amount: Decimal


class ProtocolFee(FeePart):
    rate: Decimal
    flat: Decimal
    multiplier: Decimal
    tier: str


class FeeEstimate(Money):
    gross: Decimal
    protocol_fee: ProtocolFee
    platform_fee: FeePart
    autonomy_surcharge: FeePart
    routing_fee: FeePart
    total_fees: Decimal
    net_payout: Decimal
    aigx_rebate_estimate: Decimal


class FeeTierRow(msgspec.Struct, kw_only=True):
    tier: str
    policy_tier: str
    min_volume_usd: Decimal
    fee_pct: Decimal
    fee_fixed: Decimal
    multiplier: Decimal


class FeeTiers(Answer):
    policy: str
    tiers: list[FeeTierRow]


class AgentFeeTier(Answer):
    agent_id: str
    tier: str
    volume_30d_usd: Decimal
    fee_pct: Decimal
    next_tier: str | None


class IdempotencyStats(Answer):
    backend: str
    keys_cached: int
    running: int
    persistent: bool


class IdempotencyKey(Answer):
    key: str
    operation: str
    deal_id: str | None
    state: str
    first_seen: str


class ClaimView(IdempotencyKey):
    scope: str
    phase: str
    fence: int
    finished_at: str | None
    effect: dict[str, Any] | None
    retry: str
    advice: str


class DestinationMade(Answer):
    destination_id: str
    status: str
    rail: str
    address: str


class Destinations(Answer):
    destinations: list[dict[str, Any]]


class PayoutRow(msgspec.Struct, kw_only=True):
    payout_id: str
    deal_id: str
    agent_id: str
    amount: Decimal
    asset: str
    rail: str
    destination_id: str | None
    state: str
    waiting_for: str | None
    waiting_since: str | None
    waiting_detail: str | None
    next_check_at: str | None
    attempts: int
    rail_ref: str | None
    created_at: str
    updated_at: str


class PayoutOne(Answer):
    payout: PayoutRow


class PayoutMade(Once):
    payout: PayoutRow
    idempotency_key: str


class Payouts(Answer):
    payouts: list[PayoutRow]
    next_cursor: str | None
