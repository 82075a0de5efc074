"""What any reader of our answers can check: members, money, chains, ledger rows.

Written from the published rules with the standard library alone, so that a fault in our own hashing
or rounding cannot hide in the check as well.
Does not: know how the server computes any of it.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NUMBER = (int, float)
HASHED = ("event_id", "event_type", "deal_id", "actor_id", "timestamp", "payload", "prev_hash")
REPLAY_MEMBERS = ("_idempotent", "_original_key", "_original_at")


def members(body: Any, **wanted: type | tuple[type, ...]) -> None:
    """Every named member is there with its type; `bool` is no number."""
    assert isinstance(body, dict), f"not an object: {body!r}"
    for name, kinds in wanted.items():
        assert name in body, f"{name} is missing of {sorted(body)}"
        value = body[name]
        assert isinstance(value, kinds), f"{name} is {value!r}"
        assert kinds is bool or not isinstance(value, bool), f"{name} is {value!r}"


def money(body: Mapping[str, Any], name: str, cents: int) -> None:
    """A money member in its three forms."""
    assert body[f"{name}_minor"] == cents, f"{name}_minor is {body[f'{name}_minor']}"
    assert Decimal(str(body[name])) * 100 == cents, f"{name} is {body[name]}"
    assert Decimal(body[f"{name}_exact"]) * 100 == cents


def splits_sum(body: Mapping[str, Any]) -> None:
    """gross = platform_fee + protocol_fee + net, to the cent."""
    parts = sum(body[f"{part}_minor"] for part in ("platform_fee", "protocol_fee", "net"))
    assert body["gross_minor"] == parts, body


def event_hash(event: Mapping[str, Any]) -> str:
    """The published event hash: seven members, default separators."""
    text = json.dumps({name: event[name] for name in HASHED}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def chain_holds(events: list[dict[str, Any]]) -> None:
    """Each event's hash recomputes and names the one before; ids are distinct."""
    previous = ""
    for event in events:
        assert event["prev_hash"] == previous, f"{event['event_type']} does not follow"
        assert event["hash"] == event_hash(event), f"{event['event_type']}: another hash"
        previous = event["hash"]
    assert len({event["event_id"] for event in events}) == len(events)


def types(timeline: Mapping[str, Any]) -> list[str]:
    """The event types of a timeline, in order."""
    return [event["event_type"] for event in timeline["events"]]


def in_order(found: Iterable[str], wanted: Iterable[str]) -> None:
    """The wanted types occur in this order; others may stand between them."""
    rest = list(found)
    for name in wanted:
        assert name in rest, f"{name} is missing, or comes too early: {rest}"
        rest = rest[rest.index(name) + 1 :]


def ledger_holds(rows: list[dict[str, Any]]) -> None:
    """Each movement has one debit and one credit row of one amount; no row is there twice."""
    assert len({row["entry_id"] for row in rows}) == len(rows), "an entry occurs twice"
    sums: dict[str, Decimal] = {}
    for row in rows:
        assert row["side"] in {"debit", "credit"}
        debit, credit = Decimal(row["debit"]), Decimal(row["credit"])
        assert debit >= 0, row
        assert credit >= 0, row
        assert (debit > 0) != (credit > 0), f"a row has one side: {row}"
        movement = row["meta"]["tx_id"] if "meta" in row else row["tx_id"]
        sums[movement] = sums.get(movement, Decimal(0)) + debit - credit
    unbalanced = {movement: left for movement, left in sums.items() if left}
    assert not unbalanced, unbalanced


def entries(timeline: Mapping[str, Any], entry_type: str, side: str) -> list[Decimal]:
    """The amounts of the ledger rows of one type and side."""
    return [
        Decimal(row[side])
        for row in timeline["ledger"]
        if row["entry_type"] == entry_type and row["side"] == side
    ]


def settled_once(timeline: Mapping[str, Any], gross: str) -> None:
    """One settlement of that gross: one event, one set of legs, chain and ledger in order."""
    found = types(timeline)
    assert found.count("SETTLED") == 1, found
    assert found.count("PAYMENT_AUTHORIZED") == 1, found
    assert found.count("OUTCOME_RECORDED") == 1, found
    chain_holds(timeline["events"])
    ledger_holds(timeline["ledger"])
    fee = sum(entries(timeline, "protocol_fee", "credit"), Decimal(0))
    released = sum(entries(timeline, "entity_credit", "credit"), Decimal(0))
    assert entries(timeline, "gross_in", "credit") == [Decimal(gross)]
    assert len(entries(timeline, "protocol_fee", "credit")) == 1
    assert fee + released == Decimal(gross), timeline["ledger"]


def without_replay_members(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body as its original had it, to compare a replay with."""
    return {name: value for name, value in body.items() if name not in REPLAY_MEMBERS}
