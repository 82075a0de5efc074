"""A world in dictionaries: operations decide on it and their write sets change it, no database.

For tests of decisions. What is loaded is exactly what an operation named, so a forgotten need fails
here as it would in the engine; every decision is checked for leaving its inputs alone, and every
write set goes past an auditor with books of its own (`tests/support/books.py`).
"""

from __future__ import annotations

import json
from copy import copy
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core import errors
from settlement.core.auction import SLA_UNKNOWN
from settlement.core.clock import time_text, window_start
from settlement.core.ids import SequenceIds
from settlement.core.intent_rows import IntentView
from settlement.core.operation import Context, Rules
from settlement.core.operations import Go, ProofPack, RecordPayment, RecordReceipt, Settle
from settlement.core.operations._common import empty_deal
from settlement.core.operations.outcome import RailOutcome
from settlement.core.principal import ANONYMOUS, SYSTEM, Principal, PrincipalKind
from settlement.core.proof_rows import ProofTotals
from settlement.core.rows import Agent, Destination, EffectState
from settlement.core.state import (
    ChainHead,
    ReceiptSummary,
    SettlementView,
    State,
    VolumePoint,
)
from settlement.core.state_money import payment_of
from settlement.core.verification import Verdict
from tests.support.books import Books

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from settlement.core.acceptance_rows import Acceptance
    from settlement.core.intent_rows import Bid, BidReveal, Intent
    from settlement.core.mandate_rows import Mandate
    from settlement.core.operation import Decision, Operation
    from settlement.core.rows import Account, Deal, Effect, Event, Payout
    from settlement.core.state import Footprint, Needs
    from settlement.core.writeset import WriteSet

START_US = 1_767_225_600_000_000  # 2026-01-01
QUOTE = "quote_" + "7" * 32
OPERATOR = Principal(kind=PrincipalKind.OPERATOR)
SELLER, BUYER, STRANGER, HELPER = (f"agent_{digit * 32}" for digit in "1234")


def key_of(agent_id: str, *scopes: str) -> Principal:
    """The principal of an agent's own key."""
    return Principal(kind=PrincipalKind.AGENT, agent_id=agent_id, scopes=frozenset(scopes))


def agent(agent_id: str, name: str = "") -> Agent:
    return Agent(
        agent_id=agent_id,
        name=name or agent_id[-3:],
        agent_type="ai_agent",
        capabilities="[]",
        description="",
        api_endpoint="",
        owner_email="",
        status="active",
        operator=0,
        created_at=time_text(START_US),
    )


