"""What an operator decides about agents: it counts in one commit with its event, and for keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import AgentNotFound, InvalidField
from settlement.core.event_types import EVENT_TYPES
from settlement.service import agents
from settlement.service.agents import Verdict
from settlement.store.events import load_chain
from tests.support.house import Play, house
from tests.support.keys import Holder, Shelf, shelf_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shelf(database_url: str) -> Iterator[Shelf]:
    with shelf_on(database_url) as made:
        yield made


def decide(shelf: Shelf, holder: Holder, verdict: Verdict, reason: str = "because") -> bool:
    return agents.decide(shelf.db, holder.agent_id, verdict, reason=reason, operator="ops@example")


def test_a_suspended_agents_keys_do_not_count_until_it_is_resumed(shelf: Shelf) -> None:
    """Catches a suspension that old keys outlive, and one without a trace or with two."""
    holder, other = shelf.register(), shelf.register("other")
    assert decide(shelf, holder, Verdict.SUSPEND, "spam")
    assert not decide(shelf, holder, Verdict.SUSPEND)
    assert shelf.find(holder.text) is None
    assert shelf.find(other.text) is not None
    assert [one["agent_id"] for one in agents.agents_page(shelf.db, 9, only="suspended")] == [
        holder.agent_id
    ]
    assert decide(shelf, holder, Verdict.RESUME)
    assert shelf.find(holder.text) is not None
    chain = shelf.db.read(lambda tx: load_chain(tx, f"sys_{holder.agent_id}"))
    assert [event.event_type for event in chain] == [
        "AGENT_REGISTERED",
        "AGENT_SUSPENDED",
        "AGENT_RESUMED",
    ]
    for event in chain:
        assert EVENT_TYPES[event.event_type].problem(json.loads(event.payload)) is None
        assert "spam" not in event.payload


def test_a_verdict_has_a_reason_and_an_agent(shelf: Shelf) -> None:
    holder = shelf.register()
    for reason in ("", " ", "two\nlines", "x" * 501):
        with pytest.raises(InvalidField):
            decide(shelf, holder, Verdict.SUSPEND, reason)
    with pytest.raises(AgentNotFound):
        decide(shelf, Holder("agent_" + "0" * 32, "", ""), Verdict.SUSPEND)


def test_only_an_approved_agents_key_speaks_as_a_verifier(shelf: Shelf) -> None:
    """Catches approval that any key of the agent carries, also one that does not verify."""
    holder = shelf.register()
    reader = shelf.make(holder, scopes=["read"])
    assert "verifier" not in shelf.caller(holder).scopes
    assert decide(shelf, holder, Verdict.APPROVE_VERIFIER)
    assert "verifier" in shelf.caller(holder).scopes
    assert "verifier" not in shelf.caller(reader).scopes
    # It is no scope of the key's: a key made now has it by its agent, not by its maker.
    assert "verifier" not in shelf.record(shelf.make(holder))["scopes"]
    assert decide(shelf, holder, Verdict.WITHDRAW_VERIFIER)
    assert "verifier" not in shelf.caller(holder).scopes


def test_an_approved_strangers_receipt_counts_as_a_verifiers(
    tmp_path: Path, database_url: str
) -> None:
    with house(tmp_path, database_url) as services, shelf_on(database_url) as shelf:
        play = Play(services)
        deal = play.proof(play.agent("seller"))
        judge = shelf.register("judge")
        assert play.receipt(deal, shelf.caller(judge))["authority"] == "open"
        decide(shelf, judge, Verdict.APPROVE_VERIFIER)
        assert play.receipt(deal, shelf.caller(judge))["authority"] == "verifier"
