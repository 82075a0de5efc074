"""Events: what each payload must have, what callers may not append, and the links of a chain."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import PayloadNumber
from settlement.core.event_types import EVENT_TYPES, check_numbers
from settlement.core.events import Actor, Chain
from settlement.core.hashes import event_hash
from settlement.core.writeset import WriteSet
from tests.support.world import new_world

if TYPE_CHECKING:
    from settlement.core.canonical import Json
    from settlement.core.event_types import EventType

MONEY: dict[str, Json] = {"asset": "USD/2", "tx_id": "tx_1", "tx_hash": "0" * 64}
GO: dict[str, Json] = {
    "asset": "USD/2",
    "gross_minor": 9900,
    "buyer": "b",
    "scope_lock_hash": "s",
    "fee_policy": "discounts-1",
    "fee_policy_hash": "0" * 64,
    "tier": "base",
    "volume_minor": 0,
    "mandate_id": None,
}
PAYOUT: dict[str, Json] = {
    **MONEY,
    "payout_id": "pay_1",
    "payee": "a",
    "amount_minor": 1,
    "rail": "simulated",
    "rail_ref": None,
    "code": None,
}
#: One payload of each type, member by member as spec §4.2 lists them.
BACK: dict[str, Json] = {
    **MONEY,
    "refund_id": "ref_1",
    "amount_minor": 1,
    "source": "charge",
    "payment_event_id": "evt_1",
    "reason_code": "requested",
}
EXAMPLES: dict[str, dict[str, Json]] = {
    "DELIVERIES_RELEASED": {"operator": "ops", "recovery_epoch": 1},
    "GAP_ACCEPTED": {
        "operator": "ops",
        "recovery_epoch": 1,
        "promised": 9,
        "reached": 7,
        "reason_hash": "a" * 64,
    },
    "RECONCILED": {
        "operator": "ops",
        "recovery_epoch": 1,
        "asked": 2,
        "strangers": 0,
        "report_hash": "a" * 64,
    },
    "RECOVERED": {
        "operator": "ops",
        "recovery_epoch": 1,
        "lost_since": "2026-01-01T00:00:00.000000Z",
        "content_hash": "a" * 64,
        "tree_size": 7,
    },
    "KEY_CREATED": {
        "agent_id": "a",
        "key_id": "k",
        "scopes": ["read"],
        "expires_at": None,
        "rotated_from": None,
    },
    "KEY_ROTATED": {
        "agent_id": "a",
        "key_id": "k",
        "successor_id": "k2",
        "grace_until": "2026-01-02T00:00:00.000000Z",
        "grace_ended_id": None,
    },
    "KEY_REVOKED": {"agent_id": "a", "key_id": "k", "reason_hash": "0" * 64},
    **{
        name: {"agent_id": "a", "operator": "ops", "reason_hash": "0" * 64}
        for name in (
            "AGENT_SUSPENDED",
            "AGENT_RESUMED",
            "VERIFIER_APPROVED",
            "VERIFIER_WITHDRAWN",
        )
    },
    "MANDATE_CREATED": {
        "mandate_id": "mnd_1",
        "buyer": "b",
        "asset": "USD/2",
        "max_amount_minor": 100,
        "allowed_verticals": ["marketing"],
        "confidence_threshold": "0.8",
        "reserve_minor": None,
        "expires_at": None,
    },
    "MANDATE_REVOKED": {
        "mandate_id": "mnd_1",
        "buyer": "b",
        "asset": "USD/2",
        "returned_minor": 0,
    },
    "TOPUP_REQUESTED": {
        "topup_id": "topup_1",
        "agent_id": "a",
        "asset": "USD/2",
        "amount_minor": 1,
        "rail": "simulated",
    },
    "TOPPED_UP": {
        **MONEY,
        "topup_id": "topup_1",
        "agent_id": "a",
        "amount_minor": 1,
        "asked_minor": 1,
        "rail": "simulated",
        "rail_ref": "ch_1",
    },
    "RECEIVABLE_RECOVERED": {**MONEY, "agent_id": "a", "amount_minor": 1},
    "RECEIVABLE_WRITTEN_OFF": {
        **MONEY,
        "agent_id": "a",
        "amount_minor": 1,
        "operator": "ops",
        "reason_hash": "a" * 64,
    },
    "SWITCH_PAUSED": {"operator": "ops", "reason_hash": "a" * 64, "switch": "go"},
    "SWITCH_RESUMED": {"operator": "ops", "reason_hash": "a" * 64, "switch": "go"},
    "INTENT_CREATED": {
        "asset": "USD/2",
        "intent_id": "i",
        "client": "c",
        "capability_hash": "0" * 64,
        "requirements_hash": "0" * 64,
        "budget_commitment": "0" * 64,
        "deadline_hours": 24,
        "closes_at": "t",
    },
    "BID_RECEIVED": {"intent_id": "i", "bid_id": "b", "agent_id": "a", "commitment": "0" * 64},
    "INTENT_CLOSED": {"intent_id": "i", "bid_count": 0, "bids": []},
    "INTENT_AWARDED": {
        "asset": "USD/2",
        "intent_id": "i",
        "bid_id": "b",
        "seller": "a",
        "buyer": "c",
        "price_minor": 8000,
        "delivery_hours": 12,
        "due_at": "t",
    },
    "BIDS_REVEALED": {"intent_id": "i", "bid_count": 0, "reveal_hash": "0" * 64},
    "AGENT_REGISTERED": {"agent_id": "a", "name_hash": "0" * 64, "key_id": "k"},
    "PROOF_READY": {
        "asset": "USD/2",
        "proof_hash": "p",
        "proof_type": "t",
        "vertical": "v",
        "sku_id": "",
        "scope_lock_hash": "s",
        "scope_digest": "d",
        "price_minor": 9900,
        "policy_hash": "h",
        "seller": "a",
    },
    "PROOF_VERIFIED": {
        "provider": "service",
        "provider_type": "service",
        "proof_hash": "p",
        "proof_type": "t",
        "verification_hash": "v",
        "receipt_hash": "r",
        "receipt_id": "rcpt_1",
        "confidence": "0.75",
        "receipt_authority": "operator",
    },
    "GO_APPROVED": GO,
    "AUTO_GO_APPROVED": {**GO, "mandate_id": "mnd_1"},
    "ACCEPTANCE_PENDING": {"acceptance_id": "acc_1"},
    "ACCEPTED": {"acceptance_id": "acc_1", "reason": "fine", "reason_hash": "0" * 64},
    "REJECTED": {"acceptance_id": "acc_1", "reason": "late", "reason_hash": "0" * 64},
    "PAYMENT_AUTHORIZED": {
        **MONEY,
        "amount_minor": 9900,
        "source": "charge",
        "rail": "simulated",
        "rail_ref": "ch_1",
    },
    "SETTLED": {
        **MONEY,
        "gross_minor": 9900,
        "platform_fee_minor": 0,
        "protocol_fee_minor": 305,
        "net_minor": 9595,
        "components": [],
        "payees": [],
        "fee_policy_hash": "0" * 64,
        "proof_hash": "p",
    },
    "OUTCOME_RECORDED": {"outcome": "settled", "seller": "a", "buyer": "b"},
    "OUTCOME_RECONCILED": {},
    "PAYOUT_INITIATED": PAYOUT,
    "PAYOUT_CONFIRMED": {**PAYOUT, "rail_ref": "po_1"},
    "PAYOUT_FAILED": {**PAYOUT, "code": "closed"},
    "DISPUTE_OPENED": {**MONEY, "dispute_id": "dsp_1", "claimant": "a", "amount_minor": 1},
    "DISPUTE_RESOLVED": {**MONEY, "dispute_id": "dsp_1", "seller_ppm": 500_000},
    "REFUND_INITIATED": BACK,
    "REFUNDED": {**BACK, "rail": "simulated", "payment_ref": "ch_1", "rail_ref": "re_1"},
    "REFUND_FAILED": {**BACK, "code": "closed"},
    "CHARGED_BACK": {**BACK, "rail_ref": "cb_1"},
    "DEAL_CANCELLED": {"reason_hash": "0" * 64},
    "HOLD_EXPIRED": {**MONEY, "amount_minor": 1},
    "AUDITED": {
        "operator": "ops",
        "input_hash": "0" * 64,
        "report_hash": "0" * 64,
        "tree_size": 1,
        "since": None,
        "failed": [],
        "skipped": [44],
    },
}


def by(event_type: EventType) -> dict[str, Json]:
    return {"authority": "key", **EXAMPLES[event_type.name]}


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=lambda row: row.name)
class TestEachType:
    def test_its_example_is_as_the_table_says(self, event_type: EventType) -> None:
        assert event_type.problem(by(event_type)) is None

    def test_no_member_may_be_missing_or_of_another_type(self, event_type: EventType) -> None:
        """Catches a build that lets an event out without its money facts."""
        for name in event_type.members:
            payload = by(event_type)
            del payload[name]
            assert event_type.problem(payload) is not None, name
            wrongs: tuple[Json, ...] = (Decimal("1.5"), True, {})
            for wrong in wrongs:
                assert event_type.problem(by(event_type) | {name: wrong}) is not None, name

    def test_nothing_else_may_be_there(self, event_type: EventType) -> None:
        """Catches a build that puts free text into a payload."""
        assert event_type.problem(by(event_type) | {"note": "free text"}) is not None

    def test_an_authority_is_always_named(self, event_type: EventType) -> None:
        payload = by(event_type)
        del payload["authority"]
        assert event_type.problem(payload) is not None
        assert event_type.problem(payload | {"authority": "moon"}) is not None


def test_fractions_are_refused_at_any_depth() -> None:
    with pytest.raises(PayloadNumber):
        check_numbers({"a": [{"b": Decimal("0.5")}]})
    check_numbers({"a": [{"b": 1, "c": None, "d": "0.5"}]})


def test_a_chain_links_hashes_and_tells_the_outbox() -> None:
    """Catches a build whose events do not hang together, or are told to nobody."""
    writes = WriteSet()
    ctx = new_world().context()
    chain = Chain(deal_id="deal_1", version=4, head_hash="h" * 64, ctx=ctx, writes=writes)
    one = Actor(actor_id="agent_a", authority="key", role="seller")
    two = Actor(actor_id="rail:é", authority="rail")
    outcome: dict[str, Json] = {"outcome": "settled", "seller": "a", "buyer": "é"}
    first = chain.append("OUTCOME_RECORDED", one, dict(outcome))
    second = chain.append("GO_APPROVED", two, dict(GO), event_id="evt_1", counterparty_id="a")
    assert (first.version, second.version, chain.version) == (4, 5, 6)
    assert (first.prev_hash, second.prev_hash) == ("h" * 64, first.hash)
    assert chain.head_hash == second.hash
    assert (second.amount_minor, second.asset, second.event_id) == (9900, "USD/2", "evt_1")
    for event in (first, second):
        record = {name: getattr(event, name) for name in event.__dataclass_fields__}
        assert event.hash == event_hash({**record, "payload": json.loads(event.payload)})
    assert [row.event_id for row in writes.outbox] == [first.event_id, "evt_1"]
    assert writes.outbox[0].payload is None, "the event of that id has it"