@dataclass(slots=True)
class World:
    """Tables by key, a clock that stands still unless moved, and the auditor."""

    rules: Rules
    now_us: int
    agents: dict[str, Agent]
    deals: dict[str, Deal]
    effects: dict[str, Effect]
    mandates: dict[str, Mandate]
    acceptances: dict[str, Acceptance]
    accounts: dict[tuple[str, str], Account]
    payouts: dict[tuple[str, str], Payout]
    destinations: list[Destination]
    settlements: dict[str, SettlementView]
    events: dict[str, Event]
    receipts: list[Any]
    volumes: list[Any]
    parties: set[tuple[str, str, str]]
    proofs: dict[str, ProofTotals]
    scores: dict[tuple[str, str], int]
    refunds: dict[str, Any]
    disputes: dict[str, Any]
    bad_outcomes: dict[str, Any]
    payments: list[Any]
    claims: dict[tuple[str, str, str], Any]
    jobs: list[Any]
    intents: dict[str, Intent]
    bids: list[Bid]
    reveals: list[BidReveal]
    books: Books
    steps: int = 0

    # --- running ---------------------------------------------------------------------------------

    def context(self) -> Context:
        """The context of the next decision; ids differ from all before."""
        self.steps += 1
        return Context(
            now=time_text(self.now_us),
            now_us=self.now_us,
            due_us=self.now_us,
            window_start=window_start(self.now_us),
            ids=SequenceIds(unix_us=self.now_us, seed=(self.steps << 4).to_bytes(6, "big")),
            rules=self.rules,
        )

    def run(self, op: Operation) -> dict[str, Any]:
        """Decide, write and audit; a refusal is raised and leaves no trace."""
        return self.decide(op).result

    def decide(self, op: Operation) -> Decision:
        """As `run`, but gives the whole decision."""
        ctx = self.context()
        state = self.load(op, ctx)
        before = _snapshot(state)
        decision = op.decide(state, ctx)
        assert _snapshot(state) == before, "a decision leaves the state alone"
        json.dumps(decision.result)
        self.write(decision.writes)
        self.books.observe(decision.writes)
        self.books.close()
        self._take_claim(op, decision)
        state.apply(decision.writes)
        for key, account in state.accounts.items():
            assert self.accounts.get(key) == account, "State counts as the store counts"
        return decision

    def load(self, op: Operation, ctx: Context) -> State:
        """What the operation asked for, and nothing else."""
        state = State()
        footprint: Footprint = op.footprint()
        for deal_id in footprint.deals:
            state.deals[deal_id] = self.deals.get(deal_id)
        for effect_id in footprint.effects:
            state.effects[effect_id] = self.effects.get(effect_id)
        state.mandates.update({key: self.mandates.get(key) for key in footprint.mandates})
        self._load_needs(state, op.needs(state, ctx))
        return state

    def _load_needs(self, state: State, needs: Needs) -> None:
        state.accounts.update({key: self.accounts.get(key) for key in needs.accounts})
        state.agents.update({key: self.agents.get(key) for key in needs.agents})
        for name in needs.names:
            state.names[name] = tuple(a for a in self.agents.values() if a.name == name)
        state.chains.update({key: self._head(key) for key in needs.chains})
        state.events.update({key: self.events.get(key) for key in needs.events})
        state.receipts.update({key: self._summary(key) for key in needs.receipts})
        known = {(r.receipt_digest, r.authority): r for r in self.receipts}
        state.known_receipts.update({key: known.get(key) for key in needs.known_receipts})
        state.volumes.update({key: self._volume(key) for key in needs.volumes})
        state.payouts.update({key: self.payouts.get(key) for key in needs.payouts})
        for owner, wanted in needs.destinations:
            state.destinations[owner, wanted] = tuple(
                d
                for d in reversed(self.destinations)
                if d.owner_id == owner and wanted in (None, d.destination_id)
            )
        state.settlements.update({key: self.settlements.get(key) for key in needs.settlements})
        for deal_id in needs.parties:
            state.parties[deal_id] = frozenset((a, r) for d, a, r in self.parties if d == deal_id)
        state.proofs.update({key: self._totals(key) for key in needs.proofs})
        state.acceptances.update({key: self.acceptances.get(key) for key in needs.acceptances})
        state.scores.update({key: self.scores.get(key, 5000) for key in needs.scores})
        state.on_time.update(dict.fromkeys(needs.on_time, SLA_UNKNOWN))
        for intent_id in needs.intents:
            intent = self.intents.get(intent_id)
            count = sum(bid.intent_id == intent_id for bid in self.bids)
            view = IntentView(intent=intent, bid_count=count) if intent is not None else None
            state.intents[intent_id] = view
        for intent_id in needs.bids:
            state.bids[intent_id] = tuple(b for b in self.bids if b.intent_id == intent_id)
        for who in needs.bids_by:
            state.bids_by[who] = sum((b.intent_id, b.agent_id) == who for b in self.bids)

        self._load_money(state, needs)

    def _load_money(self, state: State, needs: Needs) -> None:
        for deal_id in {*needs.refunds, *needs.money_of}:
            known = sorted(self.refunds.values(), key=lambda one: one.refund_id)
            state.refunds[deal_id] = tuple(r for r in known if r.deal_id == deal_id)
        state.disputes.update({key: self.disputes.get(key) for key in needs.disputes})
        for deal_id, agent_id in needs.recovered:
            kept = self.books.recovered[deal_id, f"entity:{agent_id}"]
            state.recovered[deal_id, agent_id] = kept
        for deal_id in needs.money_of:
            state.payments[deal_id] = tuple(p for p in self.payments if p.deal_id == deal_id)
            state.payouts_of[deal_id] = tuple(
                p for p in self.payouts.values() if p.deal_id == deal_id
            )
            state.disputes[deal_id] = self.disputes.get(deal_id)
            deal = self.deals[deal_id]
            refs = [f"escrow:{deal_id}", f"dispute:{deal_id}", "clearing:simulated"]
            refs += ["fee_platform:platform", "fee_protocol:platform"]
            refs += [p.debit_ref for p in state.payments[deal_id]]
            view = self.settlements.get(deal_id)
            for payee in view.payees if view else ():
                refs += [f"entity:{payee.agent_id}", f"receivable:{payee.agent_id}"]
            state.accounts.update(
                {(r, deal.asset): self.accounts.get((r, deal.asset)) for r in refs}
            )

    def _totals(self, deal_id: str) -> ProofTotals:
        return self.proofs.get(deal_id, ProofTotals())

    def _head(self, deal_id: str) -> ChainHead:
        chain = self.books.chains[deal_id]
        return ChainHead(version=len(chain), head_hash=chain[-1].hash) if chain else ChainHead()

    def _summary(self, deal_id: str) -> ReceiptSummary:
        counting = [
            r
            for r in self.receipts
            if r.deal_id == deal_id
            and r.proof_hash == self.deals[deal_id].proof_hash
            and r.verified
            and r.authority in ("verifier", "operator")
        ]
        return ReceiptSummary(
            best_confidence=max((r.confidence for r in counting), default=None),
            providers=len({r.provider for r in counting}),
        )

    def _volume(self, key: tuple[str, str, str]) -> VolumePoint:
        agent_id, asset, since = key
        rows = [v for v in self.volumes if (v.agent_id, v.asset) == (agent_id, asset)]
        if not rows:
            return VolumePoint()
        before = [v.total_minor for v in rows if v.at <= since]
        return VolumePoint(
            n=rows[-1].n,
            at=rows[-1].at,
            total_minor=rows[-1].total_minor,
            before_window_minor=before[-1] if before else 0,
        )

    # --- writing ---------------------------------------------------------------------------------

    def write(self, writes: WriteSet) -> None:
        """Apply a write set as the store would, uniqueness and guards included."""
        for row in writes.agents:
            self.agents[row.agent_id] = row
        for deal in writes.deals_new:
            assert deal.deal_id not in self.deals
            self.deals[deal.deal_id] = deal
        for deal in writes.deals_changed:
            assert deal.deal_id in self.deals
            self.deals[deal.deal_id] = deal
        for account in writes.accounts_new:
            assert (account.ref, account.asset) not in self.accounts
            self.accounts[account.ref, account.asset] = account
        for transfer in writes.transfers:
            self._count(transfer)
        for effect in writes.effects_new:
            self.effects[effect.effect_id] = effect
        for change in writes.effects_changed:
            stored = self.effects[change.effect.effect_id]
            assert (stored.fence, stored.state) == (change.expected_fence, change.expected_state)
            self.effects[stored.effect_id] = change.effect
        for payout in (*writes.payouts_new, *writes.payouts_changed):
            self.payouts[payout.deal_id, payout.agent_id] = payout
        for settlement in writes.settlements:
            payees = tuple(p for p in writes.payees if p.deal_id == settlement.deal_id)
            self.settlements[settlement.deal_id] = SettlementView(
                settlement=settlement, payees=payees
            )
        self._write_rest(writes)

    def _write_rest(self, writes: WriteSet) -> None:
        self.events.update({e.event_id: e for e in writes.events})
        self.mandates.update({m.mandate_id: m for m in writes.mandates_new})
        self.mandates.update({m.mandate_id: m for m in writes.mandates_changed})
        for review in (*writes.acceptances_new, *writes.acceptances_changed):
            self.acceptances[review.acceptance_id] = review
        self.receipts.extend(writes.receipts)
        self.volumes.extend(writes.volumes)
        self.parties.update((p.deal_id, p.agent_id, p.role) for p in writes.parties)
        for proof in writes.proofs:
            so_far = self._totals(proof.deal_id)
            assert proof.n == so_far.n
            self.proofs[proof.deal_id] = so_far.plus(proof)
        for refund in (*writes.refunds_new, *writes.refunds_changed):
            self.refunds[refund.refund_id] = refund
        for dispute in (*writes.disputes_new, *writes.disputes_changed):
            self.disputes[dispute.deal_id] = dispute
        for outcome in writes.bad_outcomes:
            self.bad_outcomes.setdefault(outcome.deal_id, outcome)
        paid = [t for t in writes.transfers if t.kind in ("charge", "escrow_fund")]
        self.payments += [payment_of(t, self.events[t.event_id]) for t in paid]
        self.jobs.extend(writes.jobs)
        for intent in (*writes.intents_new, *writes.intents_changed):
            self.intents[intent.intent_id] = intent
        self.bids.extend(writes.bids)
        self.reveals.extend(writes.bid_reveals)
        for claim in writes.claims:
            self.claims[claim.scope, claim.operation, claim.key] = claim.outcome
        for finish in writes.claims_finished:
            key = (finish.scope, finish.operation, finish.key)
            assert key in self.claims, "a claim that finishes was running"
            self.claims[key] = None if finish.release else finish.outcome

    def _count(self, leg: Any) -> None:
        """The store's trigger: the four counters of a guarded account."""
        held = {"hold": 1, "final": 0}.get(leg.phase, -1) * leg.amount_minor
        posted = leg.amount_minor if leg.phase in ("final", "post") else 0
        for ref, side in ((leg.debit_ref, "debits"), (leg.credit_ref, "credits")):
            account = self.accounts[ref, leg.asset]
            if account.guard != "none":
                self.accounts[ref, leg.asset] = replace(
                    account,
                    version=account.version + 1,
                    **{
                        f"{side}_held": getattr(account, f"{side}_held") + held,
                        f"{side}_posted": getattr(account, f"{side}_posted") + posted,
                    },
                )

    def _take_claim(self, op: Operation, decision: Decision) -> None:
        derived = op.call().derived
        if derived is not None and decision.decides:
            key = (derived.scope, derived.operation, derived.key)
            self.claims[key] = _outcome_text(decision)
        elif op.call().sent_key is not None:
            call = op.call()
            key = (call.principal.id, call.operation, str(call.sent_key))
            self.claims[key] = _outcome_text(decision)

    # --- the usual steps -------------------------------------------------------------------------

    def pack(self, deal_id: str = "deal_1", **members: Any) -> dict[str, Any]:
        """A keyed proof pack by the seller, unless said otherwise."""
        given: dict[str, Any] = {
            "principal": key_of(SELLER),
            "new_deal_id": deal_id,
            "quote_id": QUOTE,
            "agent_username": SELLER,
            "price_minor": 9900,
        }
        return self.run(ProofPack(**{**given, **members}))

    def go(self, deal_id: str = "deal_1", **members: Any) -> dict[str, Any]:
        """GO by the buyer's key, with the right quote, unless said otherwise."""
        deal = self.deals.get(deal_id)
        given: dict[str, Any] = {
            "principal": key_of(BUYER),
            "deal_id": deal_id,
            "quote_id": QUOTE,
            "scope_lock_hash": deal.scope_lock_hash if deal else "0" * 32,
        }
        return self.run(Go(**{**given, **members}))

    def pay(self, deal_id: str = "deal_1", amount_minor: int = 9900, n: int = 1) -> dict[str, Any]:
        """The rail reports money for the deal."""
        return self.run(
            RecordPayment(
                principal=SYSTEM,
                deal_id=deal_id,
                amount_minor=amount_minor,
                rail="simulated",
                rail_ref=f"ch_{n}",
                message_id=f"msg_{n}",
            )
        )

    def settle(self, deal_id: str = "deal_1", **members: Any) -> dict[str, Any]:
        """Settle by the seller's key, unless said otherwise."""
        given: dict[str, Any] = {"principal": key_of(SELLER), "deal_id": deal_id}
        return self.run(Settle(**{**given, **members}))

    def verify(self, principal: Principal, deal_id: str = "deal_1", **members: Any) -> Any:
        """A passing verdict of the `service` provider on the deal's proof."""
        deal = self.deals.get(deal_id)
        given: dict[str, Any] = {
            "principal": principal,
            "deal_id": deal_id,
            "proof_hash": deal.proof_hash if deal else "0" * 64,
            "proof_type": "completion_photo",
            "verdict": Verdict(
                provider="service",
                provider_type="service",
                verified=True,
                confidence="0.75",
                checks_run=("photo_present",),
            ),
        }
        return self.run(RecordReceipt(**{**given, **members}))

    def fund(self, agent_id: str, amount_minor: int = 20_000) -> None:
        """A balance for an agent, by a deal of its own that the rail has paid."""
        deal_id = f"deal_of_{agent_id[-1]}"
        self.pack(deal_id, principal=key_of(agent_id), agent_username=agent_id)
        self.go(deal_id, principal=OPERATOR, amount_minor=amount_minor * 2)
        self.pay(deal_id, amount_minor=amount_minor * 2)
        self.settle(deal_id, principal=key_of(agent_id))

    def sent(self, effect_id: str, fence: int = 7) -> str:
        """The worker's step before it calls the rail: the effect is `sent` under its fence."""
        effect = replace(self.effects[effect_id], state=EffectState.SENT, fence=fence)
        self.effects[effect_id] = effect
        return effect_id

    def open_effect(self) -> str:
        """The one effect that is planned."""
        (found,) = (e.effect_id for e in self.effects.values() if e.state == EffectState.PLANNED)
        return found

    def deal_in(self, state: str, deal_id: str = "deal_1") -> Deal:
        """Force a deal's state, for transitions whose operations are not at hand."""
        deal = self.deals.get(deal_id) or empty_deal(
            deal_id, asset="USD/2", is_open=False, now=time_text(self.now_us)
        )
        self.deals[deal_id] = replace(deal, state=type(deal.state)(state))
        return self.deals[deal_id]

    def types(self, deal_id: str = "deal_1") -> list[str]:
        """The event types of a chain, in order."""
        return [event.event_type for event in self.books.chains[deal_id]]

    def payload(self, event_type: str, deal_id: str = "deal_1") -> dict[str, Any]:
        """Payload of the last event of a type."""
        chain = self.books.chains[deal_id]
        found = [e for e in chain if e.event_type == event_type]
        payload: dict[str, Any] = json.loads(found[-1].payload)
        return payload


