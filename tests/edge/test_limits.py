"""Rate limits over HTTP: who is counted, as what, when, and what a refusal says.

Clocks are injected where a time matters: the process's own for reads and addresses.
"""

from __future__ import annotations

import ast
import json
import math
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from settlement.core.errors import RateLimited
from settlement.core.limits import NAMES, Bucket, Limit
from settlement.edge.http import limiter as limiting
from settlement.edge.http import routes
from settlement.edge.http.limiter import BUCKET_OPT, Limiter, network_of
from settlement.edge.http.routing import routes_of
from tests.edge.calls import calls
from tests.edge.test_transport import problem
from tests.edge.world import World, settle_in, unknown_key, world
from tests.support.raw import open_raw, sql
from tests.support.rows import read_rows
from tests.support.server import deployed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


HOUR_US = 3_600_000_000
HEADERS = (
    "ratelimit-policy",
    "ratelimit",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
)
SETTLE = "/protocol/settle"


class Clock:
    def __init__(self) -> None:
        self.us = 1_000_000_000

    def __call__(self) -> int:
        return self.us


@contextmanager
def limited(
    live: World, figures: Mapping[str, Limit] | None = None, *, processes: int = 1, **named: Limit
) -> Iterator[Clock]:
    """The world under other limits: those named, and none else. Nobody has called yet."""
    clock = Clock()
    before = live.app.state["limiter"]
    figures = {**(figures or {}), **named}
    limits = {name: figures.get(name) for name in NAMES}
    live.app.state["limiter"] = Limiter(limits, processes, clock)
    with open_raw(live.url) as raw:
        raw.run([sql("DELETE FROM rate_limit")])
    try:
        yield clock
    finally:
        live.app.state["limiter"] = before


def too_many(response: httpx.Response) -> dict[str, Any]:
    """The problem, whose body and headers agree."""
    body = problem(response, 429, "rate_limited")
    exact = json.loads(response.text, parse_float=Decimal)["retry_after_seconds"]
    headers = response.headers
    assert headers["retry-after"] == str(min(60, max(1, math.ceil(exact))))
    assert headers["x-ratelimit-limit"] == str(body["limit"])
    assert headers["x-ratelimit-remaining"] == "0"
    policy, rate = headers["ratelimit-policy"], headers["ratelimit"]
    assert policy.startswith(f'"{body["bucket"]}";q={body["limit"]};w=')
    assert rate == f'"{body["bucket"]}";r=0;t={headers["x-ratelimit-reset"]}'
    assert int(headers["x-ratelimit-reset"]) >= int(exact)
    assert body["retry"] == "same_key"
    return {**body, "exact": exact}


# --- every route ---------------------------------------------------------------------------------


def test_every_route_refuses_the_call_over_its_limit(either: World) -> None:
    """Catches: a route that forgets to count, which anybody may then call as often as they can."""
    counted = {(m, path): h.opt.get(BUCKET_OPT) for m, path, h in routes_of(either.app)}
    one = Limit(1, HOUR_US)
    for call in calls(either):
        bucket = counted[call.method, call.route]
        if bucket is None:
            continue
        with limited(either, dict.fromkeys((bucket.value, bucket.replays), one)):
            answers = [
                either.call(call.method, call.url, call.body, who=call.who, headers=call.headers)
                for _ in range(3)
            ]
            assert answers[0].status_code != 429, call.name
            body = too_many(answers[-1])
            assert body["endpoint"] == call.route
            assert body["limit"] == 1


