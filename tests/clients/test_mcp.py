"""aigentsy-mcp: its tools over the real protocol, and the small HTTP client beneath them.

The tool server is a process that talks MCP on its standard streams, as an agent's host runs it,
with `AME_BASE` in its environment before it is imported.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aigentsy_mcp.client import AiGentsyClient
from aigentsy_verify import verify_bundle
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import McpError
from mcp.types import TextContent, TextResourceContents
from pydantic import AnyUrl

from tests.clients.sdk import fresh_name
from tests.support import wire
from tests.support.wire import NUMBER, members

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

    from tests.support.server import Server

pytestmark = pytest.mark.clients
TOOLS = {
    "aigentsy_register",
    "aigentsy_proof_pack",
    "aigentsy_settle",
    "aigentsy_verify",
    "aigentsy_export",
    "aigentsy_proof_chain",
    "aigentsy_settle_multi",
    "aigentsy_attestation",
    "aigentsy_fee_tiers",
    "aigentsy_create_webhook",
    "aigentsy_accept",
    "aigentsy_reject",
    "aigentsy_inference_evaluate",
    "aigentsy_settlement_signal",
    "aigentsy_gate",
}


class Tools:
    """The tool server, driven from a test that is not asynchronous."""

    def __init__(self, portal: BlockingPortal, session: ClientSession) -> None:
        self._portal = portal
        self._session = session

    def names(self) -> set[str]:
        return {tool.name for tool in self._portal.call(self._session.list_tools).tools}

    def text(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """What a tool said, and whether it is an error."""
        result = self._portal.call(self._session.call_tool, tool, arguments)
        first = result.content[0]
        assert isinstance(first, TextContent)
        return first.text, bool(result.isError)

    def __call__(self, tool: str, **arguments: Any) -> Any:
        said, failed = self.text(tool, arguments)
        assert not failed, said
        return json.loads(said)

    def read(self, uri: str) -> str:
        found = self._portal.call(self._session.read_resource, AnyUrl(uri)).contents[0]
        assert isinstance(found, TextResourceContents)
        return found.text


@asynccontextmanager
async def _session(base: str, errors: Path) -> AsyncIterator[ClientSession]:
    program = StdioServerParameters(
        command=sys.executable,
        args=["-m", "aigentsy_mcp"],
        env={**os.environ, "AME_BASE": base},
    )
    with errors.open("w") as log:
        async with (
            stdio_client(program, errlog=log) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            yield session


@pytest.fixture(scope="module")
def tools(
    server: Server, portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tools]:
    errors = tmp_path_factory.mktemp("mcp") / "stderr.log"
    with portal.wrap_async_context_manager(_session(server.url, errors)) as session:
        yield Tools(portal, session)


def test_every_tool_is_announced(tools: Tools) -> None:
    """Catches: a run against another server than the one we know."""
    assert tools.names() == TOOLS


def test_the_tools_of_a_deal(tools: Tools, server: Server) -> None:
    """Catches: a GET that fails because a key came with it; a member a tool hands on as null."""
    agent = tools("aigentsy_register", agent_name=fresh_name("mcp"), capabilities="design,code")
    members(agent, agent_id=str, api_key=str, tier=str, ocs=NUMBER, protocol_fee=str)
    members(agent, escrow_requirement=NUMBER)
    pack = tools(
        "aigentsy_proof_pack",
        agent_username=agent["agent_id"],
        scope_summary="three drafts",
        api_key=agent["api_key"],
    )
    members(pack, deal_id=str, proof_hash=str, estimated_price=NUMBER, scope_lock_hash=str)
    found = tools("aigentsy_verify", deal_id=pack["deal_id"])
    members(found, chain_hash=str, proof_count=int, event_count=int, merkle_root=str)
    assert found["chain_integrity"] is True
    bundle = tools("aigentsy_export", deal_id=pack["deal_id"])
    key = server.get("/protocol/merkle/public-key")["public_key_base64"]
    verdict = verify_bundle(bundle, public_key_base64=key)
    assert (verdict["verified"], verdict["verification_level"]) == (True, "full")
    splits = [{"agent_id": agent["agent_id"], "role": "maker", "share": 1}]
    body = tools(
        "aigentsy_settle_multi",
        deal_id=pack["deal_id"],
        total_amount=50,
        splits_json=json.dumps(splits),
        api_key=agent["api_key"],
    )
    assert body["ok"] is True
    wire.splits_sum(body)
    assert "SETTLED" in body["events_emitted"]
    wire.settled_once(server.get(f"/protocol/deals/{pack['deal_id']}/timeline"), "50.00")
    tiers = tools("aigentsy_fee_tiers")
    assert [row["tier"] for row in tiers["tiers"]] == ["Starter", "Growth", "Scale", "Enterprise"]
    server.deployment.assert_audit_is_clean()


def test_the_settle_tool_fails_before_any_request(tools: Tools, server: Server) -> None:
    """Defect 2: it passes four positional arguments to a method of three. No server can help."""
    agent = tools("aigentsy_register", agent_name=fresh_name("mcp"))
    pack = tools(
        "aigentsy_proof_pack",
        agent_username=agent["agent_id"],
        scope_summary="work",
        api_key=agent["api_key"],
    )
    arguments = {
        "deal_id": pack["deal_id"],
        "amount": 10,
        "actor_id": agent["agent_id"],
        "counterparty_id": "buyer",
        "api_key": agent["api_key"],
    }
    said, failed = tools.text("aigentsy_settle", arguments)
    assert failed
    assert "proof_hash" in said or "positional" in said
    assert server.get(f"/protocol/deals/{pack['deal_id']}/timeline")["ledger"] == []


def test_one_resource_reads_a_file_that_is_not_shipped(tools: Tools) -> None:
    """Defect 3: the agent system prompt is missing in the wheel; the other resources are local."""
    with pytest.raises(McpError):
        tools.read("aigentsy://protocol/agent-system-prompt")
    for name in ("info", "vocabulary", "settlement-signals"):
        assert json.loads(tools.read(f"aigentsy://protocol/{name}"))


def test_the_http_client_settles_in_its_own_shape(server: Server) -> None:
    """Catches: a server that knows only the SDK's shape of settle (`amount`, `actor_id`)."""
    client = AiGentsyClient(server.url)
    agent = client.register(fresh_name("mcp"), ["design"])
    assert agent["ok"] is True
    pack = client.create_proof_pack(agent["agent_id"], scope_summary="work", proof_data=None)
    deal = pack["deal_id"]
    body = client.settle(deal, 100, agent["agent_id"])
    assert body["ok"] is True
    members(body, gross=NUMBER, net=NUMBER, protocol_fee=NUMBER, platform_fee=NUMBER)
    assert "SETTLED" in body["events_emitted"]
    wire.money(body, "net", 9692)
    assert client.settle(deal, 100, agent["agent_id"])["_idempotent"] is True
    wire.settled_once(server.get(f"/protocol/deals/{deal}/timeline"), "100.00")
    found = client.verify_proof_bundle(deal)
    assert (found["verified"], found["chain_integrity"]) == (True, True)
    assert len(client.get_proof_bundle(deal)["events"]) == found["event_count"]
    assert client.get_fee_tiers()["ok"] is True


