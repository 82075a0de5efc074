"""The seven hashes and the fee, as they come over the wire, recomputed by a stranger.

Rows 9 and 10 of the readiness report: the vectors say what a hash is, and here a running service's
own answers are held against that; with AME_BASE, those of the service named (spec §2, §3, §18.1).
"""

from __future__ import annotations

import hashlib
import json
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import wire

if TYPE_CHECKING:
    from tests.conformance.served import Party, Served

CENT = Decimal("0.01")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def j(members: object) -> str:
    return json.dumps(members, sort_keys=True)


class Played:
    """One deal, from its proof to its payout, and every answer on the way."""

    def __init__(self, served: Served) -> None:
        self.seller: Party = served.party("seller")
        self.buyer: Party = served.party("buyer")
        self.pack = served.pack(self.seller)
        self.deal: str = self.pack["deal_id"]
        proof = {"deal_id": self.deal, "proof_hash": self.pack["proof_hash"]}
        looked = {
            "proof_type": "creative_preview",
            "proof_data": {"preview_url": "https://example.org/preview"},
        }
        self.verified = served.ok(
            "POST", "/protocol/verify/provider", {**proof, **looked}, self.buyer
        )
        names = ("deal_id", "quote_id", "scope_lock_hash")
        self.go = served.ok("POST", "/protocol/go", {n: self.pack[n] for n in names}, self.buyer)
        body = {"deal_id": self.deal, "amount": "100.00", "actor_id": self.seller.agent_id}
        self.settle = served.finished("/protocol/settle", body, self.seller)
        self.payout = served.finished("/protocol/payouts", {"deal_id": self.deal}, self.seller)
        self.timeline = served.ok("GET", f"/protocol/deals/{self.deal}/timeline")
        self.ledger = served.ok("GET", f"/protocol/deals/{self.deal}/ledger", by=self.seller)
        self.receipts = served.ok("GET", f"/protocol/verify/{self.deal}/receipt")["receipts"]


@pytest.fixture(scope="module")
def played(served: Served) -> Played:
    return Played(served)


def test_h1_keys_of_once_per_deal_operations(played: Played) -> None:
    """Catches a key that anything but deal, operation and payee goes into."""

    def key(action: str, **extra: str) -> str:
        members = {"deal_id": played.deal, "action": action, **extra}
        return "idem_" + digest(j(members))[:24]

    assert played.go["go_key"] == key("go")
    assert played.settle["idempotency_key"] == key("settle")
    assert played.payout["idempotency_key"] == key("payout", to=played.seller.agent_id)


def test_h2_the_chain_of_events(played: Played) -> None:
    """Catches an event hashed over other members, or a link that skips one."""
    wire.chain_holds(played.timeline["events"])
    wire.in_order(
        wire.types(played.timeline),
        ["PROOF_READY", "GO_APPROVED", "PAYMENT_AUTHORIZED", "SETTLED", "OUTCOME_RECORDED"],
    )


def test_h3_the_scope_lock_holds_the_price_as_quoted(played: Played) -> None:
    """Catches a price in minor units or with two decimals in the composite."""
    pack = played.pack
    (ready,) = [e for e in played.timeline["events"] if e["event_type"] == "PROOF_READY"]
    policy = ready["payload"]["policy_hash"]
    terms = ("marketing", "social_media", "Logo, café menu €5", "100.0", policy, pack["proof_hash"])
    assert pack["scope_lock_hash"] == digest("|".join(terms))[:32]
    assert ready["payload"]["scope_lock_hash"] == pack["scope_lock_hash"]


def test_h4_the_policy(served: Served) -> None:
    """Catches a policy hashed with its keys in the order they were sent."""
    policy = [{"value": 500, "op": "<=", "field": "amount_max_usd"}]
    seller = served.party("seller")
    for sent in ([], policy):
        pack = served.pack(seller, policy=sent)
        events = served.ok("GET", f"/protocol/deals/{pack['deal_id']}/timeline")["events"]
        assert events[0]["payload"]["policy_hash"] == digest(j(sent))[:24]


def test_h5_and_h7_receipts(played: Played) -> None:
    """Catches a confidence printed as an integer, and a truth that is not Python's."""
    (receipt,) = played.receipts
    text = f"{played.deal}|{played.pack['proof_hash']}|content|True"
    assert receipt["receipt_hash"] == digest(f"{text}|0.8")[:24]
    assert receipt["receipt_hash"] == played.verified["receipt_hash"]
    assert receipt["verification_hash"] == digest(text)[:24]


def test_h6_dedup_keys_of_every_ledger_row(played: Played) -> None:
    """Catches a row whose published key is not that of its own members."""
    assert len(played.ledger["entries"]) >= 6
    for row in played.ledger["entries"]:
        meta: dict[str, Any] = row["meta"]
        members = {
            "deal_id": meta["deal_id"],
            "entry_type": row["entry_type"],
            "ref": row["ref"],
            "currency": meta["currency"],
            "counterparty": meta["counterparty"],
            "event_id": meta.get("event_id") or meta["tx_id"],
            **{
                side: str(Decimal(row[side]).quantize(CENT, ROUND_HALF_EVEN))
                for side in ("debit", "credit")
            },
        }
        assert row["dedup_key"] == digest(j(members))[:24], row
    assert len({row["dedup_key"] for row in played.ledger["entries"]}) == len(
        played.ledger["entries"]
    )


def test_the_fee_of_a_hundred(played: Played) -> None:
    """Catches a fee rounded in binary, and parts that do not sum to the gross."""
    wire.money(played.settle, "gross", 10_000)
    wire.money(played.settle, "protocol_fee", 308)
    wire.money(played.settle, "net", 9_692)
    wire.splits_sum(played.settle)
    wire.settled_once(played.timeline, "100.00")


def test_every_call_of_money_repeated_is_its_replay(served: Served, played: Played) -> None:
    """Catches a second original, and a replay that differs from what was first said."""
    names = ("deal_id", "quote_id", "scope_lock_hash")
    go = {n: played.pack[n] for n in names}
    settle = {"deal_id": played.deal, "amount": "100.00", "actor_id": played.seller.agent_id}
    for path, body, by, first in (
        ("/protocol/go", go, played.buyer, played.go),
        ("/protocol/settle", settle, played.seller, played.settle),
    ):
        again = served.ok("POST", path, body, by)
        assert again["_idempotent"] is True
        assert wire.without_replay_members(again) == wire.without_replay_members(first)
