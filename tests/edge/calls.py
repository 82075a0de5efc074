"""One valid call of every route: what the matrices spoil in one way at a time.

Guarantees: a test compares this list with the router, so a new route needs its call here.
Does not: say what a spoilt call is answered; the tests do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.edge.world import MANDATE

if TYPE_CHECKING:
    from tests.edge.world import World

#: The framework's own pages, and what they load.
PAGES = frozenset(
    {
        "/docs",
        "/docs/openapi.json",
        "/docs/oauth2-redirect.html",
        "/docs/static/{name}",
        "/docs/{path}",
        "/metrics",
    }
)

#: Deals of their own for calls that change one: in a path they stand where `{deal_id}` does.
DEALS = ("{refunded}", "{cancelled}", "{disputed}")

#: Routes whose callers sign the body instead of showing a key: `test_provider_webhooks.py`.
SIGNED = frozenset({("POST", "/protocol/webhooks/provider/{rail}")})


@dataclass(frozen=True)
class Call:
    """A route, its path filled in, a body, and who may send it."""

    method: str
    route: str
    path: str
    body: dict[str, Any] | None = None
    who: str | None = None
    #: the body members that name who acts: another agent's there is `actor_mismatch`.
    actor: str | None = None
    amounts: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.method} {self.route}"

    @property
    def url(self) -> str:
        tail = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.path}?{tail}" if tail else self.path


def get(route: str, who: str | None = None, query: dict[str, str] | None = None) -> Call:
    return Call("GET", route, route, who=who, query=query or {})


def calls(live: World) -> list[Call]:
    """Every route's call, filled in with what lives in this world."""
    deal = live.deals["settled"]["deal_id"]
    seller = live.agents["seller"].agent_id
    key = live.deals["approved"]["go_key"]
    filled = {
        "{deal_id}": deal,
        **{name: live.deals[name[1:-1]]["deal_id"] for name in DEALS},
        "{agent_id}": seller,
        "{owner_id}": live.agents["owner"].agent_id,
        "{payout_id}": live.deals["paid"]["payout_id"],
        "{destination_id}": live.deals["destination"]["destination_id"],
        "{buyer_id}": live.agents["buyer"].agent_id,
        "{mandate_id}": live.deals["mandate"]["mandate_id"],
        "{hook_id}": live.deals["hook"]["hook_id"],
        "{key}": key,
        "{key_id}": live.deals["key"]["key_id"],
        "{size}": str(live.ok("GET", "/protocol/merkle/latest")["tree_size"]),
        "{index}": "0",
        "{code}": "rate_limited",
    }
    filled["{intent_id}"] = live.deals["awarded"]["intent_id"]
    listed = [*_reads(), *_writes(live), *_money(live), *_mandates(live)]
    listed += [*_acceptance(live), *_webhooks(), *_keys(live), *_intents(live)]
    listed += _back()
    return [_fill(call, filled) for call in listed]


def _fill(call: Call, filled: dict[str, str]) -> Call:
    path, route = call.path, call.route
    for name, value in filled.items():
        path = path.replace(name, value)
    for name in DEALS:
        route = route.replace(name, "{deal_id}")
    members = {f.name: getattr(call, f.name) for f in call.__dataclass_fields__.values()}
    return Call(**{**members, "path": path, "route": route})