def test_both_shapes_of_settle_are_one_call(server: Server) -> None:
    """Catches: a second settlement because the same terms came in other members."""
    client = AiGentsyClient(server.url)
    agent = client.register(fresh_name("mcp"))["agent_id"]
    deal = client.create_proof_pack(agent, scope_summary="work")["deal_id"]
    first = client.settle(deal, 100, agent)
    shape_a = {"deal_id": deal, "amount": 100, "actor_id": agent, "counterparty_id": "buyer"}
    again = client._post("/protocol/settle", shape_a)
    assert again["_idempotent"] is True
    assert wire.without_replay_members(again) == wire.without_replay_members(first)


def test_a_bad_key_is_refused_on_open_pages_and_any_good_one_changes_nothing(
    server: Server,
) -> None:
    """Catches: a revoked or mistyped key that silently becomes `anonymous`."""
    owner = AiGentsyClient(server.url)
    agent = owner.register(fresh_name("mcp"))["agent_id"]
    deal = owner.create_proof_pack(agent, scope_summary="work")["deal_id"]
    other = AiGentsyClient(server.url)
    other.register(fresh_name("mcp"))
    assert other.verify_proof_bundle(deal)["verified"] is True
    bad = AiGentsyClient(server.url, api_key=f"{owner._api_key[:-1]}_")
    for call in (bad.get_fee_tiers, lambda: bad.verify_proof_bundle(deal)):
        with pytest.raises(httpx.HTTPStatusError) as caught:
            call()
        answer = caught.value.response
        assert (answer.status_code, answer.json()["error"]) == (401, "key_invalid")
