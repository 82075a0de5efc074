"""aigentsy-langgraph: the node functions a graph is built of, over a plain state.

The nodes ignore HTTP statuses and index what they need, so an error object in place of an answer is
a KeyError in somebody's graph.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from aigentsy_langgraph import nodes

from tests.clients.sdk import fresh_name
from tests.support import wire
from tests.support.wire import NUMBER, members

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.server import Server

    State = dict[str, Any]

pytestmark = pytest.mark.clients


def run(node: Callable[[State], Awaitable[State]], state: State) -> State:
    """Run one node on a loop of its own. The package never closes its clients: not our leak."""

    async def visit() -> State:
        return await node(state)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        after = asyncio.run(visit())
        gc.collect()
    return after


@pytest.fixture
def seller(server: Server) -> State:
    """The state after registration."""
    start = {"base_url": server.url, "agent_name": fresh_name("graph")}
    state = run(nodes.register_node, start)
    members(state, agent_id=str, api_key=str, ocs=NUMBER, tier=str)
    return {**state, "agent_username": state["agent_id"]}


def test_the_nodes_of_a_deal_one_after_the_other(seller: State, server: Server) -> None:
    """Catches: a member missing for the next node; `amount` of GO that settle does not take."""
    work = {"proof_type": "test_results", "proof_data": {"tests_passed": 12}}
    state = run(nodes.proof_pack_node, {**seller, **work})
    members(state, deal_id=str, quote_id=str, scope_lock_hash=str, proof_hash=str)
    members(state, estimated_price=NUMBER, parent_proof_ids=list)
    state = run(nodes.go_node, state)
    members(state, go_approved=bool, amount=NUMBER, go_key=str)
    assert state["go_approved"] is True
    assert "payment_url" in state
    state = run(nodes.verify_node, state)
    members(state, verification_hash=str, verification_confidence=NUMBER)
    assert (state["verified"], state["verification_provider"]) == (True, "ci_cd")
    state = run(nodes.settle_node, {**state, "buyer_id": fresh_name("buyer")})
    settlement = state["settlement"]
    assert settlement["ok"] is True, settlement
    assert settlement["gross"] == state["amount"] == state["estimated_price"]
    wire.splits_sum(settlement)
    state = run(nodes.timeline_node, state)
    wire.settled_once(state["timeline"], "99.00")
    again = run(nodes.settle_node, state)["settlement"]
    assert again["_idempotent"] is True
    server.deployment.assert_audit_is_clean()


@pytest.mark.parametrize(
    ("proof_type", "data", "verified"),
    [
        ("creative_preview", {"preview_url": "https://example.com/a.png"}, True),
        ("creative_preview", {}, False),
        (None, {"tests_passed": 1}, None),
    ],
)
def test_a_full_deal(
    seller: State,
    proof_type: str | None,
    data: dict[str, Any],
    verified: bool | None,  # noqa: FBT001  # a column of the table
) -> None:
    """Catches: GO or verify answered in a way that ends the composed node early."""
    work = {"proof_data": data, **({"proof_type": proof_type} if proof_type else {})}
    state = run(nodes.full_deal_node, {**seller, **work})
    assert state["go_approved"] is True
    if verified is None:  # the package packs a creative_preview and verifies test_results
        assert state["verification_provider"] == "ci_cd"
        verified = True
    assert state["verified"] is verified
    found = wire.types(state["timeline"])
    wire.in_order(found, ["PROOF_READY", "GO_APPROVED", *(["PROOF_VERIFIED"] if verified else [])])
    wire.chain_holds(state["timeline"]["events"])


def test_a_deal_among_several(seller: State, server: Server) -> None:
    """Catches: shares given as numbers read as something else than their text."""
    partner = run(nodes.register_node, {"base_url": server.url, "agent_name": fresh_name("p")})
    state = run(nodes.go_node, run(nodes.proof_pack_node, {**seller, "parent_proof_ids": []}))
    splits = [
        {"agent_id": seller["agent_id"], "role": "maker", "share": 0.7},
        {"agent_id": partner["agent_id"], "role": "helper", "share": 0.3},
    ]
    state = run(
        nodes.settle_multi_node, {**state, "total_amount": state["amount"], "splits": splits}
    )
    body = state["multiparty_settlement"]
    assert body["ok"] is True, body
    assert [row["gross_amount_minor"] for row in body["splits"]] == [6931, 2969]
    assert sum(row["net_amount_minor"] for row in body["splits"]) == body["net_minor"]
    wire.settled_once(server.get(f"/protocol/deals/{state['deal_id']}/timeline"), "99.00")


def test_a_refused_settle_is_an_object_the_graph_can_route_on(seller: State) -> None:
    """Catches: an error that is not a JSON object: the node would raise out of the graph."""
    state = run(nodes.proof_pack_node, seller)
    refused = run(nodes.settle_node, {**state, "amount": 5, "api_key": "a2a_wrong"})["settlement"]
    assert (refused["ok"], refused["error"], refused["status"]) == (False, "key_invalid", 401)
    refused = run(nodes.settle_node, {**state, "amount": -5})["settlement"]
    assert (refused["ok"], refused["status"]) == (False, 422)