def _reads() -> list[Call]:
    log = "/protocol/merkle"
    return [
        get("/"),
        get("/problems/{code}"),
        get("/health"),
        get("/ready"),
        get("/protocol/info"),
        get("/protocol/reputation/{agent_id}"),
        get("/protocol/agents/{agent_id}/balances", "seller"),
        get("/proof/{deal_id}"),
        get("/proof/{deal_id}/verify"),
        get("/proof/{deal_id}/badge"),
        get("/protocol/proofs/{deal_id}/export"),
        get("/protocol/verify/providers"),
        get("/protocol/verify/{deal_id}/receipt"),
        get("/protocol/fee-estimate", query={"amount": "100"}),
        get("/protocol/fee-tiers"),
        get("/protocol/fee-tiers/{agent_id}"),
        get("/protocol/econ/feed"),
        get("/protocol/econ/feed/premium", "seller"),
        get("/protocol/intelligence/feed"),
        get("/protocol/intelligence/premium", "seller"),
        get("/protocol/deals/{deal_id}/timeline"),
        get("/protocol/deals/{deal_id}/splits"),
        get("/protocol/deals/{deal_id}/attribution", "seller"),
        get("/protocol/deals/{deal_id}/ledger", "seller"),
        get("/protocol/deals/{deal_id}/replay", "seller"),
        get("/protocol/agents/{agent_id}/revenue-audit", "seller"),
        get(f"{log}/public-key"),
        get(f"{log}/keys"),
        get(f"{log}/latest"),
        get(f"{log}/sth/{{size}}"),
        get(f"{log}/inclusion", query={"leaf_index": "0"}),
        get(f"{log}/consistency", query={"first": "1"}),
        get(f"{log}/entries", query={"start": "0", "end": "3"}),
        get(f"{log}/leaf/{{index}}"),
        get(f"{log}/stats"),
        get(f"{log}/deal/{{deal_id}}/proof"),
        get(f"{log}/anchors"),
        get(f"{log}/anchors/latest"),
        get("/protocol/idempotency/stats"),
        get("/protocol/idempotency/{key}"),
        get("/protocol/claims/{key}", "seller"),
        get("/protocol/payout-destinations/{owner_id}", "owner"),
        get("/protocol/payouts/{payout_id}", "seller"),
        get("/protocol/payouts", "seller"),
        get("/pay/{deal_id}"),
    ]


def _post(route: str, body: dict[str, Any], **members: Any) -> Call:
    return Call("POST", route, route, body=body, **members)


