"""What the reads of deals, proofs and the log answer; see `promises.py`, whose rules hold here too.

Guarantees: a test reads every answer into its struct.
Does not: list every member; more may be there.

Contract §2.7, §2.8, §3.3. Change colour: green to add, red to take away.
"""

from __future__ import annotations

from typing import Any

from settlement.edge.http.promises import Answer


class Timeline(Answer):
    deal_id: str
    status: str
    events: list[dict[str, Any]]
    ledger: list[dict[str, Any]]


class Attribution(Answer):
    deal_id: str
    event_chain: list[dict[str, Any]]
    ledger_entries: list[dict[str, Any]]
    totals_by_type: dict[str, str]
    referral_attributions: list[dict[str, Any]]
    policy_hash: str
    fee_schedule_hash: str | None
    payout: dict[str, Any]


class Ledger(Answer):
    deal_id: str
    asset: str
    entries: list[dict[str, Any]]
    totals_by_type: dict[str, str]
    balanced: bool


class Replay(Answer):
    deal_id: str
    chain: dict[str, Any]
    lifecycle: dict[str, Any]
    ledger: dict[str, Any]
    comparison: dict[str, Any]
    receipts: dict[str, Any]
    rail: dict[str, Any]
    outbox: dict[str, Any]
    verdict: str
    replayed_at: str
    audit_hash: str


class RevenueAudit(Answer):
    agent_id: str
    currency: str
    period: dict[str, Any]
    totals_by_type: dict[str, str]
    credits: str
    debits: str
    net: str
    deal_count: int
    entry_count: int
    deals: dict[str, Any]


class Balances(Answer):
    agent_id: str
    balances: list[dict[str, Any]]


class ProofPage(Answer):
    deal_id: str
    spec_version: str
    bundle_hash: str
    proofs: list[dict[str, Any]]
    events: list[dict[str, Any]]
    proof_count: int
    event_count: int


class ProofVerified(Answer):
    verified: bool
    chain_integrity: bool
    event_count: int
    errors: list[str]
    chain_hash: str
    proof_count: int
    merkle_root: str


class Bundle(Answer):
    deal_id: str
    spec_version: str
    bundle_hash: str
    proofs: list[dict[str, Any]]
    events: list[dict[str, Any]]


class LogKey(Answer):
    public_key_base64: str
    key_id: str
    algorithm: str
    status: str
    active_from: str
    key_version: int
    rotation_policy: str


class TreeHead(Answer):
    log_id: str
    tree_size: int
    root_hash: str
    timestamp: str
    signature: str
    key_id: str
    algorithm: str


class LogProof(Answer):
    proof: list[str]


class BundleChecked(Answer):
    verified: bool
    hash_verified: bool
    merkle_verified: bool
    steps: Any


class Badge(Answer):
    deal_id: str
    message: str
    color: str
    verified: bool


class Anchors(Answer):
    anchors: list[dict[str, Any]]
    total: int
