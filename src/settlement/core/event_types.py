"""The vocabulary of events: each type with the members its payload must and may have.

For: `core/events.py`, which appends, and the audit, which reads payloads back.
Guarantees: a payload of ours has exactly the members of its type and no number that is not an
integer. What our own operations record, and what could pass for a verifier's finding, is refused
from callers.
Does not: append, hash or store.

Spec §2.3, §4.2, contract §7. Change colour: red (FORMAT).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from settlement.core.canonical import Json, check_exact
from settlement.core.errors import CanonicalForm, InvalidField, PayloadNumber

AUTHORITIES: Final = frozenset({"key", "quote", "mandate", "open", "operator", "rail", "system"})

_TEXT: Final = (str,)
_TEXT_OR_NULL: Final = (str, type(None))
_INT: Final = (int,)
_INT_OR_NULL: Final = (int, type(None))
_LIST: Final = (list,)
_Members = Mapping[str, tuple[type, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One row of spec §4.2: what its payload must and may have beside `authority`."""

    name: str
    members: _Members = field(default_factory=dict)
    optional: _Members = field(default_factory=dict)
    #: the payload member that is the envelope's amount.
    amount: str | None = None
    #: the envelope's amount is zero: the event is about money that it must not tell.
    untold: bool = False
    #: a caller may append it as a statement of its own, with any exact payload.
    from_callers: bool = False

    def problem(self, payload: Mapping[str, object]) -> str | None:
        """Say what is wrong with a payload of ours; None when it is as the table says."""
        if payload.get("authority") not in AUTHORITIES:
            return "authority is missing or unknown"
        known = 1
        for name, kinds in self.members.items():
            if name not in payload or type(payload[name]) not in kinds:
                return f"{name} is missing or of the wrong type"
            known += 1
        if known < len(payload):
            for name, value in payload.items():
                if name not in self.members and name != "authority":
                    kinds = self.optional.get(name, ())
                    if type(value) not in kinds:
                        return f"{name} does not belong or is of the wrong type"
        return None


#: Members of every event that moves money (spec §4.2, §5.3).
_MONEY: Final[_Members] = {"asset": _TEXT, "tx_id": _TEXT, "tx_hash": _TEXT}
_GO: Final[_Members] = {
    "asset": _TEXT,
    "gross_minor": _INT,
    "buyer": _TEXT,
    "scope_lock_hash": _TEXT,
    "fee_policy": _TEXT,
    "fee_policy_hash": _TEXT,
    "tier": _TEXT,
    "volume_minor": _INT,
    "mandate_id": _TEXT_OR_NULL,
}
_MANDATE: Final[_Members] = {"mandate_id": _TEXT, "buyer": _TEXT, "asset": _TEXT}
_ACCEPTANCE: Final[_Members] = {"acceptance_id": _TEXT}
_REASON: Final[_Members] = {"reason": _TEXT, "reason_hash": _TEXT}
_PAYOUT: Final[_Members] = {
    **_MONEY,
    "payout_id": _TEXT,
    "payee": _TEXT,
    "amount_minor": _INT,
    "rail": _TEXT,
    "rail_ref": _TEXT_OR_NULL,
    "code": _TEXT_OR_NULL,
}
#: Members that disputes, refunds and endings have "as fits".
_ENDING: Final[_Members] = {
    **_MONEY,
    "dispute_id": _TEXT,
    "claimant": _TEXT,
    "seller_ppm": _INT,
    "seller_minor": _INT,
    "refund_minor": _INT,
    "amount_minor": _INT,
    "reason_code": _TEXT,
    "reason_hash": _TEXT,
}
#: A refund or a chargeback: which money, of which payment, and what the rail calls both.
_BACK: Final[_Members] = {
    **_MONEY,
    "refund_id": _TEXT,
    "amount_minor": _INT,
    "source": _TEXT,
    "payment_event_id": _TEXT,
    "reason_code": _TEXT,
}
_BACK_MORE: Final[_Members] = {
    "dispute_id": _TEXT,
    "reason_hash": _TEXT,
    "rail": _TEXT,
    "payment_ref": _TEXT,
    "rail_ref": _TEXT,
    "code": _TEXT,
}
#: An agent's balance and what the agent owes, on the agent's own stream or its deal's.
_OWN: Final[_Members] = {"agent_id": _TEXT, "amount_minor": _INT}
#: An operator stopped a part of the service, or let it go on; the reason is text, so its digest.
_SWITCH: Final[_Members] = {"operator": _TEXT, "reason_hash": _TEXT, "switch": _TEXT}
#: Members of every step in a key's life; the chain is its agent's, `sys_<agent id>`.
_KEY: Final[_Members] = {"agent_id": _TEXT, "key_id": _TEXT}
#: What an operator decided about an agent.
_AGENT: Final[_Members] = {"agent_id": _TEXT, "operator": _TEXT, "reason_hash": _TEXT}