def test_every_call_of_the_engine_is_counted() -> None:
    """Catches: a route that asks the engine past `ask`, so that its calls are not counted."""
    for path in Path(routes.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("answer", "submit", "execute"):
                assert not ast.unparse(node.value).endswith("engine"), f"{path.name}:{node.lineno}"


def test_success_says_how_the_caller_stands(quiet: World) -> None:
    """Catches: headers on refusals only, or figures of the call before."""
    with limited(quiet, go=Limit(60, 1_000_000), reads=Limit(300, 200_000)):
        found = quiet.call("GET", "/protocol/fee-tiers").headers
        assert [found[name] for name in HEADERS] == [
            '"reads";q=300;w=60',
            '"reads";r=299;t=1',
            "300",
            "299",
            "1",
        ]
        pack = quiet.proof()
        body = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
        found = quiet.call("POST", "/protocol/go", body).headers
        assert [found[name] for name in HEADERS[:2]] == ['"go";q=60;w=60', '"go";r=59;t=1']
        replay = quiet.call("POST", "/protocol/go", body)
        assert replay.json()["_idempotent"] is True
        assert "ratelimit" not in replay.headers, "go_replays has no limit here"


def test_health_is_never_counted(quiet: World) -> None:
    """Catches: a balancer that asks too often, and takes the server out for its 429."""
    one = dict.fromkeys(("address", "reads"), Limit(1, HOUR_US))
    with limited(quiet, one):
        for path in ("/health", "/ready", "/metrics"):
            for _ in range(3):
                response = quiet.call("GET", path)
                assert response.status_code == 200
                assert "ratelimit" not in response.headers


# --- who is counted ------------------------------------------------------------------------------


def test_an_agent_is_one_caller_whatever_key_it_shows(either: World) -> None:
    """Catches: limits per key: two keys, twice the limit."""
    agent = either.register("two keys")
    made = either.ok("POST", "/protocol/keys", {}, who=agent)
    missing = {"deal_id": "deal_unknown"}
    with limited(either, settle=Limit(1, HOUR_US)):
        first = either.call("POST", SETTLE, missing, who=agent)
        assert first.status_code == 404
        headers = {"X-API-Key": made["api_key"]}
        too_many(either.call("POST", SETTLE, missing, headers=headers))
        other = either.call("POST", SETTLE, missing, who="stranger")
        assert other.status_code == 404, "another agent is served"


def test_without_a_key_an_address_is_the_caller(quiet: World) -> None:
    """Catches: all anonymous callers in one bucket, or an agent counted with its address."""
    with limited(quiet, reads=Limit(1, HOUR_US)):
        assert quiet.call("GET", "/protocol/fee-tiers").status_code == 200
        too_many(quiet.call("GET", "/protocol/fee-tiers"))
        assert quiet.call("GET", "/protocol/fee-tiers", who="seller").status_code == 200
        too_many(quiet.call("GET", "/protocol/fee-tiers", who="seller"))


def test_agents_register_as_their_address(either: World) -> None:
    """Catches: a bucket for each key, so that every agent makes as many more as it likes."""
    agent, operator = either.register("breeder"), either.key_with(["admin"], "registrar")
    path, body = "/protocol/register", {"name": "bred"}
    with limited(either, register=Limit(1, HOUR_US)):
        made = either.ok("POST", path, body, who=agent)
        too_many(either.call("POST", path, body, headers={"X-API-Key": made["api_key"]}))
        too_many(either.call("POST", path, body, who="stranger"))
        too_many(either.call("POST", path, body))
        either.ok("POST", path, body, who=operator)


def test_an_unproven_header_names_nobody(quiet: World) -> None:
    """Catches: X-Forwarded-For believed from anybody: each call from another address."""
    with limited(quiet, reads=Limit(1, HOUR_US), address=Limit(2, HOUR_US)):
        for n, status in enumerate((200, 429, 429)):
            headers = {"X-Forwarded-For": f"192.0.2.{n}", "Forwarded": f"for=192.0.2.{n}"}
            assert quiet.call("GET", "/protocol/fee-tiers", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("", "unknown"),
        ("not an address", "unknown"),
    ],
)
def test_an_address_stands_for_its_network(host: str | None, network: str) -> None:
    """Catches: 2^64 callers behind one machine's IPv6 address."""
    assert network_of(host) == network


# --- the guard of addresses, and the order of checks ---------------------------------------------


def test_2_the_address_comes_before_the_key_and_after_the_body(quiet: World) -> None:
    """Catches: a guard behind the look-up of keys, which a flood of wrong keys would pay for."""
    bad = {"X-API-Key": unknown_key()}
    with limited(quiet, address=Limit(1, HOUR_US)):
        problem(quiet.call("POST", SETTLE, {}, headers=bad), 401, "key_invalid")
        assert too_many(quiet.call("POST", SETTLE, {}, headers=bad))["bucket"] == "address"
        problem(quiet.call("POST", SETTLE, content=b"{", headers=bad), 400, "json_malformed")
        too_many(quiet.call("POST", "/protocol/webhooks/provider/simulated", {}))


def test_4_and_5_scope_and_schema_come_before_the_limit(quiet: World) -> None:
    """Catches: a caller over the limit who is not told that the call can never succeed."""
    one = Limit(1, HOUR_US)
    with limited(quiet, settle=one, reads=one):
        for _ in range(2):
            problem(quiet.call("POST", SETTLE, {}, who="scopeless"), 403, "scope_missing")
            problem(quiet.call("POST", SETTLE, {}, who="seller"), 422, "member_missing")
            problem(quiet.call("GET", "/protocol/merkle/inclusion?leaf_index=x"), 422)
            problem(quiet.call("GET", "/protocol/fee-estimate"), 422, "member_missing")
        assert read_rows(quiet.url, "SELECT * FROM rate_limit") == [], "nothing was counted"


def test_what_was_done_is_answered_over_the_limit(quiet: World) -> None:
    """Catches: check 7 before check 6."""
    settled = {"deal_id": quiet.deals["settled"]["deal_id"]}
    with limited(quiet, settle=Limit(1, HOUR_US), settle_replays=Limit(2, HOUR_US)):
        missing = {"deal_id": "deal_unknown"}
        problem(quiet.call("POST", SETTLE, missing, who="seller"), 404, "deal_not_found")
        too_many(quiet.call("POST", SETTLE, missing, who="seller"))
        replay = quiet.call("POST", SETTLE, settled, who="seller")
        assert replay.json()["_idempotent"] is True
        other = {**settled, "amount": 1}
        problem(quiet.call("POST", SETTLE, other, who="seller"), 409, "already_decided")
        body = too_many(quiet.call("POST", SETTLE, settled, who="seller"))
        assert body["bucket"] == "settle_replays"