CONFIRMED = RailOutcome(state="confirmed", rail_ref="rail_1")
REFUSED = RailOutcome(state="refused", code="card_declined")
UNKNOWN = RailOutcome(state="unknown")
NOBODY = ANONYMOUS


def _outcome_text(decision: Decision) -> str:
    return json.dumps({"planned" if decision.pending else "result": decision.result})


def _snapshot(state: State) -> dict[str, Any]:
    return {f.name: copy(getattr(state, f.name)) for f in fields(State)}


def new_world(*, agents: Iterable[Agent] = (), **rules: Any) -> World:
    """An empty sandbox with four agents; keyword arguments are settings."""
    known = [agent(each) for each in (SELLER, BUYER, STRANGER, HELPER)]
    return World(
        rules=Rules(**rules),
        now_us=START_US,
        agents={each.agent_id: each for each in (*known, *agents)},
        deals={},
        effects={},
        mandates={},
        acceptances={},
        accounts={},
        payouts={},
        destinations=[],
        settlements={},
        events={},
        receipts=[],
        volumes=[],
        parties=set(),
        proofs={},
        scores={},
        refunds={},
        disputes={},
        bad_outcomes={},
        payments=[],
        claims={},
        jobs=[],
        intents={},
        bids=[],
        reveals=[],
        books=Books(),
    )


def destination(owner: str, **members: Any) -> Destination:
    """A stored payout destination, active and not auto unless said otherwise."""
    given: dict[str, Any] = {
        "destination_id": "dest_" + "5" * 32,
        "owner_id": owner,
        "rail": "SIMULATED",
        "address": "acct_5",
        "metadata": "{}",
        "auto": 0,
        "status": "active",
        "created_at": time_text(START_US),
    }
    return Destination(**{**given, **members})


def refuses(world: World, code: str, call: Callable[[], object]) -> errors.SettlementError:
    """The call is refused with the code, and nothing of it is left behind."""
    before = repr(world)
    with pytest.raises(errors.BY_CODE[code]) as caught:
        call()
    steps = f"steps={world.steps}"
    assert repr(world).replace(steps, "") == before.replace(f"steps={world.steps - 1}", "")
    return caught.value
