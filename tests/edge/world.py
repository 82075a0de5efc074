"""A served world for the edge's tests: the app in process on a real database, and who lives there.

Guarantees: two sellers and a buyer with keys, a key without scopes, and deals at every stage; after
`quiet` nothing runs by itself, so row counts move only when a request moves them.
Does not: listen on a port.
"""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from litestar.testing import TestClient

from settlement.core.principal import ANONYMOUS
from settlement.core.writeset import WriteSet
from settlement.edge.http.app import create_app
from settlement.service.register import Profile, new_registration
from tests.support.house import NOW, house

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx
    from litestar import Litestar

    from settlement.wiring import Services

#: Counted like every call, but met by none: a suite is a flood from one address.
WIDE = "all=1000000/100000"
MANDATE = {
    "max_amount_per_deal_usd": 100,
    "allowed_verticals": ["marketing"],
    "confidence_threshold": 0.8,
}
PROOF = {"preview_url": "https://example.org/preview"}


@dataclass
class Agent:
    """An agent and its key."""

    agent_id: str
    key: str
    name: str

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.key}


@dataclass
class World:
    """The app, its services, a client, and the inhabitants."""

    services: Services
    app: Litestar
    client: TestClient[Litestar]
    url: str
    agents: dict[str, Agent] = field(default_factory=dict)
    deals: dict[str, dict[str, Any]] = field(default_factory=dict)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        who: str | Agent | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | str | None = None,
    ) -> httpx.Response:
        """Send one request, as an inhabitant or as nobody."""
        sent = dict(headers or {})
        if who is not None:
            agent = who if isinstance(who, Agent) else self.agents[who]
            sent.update(agent.headers)
        if content is None and body is not None:
            content = json.dumps(body)
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        return self.client.request(method, path, content=content, headers=sent)

    def ok(self, method: str, path: str, body: object = None, **kwargs: Any) -> dict[str, Any]:
        """As `call`, expecting 200."""
        response = self.call(method, path, body, **kwargs)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        assert found["ok"] is True
        return found

    # --- inhabitants -----------------------------------------------------------------------------

    def register(self, name: str) -> Agent:
        """Register an agent over HTTP."""
        made = self.ok("POST", "/protocol/register", {"name": name})
        agent = self.agents[name] = Agent(made["agent_id"], made["api_key"], name)
        return agent

    def key_with(self, scopes: list[str], name: str, **changes: Any) -> Agent:
        """An agent whose only key has just these scopes, written as an operator's tool would."""
        made = new_registration(ANONYMOUS, Profile(name=name), now=NOW)
        operation = made.operation
        key = replace(operation.key, scopes=json.dumps(scopes), **changes)
        writes = WriteSet(agents=[operation.agent], api_keys=[key])
        self.services.db.transaction(lambda tx: tx.write(writes))
        agent = self.agents[name] = Agent(operation.agent.agent_id, made.api_key, name)
        return agent

    # --- deals -----------------------------------------------------------------------------------

    def proof(self, seller: str = "seller", **members: Any) -> dict[str, Any]:
        """A deal with a proof pack, made by the seller's key."""
        body = {
            "agent_username": self.agents[seller].agent_id,
            "proof_type": "creative_preview",
            "proof_data": PROOF,
            **members,
        }
        return self.ok("POST", "/protocol/proof-pack", body, who=seller)

    def go(self, pack: Mapping[str, Any], who: str | None = "buyer") -> dict[str, Any]:
        """Approve a pack."""
        body = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
        return self.ok("POST", "/protocol/go", body, who=who)

    def settled(self, seller: str = "seller") -> dict[str, Any]:
        """A deal that went all the way to a settlement."""
        pack = self.proof(seller)
        self.go(pack)
        self.ok("POST", "/protocol/settle", {"deal_id": pack["deal_id"]}, who=seller)
        return pack

    def reviewed(self, **members: Any) -> dict[str, Any]:
        """A deal under review, with its `acceptance_id`."""
        pack = self.proof(**members)
        body = {"deal_id": pack["deal_id"]}
        made = self.ok("POST", "/protocol/acceptance/submit", body, who="seller")
        return {**pack, "acceptance_id": made["acceptance"]["acceptance_id"]}

    def quiet(self) -> None:
        """Let the loops finish, then stop them: from here on only requests write."""
        self.services.worker.stop()
        self.services._loops_run = False
        while self.services.effects.step() or self.services.outbox.step():
            pass
        while self.services.sequencer.run_once():
            pass
        self.services.sequencer.sign()


@contextmanager
def world(directory: Path, database: str, **settings: str) -> Iterator[World]:
    """A running world, where nobody meets a limit unless the settings say so."""
    with ExitStack() as stack:
        settings = {"SETTLEMENT_RATE_LIMITS": WIDE, **settings}
        services = stack.enter_context(house(directory, database, None, **settings))
        services.start()
        app = create_app(services)
        client = stack.enter_context(TestClient(app, raise_server_exceptions=False))
        yield World(services=services, app=app, client=client, url=database)


def settle_in(live: World) -> None:
    """People the world with what the matrices need."""
    for name in ("seller", "buyer", "stranger"):
        live.register(name)
    live.key_with([], "scopeless")
    live.key_with(["admin"], "operator")
    live.deals["proof"] = live.proof()
    approved = live.deals["approved"] = live.proof()
    approved["go_key"] = live.go(approved)["go_key"]
    live.deals["settled"] = live.settled()
    live.deals["refunded"] = live.settled()
    live.deals["disputed"] = live.settled()
    live.deals["cancelled"] = live.proof()
    paid = live.deals["paid"] = live.settled()
    made = live.ok("POST", "/protocol/payouts", {"deal_id": paid["deal_id"]}, who="seller")
    paid["payout_id"] = made["payout"]["payout_id"]
    for name in ("reviewed", "rejected"):
        live.deals[name] = live.reviewed()
    wish = {"capability": "marketing", "budget_usd": 100}
    live.deals["wanted"] = live.ok("POST", "/protocol/intents", wish)
    awarded = live.deals["awarded"] = live.ok("POST", "/protocol/intents", wish, who="buyer")
    one = f"/protocol/intents/{awarded['intent_id']}"
    offer = {"price_usd": 40, "delivery_hours": 5}
    live.ok("POST", f"{one}/bids", offer, who="seller")
    live.ok("POST", f"{one}/close", {}, who="buyer")
    live.deals["auto"] = live.proof()
    live.deals["mandate"] = live.ok("POST", "/protocol/mandates", MANDATE, who="buyer")
    # Its own agent: a destination this server cannot pay would make the seller's payouts wait.
    live.register("owner")
    body = {"rail": "ACH", "address": "12345678"}
    live.deals["destination"] = live.ok("POST", "/protocol/payout-destinations", body, who="owner")
    # Nobody listens there, and the one event it asks for never happens here.
    hook = {"url": "http://127.0.0.1:9/hook", "events": ["mandate.created"]}
    live.deals["hook"] = live.ok("POST", "/protocol/webhooks", hook, who="owner")
    # Its own agent: its second key is rotated and revoked in passing.
    live.register("keeper")
    live.deals["key"] = live.ok("POST", "/protocol/keys", {"name": "second"}, who="keeper")


def unknown_key() -> str:
    """A key of the right form that nobody has."""
    from settlement.core.keys import format_key

    return format_key(secrets.token_hex(8), secrets.token_bytes(32))
