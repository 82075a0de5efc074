"""An auditor that keeps its own books: it learns only what was written, and trusts none of it.

Nothing of `core/ledger.py`, `core/accounts.py` or `core/events.py` is used: hashes are remade with
the JSON encoder, balances counted anew, the allowed movements written down a second time. A fault
in the planner and the same fault here would have to be made twice.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from settlement.core.rows import Event, LedgerTx, Settlement, Transfer
    from settlement.core.writeset import WriteSet

GUARDED = {"agent", "mandate", "escrow", "dispute"}
ALLOWED = {
    "charge": {("clearing", "escrow")},
    "topup": {("clearing", "agent")},
    "escrow_fund": {("agent", "escrow"), ("mandate", "escrow")},
    "mandate_reserve": {("agent", "mandate")},
    "mandate_return": {("mandate", "agent")},
    "fee": {("escrow", "fee_platform"), ("escrow", "fee_protocol")},
    "release": {("escrow", "agent")},
    "refund": {("escrow", "agent"), ("escrow", "mandate"), ("escrow", "clearing")},
    "release_back": {("agent", "escrow"), ("receivable", "escrow")},
    "fee_back": {("fee_platform", "escrow"), ("fee_protocol", "escrow")},
    "dispute_open": {("escrow", "dispute"), ("agent", "dispute")},
    "dispute_close": {("dispute", "escrow")},
    "chargeback": {("escrow", "clearing"), ("agent", "clearing"), ("receivable", "clearing")},
    "recover": {("agent", "receivable")},
    "write_off": {("write_off", "receivable")},
    "payout": {("agent", "payout_transit")},
    "payout_settled": {("payout_transit", "clearing")},
}


class Mistake(AssertionError):
    """What the auditor found."""


def expect(is_right: object, what: str) -> None:
    if not is_right:
        raise Mistake(what)


def no_fractions(value: Any, where: str) -> None:
    """Integers, text, null, lists and objects only."""
    if isinstance(value, dict):
        for name, part in value.items():
            no_fractions(part, f"{where}.{name}")
    elif isinstance(value, list):
        for part in value:
            no_fractions(part, where)
    else:
        expect(value is None or isinstance(value, (str, int)), f"{where} holds {value!r}")


def _unnumbered(one: str, other: str) -> bool:
    return one.rsplit(":", 1)[0] == other.rsplit(":", 1)[0]


class Books:
    """Everything seen so far, and what follows from it."""

    def __init__(self) -> None:
        self.posted: Counter[str] = Counter()  # per account: credits less debits
        self.held: Counter[str] = Counter()  # per account: held against it
        self.holds: dict[str, Transfer] = {}
        self.resolved: set[str] = set()
        self.chains: defaultdict[str, list[Event]] = defaultdict(list)
        self.by_event: dict[str, Event] = {}
        self.settled: dict[str, Settlement] = {}
        self.parties: defaultdict[str, set[str]] = defaultdict(set)
        self.volumes: dict[tuple[str, str], tuple[int, int]] = {}
        self.in_escrow: Counter[str] = Counter()
        self.out_of_escrow: Counter[str] = Counter()
        self.given: Counter[tuple[str, str]] = Counter()  # (deal, source): given, less gone back
        self.recovered: Counter[tuple[str, str]] = Counter()  # (deal, account): kept for debts
        self.obligations: dict[str, str] = {}
        self.effects: dict[str, str] = {}  # effect -> obligation

    def observe(self, writes: WriteSet) -> None:
        """Check one decision's rows against all before it; raises Mistake."""
        for event in writes.events:
            self._event(event)
        outbox = [row.event_id for row in writes.outbox]
        expect(outbox == [e.event_id for e in writes.events], "one message per event, in order")
        for party in writes.parties:
            self.parties[party.deal_id].add(party.agent_id)
        legs: defaultdict[str, list[Transfer]] = defaultdict(list)
        for transfer in writes.transfers:
            legs[transfer.tx_id].append(transfer)
        expect(legs.keys() == {tx.tx_id for tx in writes.txs}, "each leg has its tx")
        for tx in writes.txs:
            self._tx(tx, legs[tx.tx_id])
        for settlement in writes.settlements:
            payees = [p for p in writes.payees if p.deal_id == settlement.deal_id]
            self._settlement(settlement, payees, legs[settlement.tx_id])
        for entry in writes.volumes:
            n, total = self.volumes.get((entry.agent_id, entry.asset), (0, 0))
            expect(entry.n == n + 1, "volume entries are numbered without a gap")
            expect(entry.total_minor == total + entry.delta_minor, "volume is a running total")
            self.volumes[entry.agent_id, entry.asset] = (entry.n, entry.total_minor)
        for deal in (*writes.deals_new, *writes.deals_changed):
            chain = self.chains[deal.deal_id]
            expect(deal.version == len(chain), "a deal stands at the end of its chain")
            expect(deal.head_hash == (chain[-1].hash if chain else ""), "and knows its head")
        self._obligations(writes)

    # --- events ----------------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        chain = self.chains[event.deal_id]
        expect(event.version == len(chain), "versions follow each other")
        expect(event.prev_hash == (chain[-1].hash if chain else ""), "each event names the last")
        expect(event.event_id not in self.by_event, "an event id is used once")
        payload = json.loads(event.payload)
        no_fractions(payload, event.event_type)
        covered = {
            "event_id": event.event_id,
            "event_type": event.event_type,
            "deal_id": event.deal_id,
            "actor_id": event.actor_id,
            "timestamp": event.timestamp,
            "payload": payload,
            "prev_hash": event.prev_hash,
        }
        text = json.dumps(covered, sort_keys=True)
        expect(event.hash == hashlib.sha256(text.encode()).hexdigest(), "the hash covers seven")
        chain.append(event)
        self.by_event[event.event_id] = event

    # --- money -----------------------------------------------------------------------------------

    def _tx(self, tx: LedgerTx, legs: list[Transfer]) -> None:
        expect([leg.leg for leg in legs] == [*range(1, len(legs) + 1)], "legs are 1 to n")
        payload = json.loads(self.by_event[tx.event_id].payload)
        expect(payload["tx_id"] == tx.tx_id, "the event names its tx")
        expect(payload["tx_hash"] == tx.tx_hash == self._hash(tx, legs), "and binds its legs")
        for leg in legs:
            expect(leg.deal_id == tx.deal_id and leg.event_id == tx.event_id, "legs agree with tx")
            expect(payload["asset"] == leg.asset, "one asset")
            self._leg(leg)

    def _hash(self, tx: LedgerTx, legs: list[Transfer]) -> str:
        rows = [
            {
                "leg": leg.leg,
                "kind": leg.kind,
                "phase": str(leg.phase),
                "asset": leg.asset,
                "amount_minor": leg.amount_minor,
                "debit": leg.debit_ref,
                "credit": leg.credit_ref,
                "hold_id": leg.hold_id,
            }
            for leg in legs
        ]
        body = {"tx_id": tx.tx_id, "deal_id": tx.deal_id, "legs": rows}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        frame = b"settlement/ledger-tx/v1\x00" + len(text).to_bytes(4, "big") + text
        return hashlib.sha256(frame).hexdigest()

    def _leg(self, leg: Transfer) -> None:
        classes = (leg.debit_class, leg.credit_class)
        expect(type(leg.amount_minor) is int and leg.amount_minor > 0, "amounts are positive")
        expect(leg.debit_ref != leg.credit_ref, "two accounts")
        expect(classes in ALLOWED[leg.kind], f"{leg.kind} may not go {classes}")
        if leg.kind == "recover":
            self.recovered[leg.deal_id, leg.debit_ref] += leg.amount_minor
        if leg.hold_id is not None:
            hold = self.holds[leg.hold_id]
            expect(leg.hold_id not in self.resolved, "a hold is resolved once")
            same = (hold.debit_ref, hold.credit_ref, hold.amount_minor)
            expect(same == (leg.debit_ref, leg.credit_ref, leg.amount_minor), "of what it held")
            self.resolved.add(leg.hold_id)
            self.held[leg.debit_ref] -= leg.amount_minor
        if leg.phase == "hold":
            self.holds[leg.transfer_id] = leg
            self.held[leg.debit_ref] += leg.amount_minor
        if leg.phase in ("final", "post"):
            self.posted[leg.debit_ref] -= leg.amount_minor
            self.posted[leg.credit_ref] += leg.amount_minor
            self.in_escrow[leg.deal_id] += leg.amount_minor * (leg.credit_class == "escrow")
            self.out_of_escrow[leg.deal_id] += leg.amount_minor * (leg.debit_class == "escrow")
        self._gone_back(leg)
        if leg.credit_class == "receivable":
            expect(self.posted[leg.credit_ref] <= 0, f"{leg.credit_ref} owes less than nothing")
        if leg.debit_class in GUARDED:
            expect(self.available(leg.debit_ref) >= 0, f"{leg.debit_ref} is overdrawn")

    def _gone_back(self, leg: Transfer) -> None:
        """Money goes back to whoever gave it to this deal, and never more of it."""
        if leg.phase not in ("final", "post"):
            return
        if leg.kind in ("charge", "escrow_fund"):
            self.given[leg.deal_id, leg.debit_ref] += leg.amount_minor
        elif leg.kind in ("refund", "chargeback"):
            self.given[leg.deal_id, leg.credit_ref] -= leg.amount_minor
            left = self.given[leg.deal_id, leg.credit_ref]
            expect(left >= 0, f"{leg.credit_ref} got more back than it gave")

    def available(self, ref: str) -> int:
        return self.posted[ref] - self.held[ref]

    def _settlement(self, row: Settlement, payees: list[Any], legs: list[Transfer]) -> None:
        expect(row.deal_id not in self.settled, "a deal settles once")
        self.settled[row.deal_id] = row
        fees = row.platform_fee_minor + row.protocol_fee_minor
        expect(row.gross_minor == fees + row.net_minor, "gross = platform + protocol + net")
        expect(sum(leg.amount_minor for leg in legs) == row.gross_minor, "legs = gross")
        expect([p.position for p in payees] == [*range(len(payees))], "payees in order")
        expect(sum(p.net_minor for p in payees) == row.net_minor, "nets = net")
        expect(sum(p.fee_minor for p in payees) == fees, "fee parts = fees")
        releases = [(leg.credit_ref, leg.amount_minor) for leg in legs if leg.kind == "release"]
        owed = [(f"entity:{p.agent_id}", p.net_minor) for p in payees]
        expect(releases == owed, "each payee gets its release")
        paid = {p.agent_id for p in payees} | {row.seller_id}
        expect(paid <= self.parties[row.deal_id], "only parties are paid")

    def _obligations(self, writes: WriteSet) -> None:
        for effect in writes.effects_new:
            key = effect.obligation_key
            expect(self.obligations.get(key) is None, f"{key} has one effect")
            self.obligations[key] = "open"
            self.effects[effect.effect_id] = key
            # Charges and payouts end in the number of their refusals; refunds and top-ups are as
            # many as are asked for.
            numbered = key.startswith(("charge:", "payout:"))
            rivals = [k for k in self.obligations if numbered and _unnumbered(k, key)] or [key]
            not_refused = [k for k in rivals if self.obligations[k] != "refused"]
            expect(not_refused == [key], f"{key} follows proven refusals only")
        for change in writes.effects_changed:
            self.obligations[self.effects[change.effect.effect_id]] = change.effect.state
        jobs = {job.dedup_key for job in writes.jobs if job.job_type == "effect"}
        expect(jobs == {e.effect_id for e in writes.effects_new}, "each effect has its job")

    def close(self) -> None:
        """What must hold whenever nothing is being written."""
        for deal_id, arrived in self.in_escrow.items():
            locked = self.posted[f"escrow:{deal_id}"]
            expect(arrived == self.out_of_escrow[deal_id] + locked, "escrow in = out + locked")
        expect(sum(self.posted.values()) == 0, "debits = credits")
        open_holds: Counter[str] = Counter()
        for hold_id, hold in self.holds.items():
            open_holds[hold.debit_ref] += hold.amount_minor * (hold_id not in self.resolved)
        expect(+open_holds == +self.held, "held = open holds")