# --- exact times ---------------------------------------------------------------------------------


def test_waiting_as_the_body_says_succeeds_and_a_tenth_of_a_second_less_does_not(
    quiet: World,
) -> None:
    """Catches: retry_after_seconds rounded, or Retry-After rounded down."""
    path = "/protocol/fee-tiers"
    with limited(quiet, reads=Limit(2, 3_030_303)) as clock:
        assert [quiet.call("GET", path).status_code for _ in range(2)] == [200, 200]
        clock.us += 1_234_567
        body = too_many(quiet.call("GET", path))
        assert body["exact"] == Decimal("1.795736")
        clock.us += 1_795_736 - 100_000
        assert too_many(quiet.call("GET", path))["exact"] == Decimal("0.1")
        clock.us += 99_999
        assert too_many(quiet.call("GET", path))["exact"] == Decimal("0.000001")
        clock.us += 1
        assert quiet.call("GET", path).status_code == 200


def test_a_wait_of_hours_is_told_truly_and_asked_after_within_a_minute(quiet: World) -> None:
    """Catches: Retry-After above 60, or the exact wait cut to it."""
    with limited(quiet, reads=Limit(1, HOUR_US)):
        quiet.call("GET", "/protocol/fee-tiers")
        response = quiet.call("GET", "/protocol/fee-tiers")
        assert too_many(response)["exact"] == 3600
        assert response.headers["retry-after"] == "60"


# --- limits that cannot be read, and shares ------------------------------------------------------


def test_without_limits_reads_pass_and_writes_are_503(tmp_path: Path, database_url: str) -> None:
    """Catches: writes made uncounted, or reads stopped, when the limiter cannot be read."""
    with world(tmp_path, database_url) as live:
        settle_in(live)
        with open_raw(database_url) as raw:
            raw.run([sql("ALTER TABLE rate_limit RENAME TO rate_limit_away")])
        before = read_rows(database_url, "SELECT count(*) FROM deal")
        for call in calls(live):
            response = live.call(
                call.method, call.url, call.body, who=call.who, headers=call.headers
            )
            counted = {(m, p): h.opt.get(BUCKET_OPT) for m, p, h in routes_of(live.app)}
            bucket = counted[call.method, call.route]
            if bucket is None or not bucket.shared:
                # What the calls before would have made is not there, and that is an answer too.
                assert response.status_code in (200, 404), call.name
            else:
                problem(response, 503, "limits_unreadable")
                assert response.headers["retry-after"] == "2"
        assert read_rows(database_url, "SELECT count(*) FROM deal") == before


def test_processes_share_what_each_counts_alone(quiet: World) -> None:
    """Catches: N processes, N times the limit on reads."""
    with limited(quiet, processes=4, reads=Limit(8, 1_000_000)) as clock:
        codes = [quiet.call("GET", "/protocol/fee-tiers").status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        clock.us += 4_000_000
        codes = [quiet.call("GET", "/protocol/fee-tiers").status_code for _ in range(2)]
        assert codes == [200, 429]


def test_a_flood_of_addresses_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a bucket kept for every address that ever called; or a flood that clears them all,
    and with them the one that is over its limit."""
    monkeypatch.setattr(limiting, "BUCKETS_MAX", 100)
    clock = Clock()
    limits = {name: Limit(3, 1_000_000) for name in NAMES}
    process = Limiter(limits, 1, clock)
    for _ in range(3):
        process.guard("greedy", "/x")
    for n in range(1000):
        process.guard(f"address {n}", "/x")
        assert len(process) <= 100
    with pytest.raises(RateLimited):
        process.guard("greedy", "/x")
    clock.us += 10_000_000
    for n in range(100):
        process.guard(f"later {n}", "/x")
    assert len(process) <= 100
    process.guard("greedy", "/x")


def test_what_has_no_limit_is_not_counted() -> None:
    """Catches: `off` read as a limit of nothing."""
    process = Limiter(dict.fromkeys(NAMES))
    for _ in range(10):
        process.guard("somebody", "/x")
        assert process.count(Bucket.READS, "somebody", "/x") is None
    assert process.charge(Bucket.SETTLE, "somebody", "/x") is None
    assert len(process) == 0


def test_a_trusted_proxy_names_the_caller_and_a_stranger_does_not(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Catches: all callers behind a proxy in one bucket, or one who invents addresses in many."""
    figures = "reads=1/0.001"
    for n, (proxies, statuses) in enumerate([("127.0.0.1", [200, 200]), ("", [200, 429])]):
        with deployed(
            tmp_path / str(n),
            sqlite_url,
            SETTLEMENT_RATE_LIMITS=figures,
            SETTLEMENT_TRUSTED_PROXIES=proxies,
        ) as deployment:
            url = f"{deployment.server().url}/protocol/fee-tiers"
            found = [
                httpx.get(url, headers={"X-Forwarded-For": f"192.0.2.{m}"}, timeout=30)
                for m in range(2)
            ]
            assert [one.status_code for one in found] == statuses
