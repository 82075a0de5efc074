"""Mandates, auto-go and the acceptance gate through the published clients (contract §5.1, §5.4).

The SDK asks auto-go without a key: in sandbox that approves, and draws on nobody's reserve.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aigentsy_langgraph import nodes
from aigentsy_mcp.client import AiGentsyClient

from tests.clients.sdk import SyncSdk, fresh_name
from tests.clients.test_langgraph import run
from tests.clients.test_mcp import tools  # noqa: F401  # the tool server, a fixture
from tests.clients.test_sdk import refused
from tests.support import wire
from tests.support.wire import NUMBER, members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.sdk import AsyncSdk
    from tests.clients.test_mcp import Tools
    from tests.support.server import Server

pytestmark = pytest.mark.clients
State = dict[str, Any]


@pytest.fixture
def buyer(server: Server) -> Iterator[SyncSdk]:
    """A registered buyer with the synchronous SDK."""
    with SyncSdk(server.url) as client:
        client.registered("buyer")
        yield client


def mandate_of(buyer: SyncSdk, confidence: float, limit: float = 200) -> dict[str, Any]:
    made = buyer.ok("create_mandate", buyer.agent_id, limit, ["marketing"], confidence)
    found: dict[str, Any] = made["mandate"]
    return found


def timeline(server: Server, deal_id: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/protocol/deals/{deal_id}/timeline")
    return found


# --- mandates ------------------------------------------------------------------------------------


def test_a_mandate_is_made_and_listed(buyer: SyncSdk, sdk: SyncSdk) -> None:
    """Catches: limits read as binary numbers, a list shown to another agent."""
    made = mandate_of(buyer, 0.85, 99.99)
    members(made, mandate_id=str, buyer_id=str, status=str, allowed_verticals=list)
    members(made, confidence_threshold=NUMBER, max_amount_per_deal_usd=NUMBER)
    assert (made["max_amount_per_deal_usd"], made["confidence_threshold"]) == (99.99, 0.85)
    assert made["reserve"] is None
    listed = buyer.ok("list_mandates", buyer.agent_id)["mandates"]
    assert listed == [made]
    sdk.registered("other")
    refused(sdk, 403, "not_owner", "list_mandates", buyer.agent_id)
    refused(sdk, 403, "actor_mismatch", "create_mandate", buyer.agent_id, 5)


@pytest.mark.parametrize("named", [True, False])
def test_auto_go_approves_what_the_mandate_allows(
    either_sdk: SyncSdk | AsyncSdk, buyer: SyncSdk, server: Server, *, named: bool
) -> None:
    """Catches: an approval without its event, one that a settle does not take."""
    mandate = mandate_of(buyer, 0.0)
    seller = either_sdk.registered("seller")
    pack = either_sdk.ok("create_proof_pack", seller)
    asked = (pack["deal_id"], pack["quote_id"], buyer.agent_id)
    mandate_id = mandate["mandate_id"] if named else None
    answer = either_sdk.ok("auto_go", *asked, mandate_id, seller)
    members(answer, decision=str, reasons=list, go_key=str, amount=NUMBER)
    assert (answer["decision"], answer["reasons"]) == ("go_approved", [])
    assert answer["mandate_id"] == mandate["mandate_id"]
    again = either_sdk.ok("auto_go", *asked, mandate_id, seller)
    assert again["_idempotent"] is True
    either_sdk.ok("settle", pack["deal_id"], answer["amount"], seller, buyer.agent_id)
    found = timeline(server, pack["deal_id"])
    wire.settled_once(found, "99.00")
    wire.in_order(wire.types(found), ["PROOF_READY", "AUTO_GO_APPROVED", "SETTLED"])


def test_auto_go_says_what_stands_against_it(
    either_sdk: SyncSdk | AsyncSdk, buyer: SyncSdk, server: Server
) -> None:
    """Catches: a broken limit answered as an error, which the client would raise."""
    mandate_of(buyer, 0.8, 50)
    seller = either_sdk.registered("seller")
    pack = either_sdk.ok("create_proof_pack", seller)
    answer = either_sdk.ok("auto_go", pack["deal_id"], pack["quote_id"], buyer.agent_id)
    assert answer["decision"] == "manual_go_required"
    assert answer["reasons"] == ["price_over_limit", "confidence_too_low"]
    assert wire.types(timeline(server, pack["deal_id"])) == ["PROOF_READY"]
    gone = either_sdk.ok("go", pack["deal_id"], pack["quote_id"], pack["scope_lock_hash"])
    assert gone["_idempotent"] is False


def test_a_graph_goes_by_its_mandate_or_asks(server: Server, buyer: SyncSdk) -> None:
    """Catches: a decision the node does not read as approved, a state it cannot go on from."""
    mandate = mandate_of(buyer, 0.0)
    start = {"base_url": server.url, "agent_name": fresh_name("graph")}
    seller = run(nodes.register_node, start)
    work = {**seller, "agent_username": seller["agent_id"], "buyer_id": buyer.agent_id}
    state = run(nodes.proof_pack_node, work)
    state = run(nodes.auto_go_node, {**state, "mandate_id": "mnd_" + "0" * 32})
    assert (state["auto_go_decision"], state["auto_go_approved"]) == ("manual_go_required", False)
    state = run(nodes.auto_go_node, {**state, "mandate_id": mandate["mandate_id"]})
    assert (state["auto_go_decision"], state["auto_go_approved"]) == ("go_approved", True)
    state = run(nodes.go_node, state)
    assert state["go_approved"] is True
    assert wire.types(timeline(server, state["deal_id"])).count("AUTO_GO_APPROVED") == 1


# --- the acceptance gate -------------------------------------------------------------------------


def test_the_gate_through_the_sdk(sdk: SyncSdk, buyer: SyncSdk, server: Server) -> None:
    """Catches: a settle that passes an open review, a seller who accepts its own work."""
    seller = sdk.registered("seller")
    pack = sdk.approved(seller)
    assert sdk.ok("get_acceptance", pack["deal_id"])["acceptance"] is None
    submitted = sdk.ok("submit_for_acceptance", pack["deal_id"])["acceptance"]
    members(submitted, acceptance_id=str, status=str)
    assert sdk.ok("submit_for_acceptance", pack["deal_id"])["acceptance"] == submitted
    settle = ("settle", pack["deal_id"], pack["approved"], seller, buyer.agent_id)
    refused(sdk, 409, "acceptance_required", *settle)
    refused(sdk, 403, "self_approval", "accept_output", submitted["acceptance_id"])
    accepted = buyer.ok("accept_output", submitted["acceptance_id"], "as agreed", ["size"])
    assert accepted["downstream_triggered"] is True
    assert accepted["acceptance"]["reviewer_id"] == buyer.agent_id
    assert sdk.ok("get_acceptance", pack["deal_id"])["acceptance"] == accepted["acceptance"]
    refused(buyer, 409, "already_decided", "reject_output", submitted["acceptance_id"], "no")
    sdk.ok(*settle)
    found = timeline(server, pack["deal_id"])
    wire.settled_once(found, "99.00")
    wire.in_order(wire.types(found), ["ACCEPTANCE_PENDING", "ACCEPTED", "SETTLED"])
    server.deployment.assert_audit_is_clean()


def test_a_decision_without_a_signing_key(sdk: SyncSdk, buyer: SyncSdk, server: Server) -> None:
    """The SDK's router without a key pair: attribution only, the reason as given."""
    pack = sdk.ok("create_proof_pack", sdk.registered("seller"))
    review = sdk.ok("submit_for_acceptance", pack["deal_id"])["acceptance"]["acceptance_id"]
    asked = (review, pack["deal_id"], buyer.agent_id, "reject")
    answer = buyer.ok("decide_acceptance", *asked, reason="The logo is blurred — 72 dpi")
    assert answer["downstream_triggered"] is False
    told = timeline(server, pack["deal_id"])["events"][-1]
    assert told["event_type"] == "REJECTED"
    assert told["payload"]["reason"] == "The logo is blurred — 72 dpi"


