"""Every route against every single scope, in both modes: allowed if and only if its class says so.

A key with one scope alone is sent to each route of the app. Check 4 comes before members, existence
and state, so `scope_missing` is the answer exactly where the class asks for another scope; whatever
else is wrong with the call does not matter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from settlement.core.api_keys import ADMIN, SCOPES
from settlement.edge.http.auth import ACCESS_OPT, Access, AccessClass
from settlement.edge.http.routing import routes_of
from tests.edge.calls import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.edge.world import Agent, World

OPEN = (AccessClass.PUBLIC, AccessClass.WRITE, AccessClass.KEY_IGNORED, AccessClass.SIGNED)

#: What the contract says of what must not open to another's scope; other routes speak for
#: themselves. By the beginning of the path, the longest that fits.
CONTRACT = {
    "POST /protocol/go": "G(go)",
    "POST /protocol/auto-go": "O(go)",
    "POST /protocol/mandates": "K(go)",
    "POST /protocol/verify/provider": "O(verify)",
    "POST /protocol/settle": "K(settle)",
    "POST /protocol/payouts": "K(payout)",
    "GET /protocol/payouts": "K(read)",
    "POST /protocol/payout-destinations": "K(payout)",
    "GET /protocol/payout-destinations": "K(payout)",
    "GET /protocol/agents/{agent_id}/balances": "K(read)",
    "GET /protocol/agents/{agent_id}/revenue-audit": "K(audit)",
    "GET /protocol/deals/{deal_id}/ledger": "K(audit)",
    "GET /protocol/deals/{deal_id}/replay": "K(audit)",
    "GET /protocol/deals/{deal_id}/attribution": "K(audit)",
    "GET /protocol/claims": "K(read)",
    "GET /protocol/econ/feed/premium": "K(feed:premium)",
    "GET /protocol/webhooks": "K(webhooks)",
    "POST /protocol/webhooks": "K(webhooks)",
    "DELETE /protocol/webhooks": "K(webhooks)",
    "POST /protocol/webhooks/provider": "H",
    "GET /protocol/keys": "K(keys)",
    "POST /protocol/keys": "K(keys)",
    "POST /protocol/keys/validate": "P",
}


def may_call(access: Access, scope: str, *, sandbox: bool) -> bool:
    """Contract §0.2 and spec §12.2, said once more and independently of the code."""
    if access.letter in OPEN or scope == ADMIN:
        return True
    if access.letter is AccessClass.ADMIN:
        return False
    if sandbox and access.letter in (AccessClass.OPEN, AccessClass.GO):
        return True
    return scope == access.scope


def routes(live: World) -> Iterator[tuple[str, str, Access]]:
    for method, path, handler in routes_of(live.app):
        if path not in PAGES:
            yield method, path, handler.opt[ACCESS_OPT]


def one_scope_each(live: World) -> dict[str, Agent]:
    return {scope: live.key_with([scope], f"only {scope}") for scope in SCOPES}


@pytest.mark.parametrize("mode", ["sandbox", "live"])
def test_every_route_opens_to_its_own_scope_only(mode: str, request: pytest.FixtureRequest) -> None:
    """Catches a check that is skipped in one of the modes, a scope that opens more than itself, a
    route that is served without its class being looked at."""
    live: World = request.getfixturevalue("quiet" if mode == "sandbox" else "live_mode")
    holders = one_scope_each(live)
    wrong, checked = list[str](), 0
    for method, path, access in routes(live):
        address = re.sub(r"\{[^}]*\}", "x", path)
        body: dict[str, object] | None = {} if method in ("POST", "DELETE") else None
        for scope, holder in holders.items():
            answer = live.call(method, address, body, who=holder)
            refused = answer.status_code == 403 and answer.json()["error"] == "scope_missing"
            if refused == may_call(access, scope, sandbox=mode == "sandbox"):
                wrong.append(f"{method} {path} ({access}), {scope}: {answer.status_code}")
            assert answer.status_code < 500 or path == "/ready", f"{method} {path}: {answer.text}"
            checked += 1
    assert wrong == []
    assert checked == len(SCOPES) * len(list(routes(live)))


def test_routes_have_the_class_that_the_contract_gives_them(quiet: World) -> None:
    """Catches a route declared with another's scope, or opened."""
    met = set[str]()
    for method, path, access in routes(quiet):
        name = f"{method} {path}"
        fitting = [start for start in CONTRACT if name == start or name.startswith(f"{start}/")]
        if fitting:
            start = max(fitting, key=len)
            met.add(start)
            assert str(access) == CONTRACT[start], name
    assert met == CONTRACT.keys()


def test_every_scope_of_a_route_is_one_that_keys_can_have(quiet: World) -> None:
    """Catches a route behind a scope nobody can be given."""
    for method, path, access in routes(quiet):
        assert access.scope is None or access.scope in SCOPES, f"{method} {path}"
