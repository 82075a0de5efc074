"""Rows with defaults, and whole small stories as write sets, for tests of the store.

`Story` keeps each deal's chain, so that the rows it makes pass every rule of the database; a test
then breaks one thing with `dataclasses.replace`.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field, replace
from typing import Any

from settlement.core import rows
from settlement.core.rows import DealState, EffectKind, EffectState, Phase
from settlement.core.writeset import WriteSet

NOW = "2026-01-31T12:00:00.000000Z"
LATER = "2026-01-31T13:00:00.000000Z"
HEX = "0" * 64
_GUARD = {"agent": "credit", "escrow": "credit", "dispute": "credit", "mandate": "credit"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def agent(agent_id: str, **changes: Any) -> rows.Agent:
    made = rows.Agent(
        agent_id=agent_id,
        name=f"name of {agent_id}",
        agent_type="worker",
        capabilities="[]",
        description='says "hello", and \\ {more}',
        api_endpoint="",
        owner_email="",
        status="active",
        operator=0,
        created_at=NOW,
    )
    return replace(made, **changes)


def deal(deal_id: str, **changes: Any) -> rows.Deal:
    made = rows.Deal(
        deal_id=deal_id,
        state=DealState.CREATED,
        version=0,
        head_hash="",
        asset="USD/2",
        open=1,
        seller_label="",
        seller_id=None,
        buyer_label="",
        buyer_id=None,
        vertical="marketing",
        sku_id="",
        proof_type="creative_preview",
        proof_hash=HEX,
        scope_summary="",
        scope_lock_hash=HEX,
        scope_digest=HEX,
        policy="[]",
        policy_hash=HEX,
        price_minor=10_000,
        quote_digest=HEX,
        quote_expires_at=LATER,
        gross_minor=None,
        fee_policy=None,
        fee_policy_hash=None,
        tier=None,
        volume_minor=None,
        approval_authority=None,
        approval_mode=None,
        approved_by=None,
        mandate_id=None,
        acceptance_id=None,
        acceptance_state=None,
        funding=None,
        funding_rail=None,
        charge_refusals=0,
        intent_id=None,
        created_at=NOW,
        updated_at=NOW,
        settled_at=None,
    )
    return replace(made, **changes)


def account(account_class: str, owner: str, **changes: Any) -> rows.Account:
    """`owner`: agent id, deal id, or the name after the colon of an unguarded account."""
    prefix = "entity" if account_class == "agent" else account_class
    made = rows.Account(
        ref=f"{prefix}:{owner}",
        asset="USD/2",
        account_class=account_class,
        guard="debit" if account_class == "receivable" else _GUARD.get(account_class, "none"),
        holder=owner if account_class in ("agent", "receivable", "mandate") else None,
        deal_id=owner if account_class in ("escrow", "dispute") else None,
        debits_posted=0,
        credits_posted=0,
        debits_held=0,
        credits_held=0,
        version=0,
        opened_at=NOW,
        closed_at=None,
    )
    return replace(made, **changes)


def claim(deal_id: str, operation: str = "settle", **changes: Any) -> rows.Claim:
    made = rows.Claim(
        scope=f"deal:{deal_id}",
        operation=operation,
        key="idem_" + digest(deal_id + operation)[:24],
        key_digest=digest(deal_id + operation),
        principal="anonymous",
        deal_id=deal_id,
        args="{}",
        fingerprint=HEX,
        state="done",
        phase="",
        fence=0,
        outcome='{"result":{}}',
        target_scope=None,
        target_key=None,
        first_seen=NOW,
        finished_at=NOW,
    )
    return replace(made, **changes)


def effect(effect_id: str, deal_id: str, **changes: Any) -> rows.Effect:
    made = rows.Effect(
        effect_id=effect_id,
        obligation_key=f"charge:{deal_id}:{effect_id}",
        kind=EffectKind.CHARGE,
        deal_id=deal_id,
        rail="simulated",
        asset="USD/2",
        amount_minor=100,
        state=EffectState.PLANNED,
        fence=0,
        destination=None,
        plan="{}",
        claim_operation=None,
        claim_key=None,
        payout_id=None,
        rail_ref=None,
        refusal=None,
        ask_count=0,
        sent_at=None,
        asked_at=None,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)


def payout(payout_id: str, deal_id: str, agent_id: str, **changes: Any) -> rows.Payout:
    made = rows.Payout(
        payout_id=payout_id,
        deal_id=deal_id,
        agent_id=agent_id,
        asset="USD/2",
        amount_minor=100,
        rail="simulated",
        destination_id=None,
        state="planned",
        refusals=0,
        effect_id=None,
        hold_id=None,
        waiting_for=None,
        waiting_since=None,
        next_check_at=None,
        attempts=0,
        rail_ref=None,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)


def job(job_id: str, deal_id: str, **changes: Any) -> rows.Job:
    made = rows.Job(
        job_id=job_id,
        job_type="verify",
        deal_id=deal_id,
        payload="{}",
        dedup_key=deal_id,
        status="queued",
        attempts=0,
        max_attempts=8,
        lost_leases=0,
        run_at_us=0,
        lease_owner=None,
        lease_fence=0,
        lease_expires_us=None,
        last_error=None,
        result=None,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)


def receipt(receipt_id: str, deal_id: str, **changes: Any) -> rows.Receipt:
    made = rows.Receipt(
        receipt_id=receipt_id,
        deal_id=deal_id,
        proof_hash=HEX,
        provider="manual",
        provider_type="human",
        proof_type="creative_preview",
        verified=1,
        confidence="0.9",
        verification_hash=HEX,
        receipt_hash=HEX,
        receipt_digest=digest(receipt_id),
        checks_run="[]",
        authority="verifier",
        event_id=None,
        created_at=NOW,
    )
    return replace(made, **changes)


@dataclass(slots=True)
class Story:
    """Deals with valid chains. Every method returns a write set that is valid after the others."""

    prefix: str = ""
    deals: dict[str, rows.Deal] = field(default_factory=dict)
    legs: dict[str, int] = field(default_factory=dict)
    counter: Any = field(default_factory=itertools.count)

    def id(self, kind: str) -> str:
        return f"{kind}_{self.prefix}{next(self.counter):08d}"

    def event(self, deal_id: str, event_type: str, **changes: Any) -> rows.Event:
        """The next event of a deal; the story's deal moves along."""
        now = self.deals[deal_id]
        event_id = self.id("evt")
        made = rows.Event(
            deal_id=deal_id,
            version=now.version,
            event_id=event_id,
            event_type=event_type,
            actor_id="anonymous",
            actor_role=None,
            counterparty_id=None,
            amount_minor=None,
            asset=None,
            source="test",
            timestamp=NOW,
            payload=f'{{"authority":"open","event":"{event_type}"}}',
            actor_signature=None,
            prev_hash=now.head_hash,
            hash=digest(now.head_hash + event_id),
        )
        self.deals[deal_id] = replace(now, version=now.version + 1, head_hash=made.hash)
        return replace(made, **changes)

    def tx(self, event: rows.Event, *, settles: bool = False) -> rows.LedgerTx:
        return rows.LedgerTx(
            tx_id=self.id("tx"),
            deal_id=event.deal_id,
            event_id=event.event_id,
            settles=event.deal_id if settles else None,
            tx_hash=digest(event.event_id),
            booked_at=NOW,
        )

    def transfer(
        self, tx: rows.LedgerTx, kind: str, amount: int, debit: rows.Account, credit: rows.Account,
        **changes: Any,
    ) -> rows.Transfer:  # fmt: skip
        leg = self.legs[tx.tx_id] = self.legs.get(tx.tx_id, 0) + 1
        made = rows.Transfer(
            transfer_id=self.id("xfer"),
            tx_id=tx.tx_id,
            leg=leg,
            deal_id=tx.deal_id,
            event_id=tx.event_id,
            kind=kind,
            phase=Phase.FINAL,
            asset=debit.asset,
            amount_minor=amount,
            debit_ref=debit.ref,
            debit_class=debit.account_class,
            credit_ref=credit.ref,
            credit_class=credit.account_class,
            hold_id=None,
            expires_at=None,
            booked_at=NOW,
        )
        return replace(made, **changes)

    def world(self, *agents: str) -> WriteSet:
        """Agents with accounts, and the accounts of the house."""
        house = [("fee_platform", "platform"), ("fee_protocol", "platform")]
        house += [("clearing", "simulated"), ("payout_transit", "simulated")]
        return WriteSet(
            agents=[agent(agent_id) for agent_id in agents],
            accounts_new=[account("agent", agent_id) for agent_id in agents]
            + [account(account_class, name) for account_class, name in house],
        )

    def funded(self, deal_id: str, seller: str, gross: int = 10_000) -> WriteSet:
        """A new deal whose escrow holds the gross."""
        self.deals[deal_id] = deal(
            deal_id,
            state=DealState.GO_APPROVED,
            seller_id=seller,
            gross_minor=gross,
            fee_policy="discounts-1",
        )
        first = self.event(deal_id, "PROOF_READY")
        second = self.event(deal_id, "PAYMENT_AUTHORIZED")
        tx = self.tx(second)
        escrow = account("escrow", deal_id)
        charge = self.transfer(tx, "charge", gross, account("clearing", "simulated"), escrow)
        return WriteSet(
            events=[first, second],
            deals_new=[self.deals[deal_id]],
            parties=[rows.Party(deal_id=deal_id, agent_id=seller, role="seller")],
            accounts_new=[escrow],
            txs=[tx],
            transfers=[charge],
        )

    def settled(self, deal_id: str, volume_n: int = 1, total_minor: int | None = None) -> WriteSet:
        """Settle a funded deal: fee legs, a release, the settlement, volume, outbox and claim."""
        now = self.deals[deal_id]
        seller, gross = now.seller_id or "", now.gross_minor or 0
        platform, protocol = gross * 3 // 100, gross // 200
        net = gross - platform - protocol
        event = self.event(deal_id, "SETTLED", amount_minor=gross)
        outcome = self.event(deal_id, "OUTCOME_RECORDED")
        tx = self.tx(event, settles=True)
        escrow = account("escrow", deal_id)
        self.deals[deal_id] = replace(self.deals[deal_id], state=DealState.SETTLED, settled_at=NOW)
        fee_account = account("fee_platform", "platform")
        return WriteSet(
            events=[event, outcome],
            deals_changed=[self.deals[deal_id]],
            txs=[tx],
            transfers=[
                self.transfer(tx, "fee", platform - 1, escrow, fee_account),
                self.transfer(tx, "fee", 1, escrow, fee_account),
                self.transfer(tx, "fee", protocol, escrow, account("fee_protocol", "platform")),
                self.transfer(tx, "release", net, escrow, account("agent", seller)),
            ],
            payees=[
                rows.SettlementPayee(
                    deal_id=deal_id,
                    position=0,
                    agent_id=seller,
                    role="seller",
                    share="1",
                    fee_minor=platform + protocol,
                    net_minor=net,
                )
            ],
            settlements=[settlement(tx, seller, gross, (platform, protocol))],
            volumes=[
                rows.VolumeEntry(
                    agent_id=seller,
                    asset="USD/2",
                    n=volume_n,
                    at=NOW,
                    delta_minor=gross,
                    total_minor=gross * volume_n if total_minor is None else total_minor,
                    deal_id=deal_id,
                )
            ],
            outbox=[outbox(made) for made in (event, outcome)],
            claims=[claim(deal_id)],
        )


def settlement(
    tx: rows.LedgerTx, seller: str, gross: int, fees: tuple[int, int]
) -> rows.Settlement:
    """`fees`: the platform's, then the protocol's; the net is the rest."""
    return rows.Settlement(
        deal_id=tx.deal_id,
        tx_id=tx.tx_id,
        event_id=tx.event_id,
        asset="USD/2",
        gross_minor=gross,
        platform_fee_minor=fees[0],
        protocol_fee_minor=fees[1],
        net_minor=gross - sum(fees),
        components="[]",
        fee_policy="discounts-1",
        fee_policy_hash=HEX,
        tier="base",
        volume_minor=0,
        seller_id=seller,
        buyer_id=None,
        settled_at=NOW,
    )


def outbox(event: rows.Event) -> rows.OutboxRow:
    return rows.OutboxRow(
        outbox_id=event.event_id.replace("evt", "obx"),
        deal_id=event.deal_id,
        event_id=event.event_id,
        event_type=event.event_type,
        actor_id=event.actor_id,
        counterparty_id=None,
        payload=None,
        source=event.source,
        timestamp=event.timestamp,
    )