@pytest.mark.parametrize("approved", [True, False])
def test_a_graph_accepts_and_submits_by_itself(
    server: Server, buyer: SyncSdk, *, approved: bool
) -> None:
    """Catches: a review only the seller can open; accepting a quote that approves nothing."""
    start = {"base_url": server.url, "agent_name": fresh_name("graph")}
    seller = run(nodes.register_node, start)
    state = run(nodes.proof_pack_node, {**seller, "agent_username": seller["agent_id"]})
    if approved:
        state = run(nodes.go_node, state)
    review = {**state, "api_key": buyer.key, "agent_id": buyer.agent_id}
    none = run(nodes.accept_node, {**review, "auto_submit": False})
    assert (none["ok"], none["error"]) == (False, "no_pending_acceptance")
    done = run(nodes.accept_node, {**review, "reason": "good"})
    assert done["ok"] is True, done
    assert (done["signing_mode"], done["downstream_triggered"]) == ("attribution_only", True)
    again = run(nodes.reject_node, {**review, "reason": "on second thoughts"})
    assert (again["ok"], again["status_code"]) == (False, 409)
    assert again["detail"]["error"] == "already_decided"
    types = wire.types(timeline(server, state["deal_id"]))
    assert types.count("GO_APPROVED") == 1
    wire.in_order(types, ["ACCEPTANCE_PENDING", "ACCEPTED"])


