"""Appending a record to a chain: once, at the head, and statements only from callers."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from settlement.core.operations import (
    AppendEvent,
)
from settlement.core.principal import SYSTEM
from tests.support.world import (
    BUYER,
    NOBODY,
    SELLER,
    World,
    key_of,
    new_world,
    refuses,
)

NEVER_REGISTERED = "agent_" + "f" * 32


def packed(**rules: Any) -> World:
    world = new_world(**rules)
    world.pack()
    return world


class TestAppendEvent:
    def append(self, world: World, principal: object = SYSTEM, **members: Any) -> Any:
        expected = members.pop("expected_prev", None)
        record = {"deal_id": "deal_9", "event_type": "TEST", "actor_id": "sys", **members}
        return world.run(
            AppendEvent(principal=principal, record=record, expected_prev=expected)  # type: ignore[arg-type]
        )

    def test_the_same_record_is_stored_once(self) -> None:
        """Catches a build that appends twice, or takes other content for the same event."""
        world = new_world()
        first = self.append(world, event_id="evt_1", payload={"a": 1})
        again = self.append(world, event_id="evt_1", payload={"a": 1})
        assert again == {**first, "_idempotent": True}
        assert first["_idempotent"] is False
        for changed in (
            {"payload": {"a": 2}},
            {"actor_id": "x"},
            {"timestamp": "2026-01-01T00:00:00Z"},
            {"deal_id": "deal_8"},
        ):
            call: dict[str, Any] = {"event_id": "evt_1", "payload": {"a": 1}, **changed}
            refuses(world, "event_id_taken", partial(self.append, world, **call))

    def test_the_head_must_be_the_expected_one(self) -> None:
        world = new_world()
        first = self.append(world)
        error = refuses(world, "chain_conflict", lambda: self.append(world, expected_prev=""))
        assert error.members()["head"] == first["hash"]
        second = self.append(world, expected_prev=first["hash"])
        assert (second["version"], second["prev_hash"]) == (1, first["hash"])

    def test_a_submitted_time_stays_as_it_is(self) -> None:
        """The published vector H2-e."""
        world = new_world()
        stored = self.append(
            world, event_id="evt_e", deal_id="deal_e", timestamp="2026-01-01T00:00:00Z"
        )
        assert stored["hash"] == "f92df44b165c68e2cad905b5cd9dc7c6331744cd775d21e9792d7dacf05b0ee9"

    @pytest.mark.parametrize(
        ("members", "code"),
        [
            ({"event_type": "SETTLED"}, "field_invalid"),
            ({"event_type": "CONSEQUENCE_AUTHORIZED"}, "field_invalid"),
            ({"event_type": "MOON_LANDED"}, "field_invalid"),
            ({"payload": {"adapter_evaluation": {}}}, "field_invalid"),
            ({"payload": {"deep": [{"swarm_policy": 1}]}}, "field_invalid"),
            ({"payload": []}, "field_invalid"),
            ({"payload": {"a": Decimal("0.5")}}, "payload_number"),
            ({"timestamp": "yesterday"}, "field_invalid"),
            ({"event_type": ""}, "field_invalid"),
            ({"event_id": "e|1"}, "malformed_id"),
            ({"deal_id": "deal_none"}, "deal_not_found"),
        ],
    )
    def test_callers_state_things_and_no_more(self, members: dict[str, Any], code: str) -> None:
        """Catches a build in which a caller forges what our operations or a verifier record."""
        world = packed()
        statement: dict[str, Any] = {
            "deal_id": "deal_1",
            "event_type": "OUTCOME_RECONCILED",
            **members,
        }
        refuses(world, code, lambda: self.append(world, key_of(SELLER), **statement))

    def test_statements_are_made_by_parties(self) -> None:
        world = packed()
        statement: dict[str, Any] = {
            "deal_id": "deal_1",
            "event_type": "OUTCOME_RECONCILED",
            "actor_id": BUYER,
        }
        refuses(world, "party_mismatch", lambda: self.append(world, key_of(BUYER), **statement))
        refuses(world, "party_mismatch", lambda: self.append(world, NOBODY, **statement))
        stored = self.append(world, key_of(SELLER), **statement)
        assert stored["actor_id"] == SELLER, "the key's agent, whatever the record says"
        assert world.deals["deal_1"].head_hash == stored["hash"]