#: What an operator did after a loss; reports and reasons as digests.
_RECOVERY: Final[_Members] = {"operator": _TEXT, "recovery_epoch": _INT}

EVENT_TYPES: Final[Mapping[str, EventType]] = {
    row.name: row
    for row in (
        EventType(
            name="AGENT_REGISTERED",
            members={"agent_id": _TEXT, "name_hash": _TEXT, "key_id": _TEXT},
            optional={"signing_key_id": _TEXT, "signing_key_digest": _TEXT},
        ),
        EventType(
            name="KEY_CREATED",
            members={
                **_KEY,
                "scopes": _LIST,
                "expires_at": _TEXT_OR_NULL,
                "rotated_from": _TEXT_OR_NULL,
            },
        ),
        EventType(
            name="KEY_ROTATED",
            members={
                **_KEY,
                "successor_id": _TEXT,
                "grace_until": _TEXT,
                # the key before, whose grace this rotation ended
                "grace_ended_id": _TEXT_OR_NULL,
            },
        ),
        EventType(name="KEY_REVOKED", members={**_KEY, "reason_hash": _TEXT}),
        EventType(name="AGENT_SUSPENDED", members=_AGENT),
        EventType(name="AGENT_RESUMED", members=_AGENT),
        EventType(name="VERIFIER_APPROVED", members=_AGENT),
        EventType(name="VERIFIER_WITHDRAWN", members=_AGENT),
        EventType(
            name="PROOF_READY",
            members={
                "asset": _TEXT,
                "proof_hash": _TEXT,
                "proof_type": _TEXT,
                "vertical": _TEXT,
                "sku_id": _TEXT,
                "scope_lock_hash": _TEXT,
                "scope_digest": _TEXT,
                "price_minor": _INT,
                "policy_hash": _TEXT,
                "seller": _TEXT,
            },
            optional={"parent_proof_ids": _LIST},
            amount="price_minor",
        ),
        EventType(
            name="PROOF_VERIFIED",
            members={
                "provider": _TEXT,
                "provider_type": _TEXT,
                "proof_hash": _TEXT,
                "proof_type": _TEXT,
                "verification_hash": _TEXT,
                "receipt_hash": _TEXT,
                "receipt_id": _TEXT,
                "confidence": _TEXT,
                "receipt_authority": _TEXT,
            },
        ),
        EventType(name="GO_APPROVED", members=_GO, amount="gross_minor"),
        EventType(name="AUTO_GO_APPROVED", members=_GO, amount="gross_minor"),
        EventType(name="ACCEPTANCE_PENDING", members=_ACCEPTANCE, optional=_REASON),
        EventType(name="ACCEPTED", members=_ACCEPTANCE, optional=_REASON),
        EventType(name="REJECTED", members=_ACCEPTANCE, optional=_REASON),
        EventType(
            name="PAYMENT_AUTHORIZED",
            members={
                **_MONEY,
                "amount_minor": _INT,
                "source": _TEXT,
                "rail": _TEXT_OR_NULL,
                "rail_ref": _TEXT_OR_NULL,
            },
            amount="amount_minor",
        ),
        EventType(
            name="SETTLED",
            members={
                **_MONEY,
                "gross_minor": _INT,
                "platform_fee_minor": _INT,
                "protocol_fee_minor": _INT,
                "net_minor": _INT,
                "components": _LIST,
                "payees": _LIST,
                "fee_policy_hash": _TEXT,
                "proof_hash": _TEXT,
            },
            amount="gross_minor",
        ),
        EventType(
            name="OUTCOME_RECORDED",
            members={"outcome": _TEXT, "seller": _TEXT, "buyer": _TEXT},
            from_callers=True,
        ),
        EventType(name="OUTCOME_RECONCILED", from_callers=True),
        EventType(name="PAYOUT_INITIATED", members=_PAYOUT, amount="amount_minor"),
        EventType(name="PAYOUT_CONFIRMED", members=_PAYOUT, amount="amount_minor"),
        EventType(name="PAYOUT_FAILED", members=_PAYOUT, amount="amount_minor"),
        EventType(name="DISPUTE_OPENED", optional=_ENDING, amount="amount_minor"),
        EventType(name="DISPUTE_RESOLVED", optional=_ENDING, amount="amount_minor"),
        EventType(
            name="REFUND_INITIATED", members=_BACK, optional=_BACK_MORE, amount="amount_minor"
        ),
        EventType(name="REFUNDED", members=_BACK, optional=_BACK_MORE, amount="amount_minor"),
        EventType(name="REFUND_FAILED", members=_BACK, optional=_BACK_MORE, amount="amount_minor"),
        EventType(name="CHARGED_BACK", members=_BACK, optional=_BACK_MORE, amount="amount_minor"),
        EventType(name="DEAL_CANCELLED", optional=_ENDING),
        EventType(name="HOLD_EXPIRED", optional=_ENDING, amount="amount_minor"),
        EventType(
            name="INTENT_CREATED",
            members={
                "asset": _TEXT,
                "intent_id": _TEXT,
                "client": _TEXT,
                "capability_hash": _TEXT,
                "requirements_hash": _TEXT,
                "budget_commitment": _TEXT,
                "deadline_hours": _INT,
                "closes_at": _TEXT,
            },
        ),
        EventType(
            name="BID_RECEIVED",
            members={
                "intent_id": _TEXT,
                "bid_id": _TEXT,
                "agent_id": _TEXT,
                "commitment": _TEXT,
            },
            untold=True,
        ),
        EventType(
            name="INTENT_CLOSED",
            members={"intent_id": _TEXT, "bid_count": _INT, "bids": _LIST},
        ),
        EventType(
            name="INTENT_AWARDED",
            members={
                "asset": _TEXT,
                "intent_id": _TEXT,
                "bid_id": _TEXT,
                "seller": _TEXT,
                "buyer": _TEXT,
                "price_minor": _INT,
                "delivery_hours": _INT,
                "due_at": _TEXT,
            },
            amount="price_minor",
        ),
        EventType(
            name="BIDS_REVEALED",
            members={"intent_id": _TEXT, "bid_count": _INT, "reveal_hash": _TEXT},
        ),
        EventType(
            name="MANDATE_CREATED",
            members={
                **_MANDATE,
                "max_amount_minor": _INT,
                "allowed_verticals": _LIST,
                "confidence_threshold": _TEXT,
                "reserve_minor": _INT_OR_NULL,
                "expires_at": _TEXT_OR_NULL,
            },
            optional=_MONEY,
            amount="reserve_minor",
        ),
        EventType(
            name="MANDATE_REVOKED",
            members={**_MANDATE, "returned_minor": _INT},
            optional=_MONEY,
            amount="returned_minor",
        ),
        EventType(
            name="TOPUP_REQUESTED",
            members={**_OWN, "topup_id": _TEXT, "asset": _TEXT, "rail": _TEXT},
            amount="amount_minor",
        ),
        EventType(
            name="TOPPED_UP",
            members={
                **_OWN,
                **_MONEY,
                "topup_id": _TEXT,
                "asked_minor": _INT,
                "rail": _TEXT,
                "rail_ref": _TEXT_OR_NULL,
            },
            amount="amount_minor",
        ),
        EventType(name="RECEIVABLE_RECOVERED", members={**_OWN, **_MONEY}, amount="amount_minor"),
        EventType(
            name="RECEIVABLE_WRITTEN_OFF",
            members={**_OWN, **_MONEY, "operator": _TEXT, "reason_hash": _TEXT},
            amount="amount_minor",
        ),
        EventType(name="SWITCH_PAUSED", members=_SWITCH),
        EventType(name="SWITCH_RESUMED", members=_SWITCH),
        EventType(
            name="RECOVERED",
            members={**_RECOVERY, "lost_since": _TEXT, "content_hash": _TEXT, "tree_size": _INT},
        ),
        EventType(
            name="GAP_ACCEPTED",
            members={**_RECOVERY, "promised": _INT, "reached": _INT, "reason_hash": _TEXT},
        ),
        EventType(
            name="RECONCILED",
            members={**_RECOVERY, "asked": _INT, "strangers": _INT, "report_hash": _TEXT},
        ),
        EventType(name="DELIVERIES_RELEASED", members=_RECOVERY),
        EventType(
            name="AUDITED",
            members={
                "operator": _TEXT,
                "input_hash": _TEXT,
                "report_hash": _TEXT,
                "tree_size": _INT,
                "since": _INT_OR_NULL,
                "failed": _LIST,
                "skipped": _LIST,
            },
        ),
    )
}

#: Never accepted from a caller: one such record would make every export of the deal fail.
_FORGED_TYPES: Final = frozenset({"CONSEQUENCE_AUTHORIZED"})
_FORGED_MEMBERS: Final = frozenset({"adapter_evaluation", "swarm_policy"})


def check_statement(event_type: str, payload: Mapping[str, Json]) -> None:
    """Refuse what a caller may not append (contract §7).

    Raises InvalidField for a type callers do not have or a member that could pass for a verifier's
    finding, PayloadNumber for a number that is not an integer.
    """
    known = EVENT_TYPES.get(event_type)
    if event_type in _FORGED_TYPES or known is None or not known.from_callers:
        raise InvalidField(field="event_type", reason="callers do not append events of this type")
    _refuse_forged(payload)
    check_numbers(payload)


def _refuse_forged(value: Json) -> None:
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name in _FORGED_MEMBERS:
                raise InvalidField(field=f"payload.{name}", reason="callers do not send this")
            _refuse_forged(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _refuse_forged(part)


def check_numbers(payload: Mapping[str, Json]) -> None:
    """Raise PayloadNumber for any number that is not an integer (spec §2.3)."""
    try:
        check_exact(payload)
    except CanonicalForm as error:
        raise PayloadNumber() from error