def test_a_graph_rejects(server: Server, buyer: SyncSdk) -> None:
    start = {"base_url": server.url, "agent_name": fresh_name("graph")}
    seller = run(nodes.register_node, start)
    state = run(nodes.proof_pack_node, {**seller, "agent_username": seller["agent_id"]})
    review = {**state, "api_key": buyer.key, "agent_id": buyer.agent_id}
    own = run(nodes.reject_node, {**state, "reason": "mine"})
    assert own["detail"]["error"] == "self_approval"
    done = run(nodes.reject_node, {**review, "reason": "no"})
    assert (done["ok"], done["downstream_triggered"]) == (True, False)
    assert done["acceptance"]["status"] == "rejected"


def test_the_mcp_tools_accept_and_reject(
    tools: Tools,  # noqa: F811  # the fixture of that module
    buyer: SyncSdk,
    sdk: SyncSdk,
    server: Server,
) -> None:
    """Catches: an answer the tool cannot hand on, a refusal it would show as success."""
    seller = sdk.registered("seller")
    for tool, status in (("aigentsy_accept", "accepted"), ("aigentsy_reject", "rejected")):
        pack = sdk.ok("create_proof_pack", seller)
        call = {"deal_id": pack["deal_id"], "reason": "seen"}
        own = tools(tool, **call, api_key=sdk.key)
        assert (own["ok"], own["status_code"]) == (False, 403), own
        done = tools(tool, **call, api_key=buyer.key)
        assert (done["ok"], done["acceptance"]["status"]) == (True, status), done
        assert done["downstream_triggered"] is (status == "accepted")
    assert wire.types(timeline(server, pack["deal_id"]))[-1] == "REJECTED"


def test_the_small_client_submits_decides_and_asks(
    server: Server, buyer: SyncSdk, sdk: SyncSdk
) -> None:
    """`aigentsy_mcp.client`: a deadline of 0 is none; both decisions by one method."""
    pack = sdk.ok("create_proof_pack", sdk.registered("seller"))
    keys = (sdk.key, buyer.key)
    seller, reviewer = (AiGentsyClient(server.url, api_key=str(key)) for key in keys)
    review = seller.acceptance_submit(pack["deal_id"])["acceptance"]
    assert review["review_deadline"] is None
    done = reviewer.acceptance_decide(review["acceptance_id"], "accept", "fine", ["a"], [])
    assert (done["ok"], done["acceptance"]["status"]) == (True, "accepted")
    assert reviewer.acceptance_status(pack["deal_id"])["acceptance"]["status"] == "accepted"
    with pytest.raises(httpx.HTTPStatusError) as caught:
        reviewer.acceptance_decide(review["acceptance_id"], "reject", "no")
    assert json.loads(caught.value.response.text)["error"] == "already_decided"
