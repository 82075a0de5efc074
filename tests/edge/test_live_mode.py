"""Live mode's rights route by route, with the simulated rail for staging (contract §0, §8.7)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from settlement.edge.http.auth import ACCESS_OPT, AccessClass
from settlement.edge.http.routing import routes_of
from settlement.signing import create_key_file
from tests.edge.calls import PAGES
from tests.edge.test_transport import problem
from tests.edge.world import World, world
from tests.support.notes import until
from tests.support.postgres import fresh_database
from tests.support.rows import count_rows, read_rows
from tests.support.signed import SETTINGS, SIMULATED_PATH, charge, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

LIVE = {"SETTLEMENT_MODE": "live", **SETTINGS}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def staging(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Live mode on the simulated rail, running, on each database."""
    directory = tmp_path_factory.mktemp(f"live-{request.param}")
    create_key_file(directory / "keys" / "log_signing.key")
    if request.param == "sqlite":
        with world(directory, f"sqlite:///{directory / 'settlement.db'}", **LIVE) as served:
            yield peopled(served)
        return
    server = request.getfixturevalue("postgres_server")
    with fresh_database(server, label="live") as url, world(directory, url, **LIVE) as served:
        yield peopled(served)


def peopled(served: World) -> World:
    for name in ("seller", "buyer"):
        served.register(name)
    served.key_with(["read"], "reader")
    return served


def routes(live: World, *letters: AccessClass) -> list[tuple[str, str, str | None]]:
    """Method, path with its parameters filled in, and scope, of every route of those classes."""
    found = []
    for method, path, handler in routes_of(live.app):
        access = handler.opt.get(ACCESS_OPT)
        if path not in PAGES and access is not None and access.letter in letters:
            found.append((method, re.sub(r"\{[^}]*\}", "deal_x", path), access.scope))
    return found


def paid(live: World, deal_id: str, ref: str) -> None:
    """The simulated rail says that the buyer has paid."""
    message = signed(f"msg_{ref}", charge(deal_id, ref, 9_900))
    answer = live.call("POST", SIMULATED_PATH, content=message.body, headers=message.headers)
    assert answer.status_code == 200, answer.text


def said_and_done(live: World) -> dict[str, int]:
    """Rows that only requests make; the loops go on with theirs."""
    made = ("agent", "api_key", "deal", "party", "proof", "event", "claim", "transfer", "hook")
    found = count_rows(live.url)
    return {name: found[name] for name in (*made, "destination", "payout", "intent", "bid")}


def test_every_open_route_needs_a_key_with_its_scope(staging: World) -> None:
    """Broken build: one route forgets its class, and strangers may write in live mode."""
    open_routes = routes(staging, AccessClass.OPEN)
    assert len(open_routes) >= 1
    before = said_and_done(staging)
    for method, path, scope in [*open_routes, *routes(staging, AccessClass.KEYED)]:
        problem(staging.call(method, path, {}), 401, "key_required")
        if scope != "read":
            refused = staging.call(method, path, {}, who="reader")
            assert problem(refused, 403, "scope_missing")["scope"] == scope
    assert said_and_done(staging) == before


def test_what_is_public_and_what_anybody_may_write_stays_open(staging: World) -> None:
    for method, path, _ in routes(staging, AccessClass.PUBLIC, AccessClass.WRITE):
        answer = staging.call(method, path, {"api_key": "of nobody"})  # one route asks about a key
        assert answer.status_code not in (401, 403), f"{method} {path}"


@pytest.mark.parametrize("spoilt", ["quote_id", "scope_lock_hash"])
def test_go_without_a_key_needs_both_halves_of_the_quote(staging: World, spoilt: str) -> None:
    """Broken build: one half suffices, and scope_lock_hash is public."""
    pack = staging.proof()
    right = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
    digits = "quote_" + "0" * 32 if spoilt == "quote_id" else "0" * 32
    refused = staging.call("POST", "/protocol/go", {**right, spoilt: digits})
    assert refused.status_code == 409
    missing = {name: right[name] for name in right if name != spoilt}
    assert staging.call("POST", "/protocol/go", missing).status_code == 422
    problem(staging.call("POST", "/protocol/go", right, who="reader"), 403, "scope_missing")
    assert staging.ok("POST", "/protocol/go", right)["status"] == "go_approved"


def test_a_settle_needs_approval_then_money_and_then_the_same_call_succeeds(
    staging: World,
) -> None:
    """On the simulated rail, which in sandbox would do both by itself. Broken build: staging is a
    sandbox with keys, and what passes there fails in production."""
    pack = staging.proof()
    body = {"deal_id": pack["deal_id"]}

    def settle() -> Any:
        return staging.call("POST", "/protocol/settle", body, who="seller")

    problem(settle(), 409, "go_required")
    staging.go(pack)
    refused = problem(settle(), 409, "payment_not_authorized")
    assert (refused["retry"], refused["waiting_for"]) == ("later", "payment")
    assert refused["payment_url"].endswith(f"/pay/{pack['deal_id']}")
    page = staging.call("GET", f"/pay/{pack['deal_id']}")
    assert "moves no money" in page.text
    assert "sandbox" not in page.text
    paid(staging, pack["deal_id"], f"ch_{pack['deal_id'][-12:]}")
    booked = f"SELECT 1 FROM transfer WHERE kind = 'charge' AND deal_id = '{pack['deal_id']}'"
    until(lambda: len(read_rows(staging.url, booked)) == 1, 60)
    settled = settle().json()
    assert (settled["_idempotent"], settled["gross_minor"]) == (False, 9_900)


def test_a_balance_nobody_has_filled_pays_nothing(staging: World) -> None:
    """In sandbox `provider: balance` settles without a balance, because no client can fill one."""
    pack = staging.proof()
    staging.go(pack)
    body = {"deal_id": pack["deal_id"], "provider": "balance"}
    refused = staging.call("POST", "/protocol/settle", body, who="seller")
    problem(refused, 409, "payment_not_authorized")


def test_a_stamp_is_not_settled_by_its_payee_alone(staging: World) -> None:
    """The sandbox's stamp, settle. Broken build: a seller collects on its own word."""
    seller = staging.agents["seller"].agent_id
    made = staging.ok("POST", "/protocol/stamp", {"agent_id": seller}, who="seller")
    body = {"deal_id": made["deal_id"], "amount": 5}
    problem(staging.call("POST", "/protocol/settle", body, who="seller"), 409, "go_required")