def _writes(live: World) -> list[Call]:
    deal, pack = live.deals["settled"]["deal_id"], live.deals["proof"]
    seller = live.agents["seller"].agent_id
    return [
        _post("/protocol/register", {"name": "someone"}, required=("name",)),
        _post("/protocol/stamp", {"agent_id": seller}, actor="agent_id", required=("agent_id",)),
        _post(
            "/protocol/proof-pack",
            {"agent_username": seller, "proof_type": "creative_preview", "price": 10},
            actor="agent_username",
            amounts=("price", "estimated_price"),
            required=("agent_username",),
        ),
        _post(
            "/protocol/proofs/verify-bundle",
            {"bundle": {"deal_id": deal}},
        ),
        _post(
            "/protocol/go",
            {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")},
            actor="actor_id",
            amounts=("amount",),
            required=("deal_id", "quote_id", "scope_lock_hash"),
        ),
        _post(
            "/protocol/verify/provider",
            {
                "deal_id": pack["deal_id"],
                "proof_hash": pack["proof_hash"],
                "proof_type": "creative_preview",
                "proof_data": {"preview_url": "https://example.org/x"},
            },
            required=("deal_id", "proof_type"),
        ),
    ]


def _money(live: World) -> list[Call]:
    deal = live.deals["settled"]["deal_id"]
    seller, buyer, owner = (live.agents[name].agent_id for name in ("seller", "buyer", "owner"))
    return [
        _post(
            "/protocol/settle",
            {"deal_id": deal, "counterparty_id": buyer},
            who="seller",
            actor="actor_id",
            amounts=("amount", "amount_usd"),
            required=("deal_id",),
        ),
        _post(
            "/protocol/settle/multi",
            {"deal_id": deal, "splits": [{"agent_id": seller, "role": "seller", "share": 1}]},
            who="seller",
            actor="actor_id",
            amounts=("total_amount_usd",),
            required=("deal_id", "splits"),
        ),
        _post(
            "/protocol/payout-destinations",
            {"owner_id": owner, "rail": "ACH", "address": "12345678"},
            who="owner",
            actor="owner_id",
            required=("rail", "address"),
        ),
        _post("/protocol/payout-destinations/{destination_id}/verify", {}, who="owner"),
        _post("/protocol/payout-destinations/{destination_id}/pause", {}, who="owner"),
        _post(
            "/protocol/payouts",
            {"deal_id": deal},
            who="seller",
            actor="agent_id",
            required=("deal_id",),
        ),
    ]


#: Calls that may be repeated need a key.
KEY = {"Idempotency-Key": "calls-1"}


def _back() -> list[Call]:
    return [
        _post(
            "/protocol/topups",
            {"amount": 25},
            who="buyer",
            amounts=("amount",),
            required=("amount",),
            headers=KEY,
        ),
        _post(
            "/protocol/deals/{refunded}/refund",
            {"amount": 1, "reason": "late"},
            who="seller",
            amounts=("amount",),
            headers=KEY,
        ),
        get("/protocol/deals/{refunded}/refunds", "seller"),
        _post("/protocol/deals/{cancelled}/cancel", {"reason": "no need"}, who="seller"),
        _post(
            "/protocol/disputes/{disputed}/open",
            {"reason": "not as agreed"},
            who="buyer",
            actor="claimant_id",
        ),
        get("/protocol/disputes/{disputed}"),
        _post(
            "/protocol/disputes/{disputed}/resolve",
            {"seller_ppm": 500_000, "reason": "half each"},
            who="operator",
            required=("seller_ppm",),
        ),
    ]


def _mandates(live: World) -> list[Call]:
    pack = live.deals["auto"]
    buyer = live.agents["buyer"].agent_id
    return [
        _post(
            "/protocol/mandates",
            {"buyer_id": buyer, **MANDATE},
            who="buyer",
            actor="buyer_id",
            amounts=("max_amount_per_deal_usd", "reserve"),
            required=("max_amount_per_deal_usd", "allowed_verticals", "confidence_threshold"),
        ),
        get("/protocol/mandates/{buyer_id}", "buyer"),
        _post("/protocol/mandates/{mandate_id}/revoke", {}, who="buyer"),
        _post(
            "/protocol/auto-go",
            {**{name: pack[name] for name in ("deal_id", "quote_id")}, "buyer_id": buyer},
            required=("deal_id", "quote_id"),
        ),
    ]


def _acceptance(live: World) -> list[Call]:
    route = "/protocol/acceptance/{acceptance_id}"

    def decide(deal: str, verb: str) -> Call:
        path = route.replace("{acceptance_id}", live.deals[deal]["acceptance_id"])
        return Call("POST", f"{route}/{verb}", f"{path}/{verb}", body={}, who="buyer")

    return [
        _post(
            "/protocol/acceptance/submit",
            {"deal_id": live.deals["reviewed"]["deal_id"]},
            who="seller",
            required=("deal_id",),
        ),
        get("/protocol/acceptance/deal/{deal_id}"),
        decide("reviewed", "accept"),
        decide("rejected", "reject"),
    ]


def _webhooks() -> list[Call]:
    one = "/protocol/webhooks/{hook_id}"
    wish = {"url": "http://127.0.0.1:9/hook", "events": ["mandate.created"]}
    return [
        _post("/protocol/webhooks", wish, who="owner", required=("url",)),
        get("/protocol/webhooks", "owner"),
        _post(f"{one}/test", {}, who="owner"),
        get(f"{one}/deliveries", "owner"),
        _post(f"{one}/rotate", {}, who="owner"),
        _post(f"{one}/replay", {}, who="owner"),
        get("/protocol/webhook-dashboard", "owner"),
        get("/protocol/webhook-dashboard/{hook_id}", "owner"),
        _post("/protocol/webhook-dashboard/{hook_id}/retry", {}, who="owner"),
        Call("DELETE", one, one, body={}, who="owner"),
    ]


def _intents(live: World) -> list[Call]:
    one = "/protocol/intents/{intent_id}"
    wish = {"client_id": live.agents["buyer"].agent_id, "capability": "x", "budget_usd": 100}
    return [
        _post(
            "/protocol/intents",
            wish,
            actor="client_id",
            amounts=("budget_usd",),
            required=("capability", "budget_usd"),
        ),
        get(one),
        _post(f"{one}/close", {}, who="buyer"),
        get(f"{one}/reveal", "buyer"),
        Call(
            "POST",
            f"{one}/bids",
            f"/protocol/intents/{live.deals['wanted']['intent_id']}/bids",
            {"agent_id": live.agents["seller"].agent_id, "price_usd": 10, "delivery_hours": 5},
            who="seller",
            actor="agent_id",
            amounts=("price_usd",),
            required=("price_usd", "delivery_hours"),
        ),
    ]


def _keys(live: World) -> list[Call]:
    one = "/protocol/keys/{key_id}"
    return [
        _post("/protocol/keys", {"name": "another", "scopes": ["read"]}, who="keeper"),
        get("/protocol/keys", "keeper"),
        _post("/protocol/keys/validate", {"api_key": live.agents["keeper"].key}),
        _post(f"{one}/rotate", {"grace_seconds": 60}, who="keeper"),
        _post(f"{one}/revoke", {"reason": "left a test"}, who="keeper"),
    ]
