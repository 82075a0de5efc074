"""Rules of every answer (contract §1.1, §1.2, §1.6): objects, statuses, problems, request ids."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec
import pytest
from litestar import Litestar
from litestar.exceptions import ImproperlyConfiguredException
from litestar.handlers import get as bare_get

from settlement.core import errors
from settlement.edge.http import problems
from settlement.edge.http.auth import ACCESS_OPT, PUBLIC, Access, AccessClass
from settlement.edge.http.limiter import BUCKET_OPT
from settlement.edge.http.routing import require_access, routes_of
from settlement.service import health
from tests.edge.calls import PAGES, SIGNED, calls

if TYPE_CHECKING:
    import httpx

    from tests.edge.world import World

PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "ok", "error", "retry"],
    "properties": {
        "type": {"type": "string", "pattern": "^/problems/[a-z_]+$"},
        "title": {"type": "string", "minLength": 3},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "minLength": 3},
        "instance": {"type": "string", "pattern": "^req_[0-9a-f]{32}$"},
        "ok": {"const": False},
        "error": {"enum": sorted(errors.BY_CODE)},
        "retry": {"enum": ["never", "same_key", "new_key", "later"]},
    },
}


def problem(response: httpx.Response, status: int | None = None, code: str | None = None) -> Any:
    """The problem document of a refusal, checked against the one schema."""
    assert response.headers["content-type"] == problems.PROBLEM_JSON, response.text
    body = response.json()
    jsonschema_rs.validate(PROBLEM_SCHEMA, body)
    assert body["status"] == response.status_code
    assert body["type"] == f"/problems/{body['error']}"
    assert body["instance"] == response.headers["x-request-id"]
    if status is not None:
        assert (response.status_code, body["error"]) == (status, code or body["error"]), body
    return body


def test_every_route_declares_who_may_call_it(quiet: World) -> None:
    for method, path, handler in routes_of(quiet.app):
        assert isinstance(handler.opt.get(ACCESS_OPT), Access), f"{method} {path}"


def test_a_route_without_a_class_stops_the_start() -> None:
    @bare_get("/bare", sync_to_thread=False)
    def bare() -> dict[str, str]:
        return {}

    with pytest.raises(ImproperlyConfiguredException, match="GET /bare declares no access class"):
        require_access(Litestar(route_handlers=[bare], openapi_config=None))


def test_a_scoped_class_without_its_scope_stops_the_start() -> None:
    unscoped = {ACCESS_OPT: Access(letter=AccessClass.KEYED)}

    @bare_get("/bare", sync_to_thread=False, opt=unscoped)
    def bare() -> dict[str, str]:
        return {}

    with pytest.raises(ImproperlyConfiguredException, match="class K and its scope"):
        require_access(Litestar(route_handlers=[bare], openapi_config=None))


def test_a_route_that_is_not_counted_stops_the_start() -> None:
    """Catches: a route that anybody may call as often as they can."""

    @bare_get("/bare", sync_to_thread=False, opt={ACCESS_OPT: PUBLIC})
    def bare() -> dict[str, str]:
        return {}

    with pytest.raises(ImproperlyConfiguredException, match="GET /bare: class P and its bucket"):
        require_access(Litestar(route_handlers=[bare], openapi_config=None))


def test_money_and_keys_are_counted_as_the_contract_says(quiet: World) -> None:
    counted = {
        f"{m} {path}": handler.opt.get(BUCKET_OPT) for m, path, handler in routes_of(quiet.app)
    }
    expected = {
        "POST /protocol/register": "register",
        "POST /protocol/stamp": "proof",
        "POST /protocol/proof-pack": "proof",
        "POST /protocol/go": "go",
        "POST /protocol/settle": "settle",
        "POST /protocol/settle/multi": "settle",
        "POST /protocol/payouts": "payout",
        "POST /protocol/verify/provider": "verify",
        "POST /protocol/proofs/verify-bundle": "reads",
        "POST /protocol/payout-destinations": "writes",
        "GET /protocol/payouts": "reads",
        "GET /health": None,
    }
    assert {name: counted[name] for name in expected} == expected


def test_every_route_has_its_call_in_the_matrices(quiet: World) -> None:
    listed = {(call.method, call.route) for call in calls(quiet)}
    served = {(m, path) for m, path, _ in routes_of(quiet.app) if path not in PAGES}
    assert listed | SIGNED == served


def test_every_valid_call_is_an_object_with_a_request_id(quiet: World) -> None:
    for call in calls(quiet):
        response = quiet.call(call.method, call.url, call.body, who=call.who, headers=call.headers)
        assert response.status_code in (200, 202, 404, 409), f"{call.name}: {response.text}"
        assert re.fullmatch("req_[0-9a-f]{32}", response.headers["x-request-id"])
        if call.route == "/pay/{deal_id}":
            assert response.headers["content-type"].startswith("text/html")
            continue
        body = response.json()
        assert isinstance(body, dict), call.name
        assert body["ok"] is (response.status_code < 300), call.name


def test_a_trailing_slash_is_the_same_path(quiet: World) -> None:
    for call in calls(quiet):
        if call.method == "GET" and not call.query:
            plain = quiet.call("GET", call.path, who=call.who, headers=call.headers).status_code
            assert (
                quiet.call("GET", f"{call.path}/", who=call.who, headers=call.headers).status_code
                == plain
            )


@pytest.mark.parametrize("path", ["/nope", "/protocol", "/protocol/deals", "/docs/nope"])
def test_what_nobody_serves_is_a_problem(quiet: World, path: str) -> None:
    problem(quiet.call("GET", path), 404, "route_not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_wrong_method_is_a_problem_that_names_the_right_one(quiet: World, method: str) -> None:
    served = {call.path for call in calls(quiet) if call.method == method}
    for call in calls(quiet):
        if call.path in served:
            continue
        response = quiet.call(method, call.path)
        problem(response, 405, "method_not_allowed")
        assert call.method in response.headers["allow"]
        assert "OPTIONS" not in response.headers["allow"]


def test_request_ids_are_never_the_callers(quiet: World) -> None:
    first = quiet.call("GET", "/health", headers={"X-Request-Id": "mine"}).headers["x-request-id"]
    assert first.startswith("req_")
    assert first != quiet.call("GET", "/health").headers["x-request-id"]


FIXED = [
    ("/protocol/idempotency/stats", "persistent"),
    ("/protocol/verify/providers", "providers"),
    ("/protocol/fee-tiers", "tiers"),
    ("/protocol/merkle/anchors/latest", "anchor"),
    ("/protocol/merkle/anchors", "anchors"),
]


@pytest.mark.parametrize(("path", "member"), FIXED)
def test_fixed_segments_win_over_parameters(quiet: World, path: str, member: str) -> None:
    assert member in quiet.ok("GET", path)


def test_settle_multi_is_not_a_deal_called_multi(quiet: World) -> None:
    response = quiet.call("POST", "/protocol/settle/multi", {}, who="seller")
    assert problem(response, 422, "member_missing")["field"] in ("deal_id", "splits")


@pytest.mark.parametrize("code", sorted(errors.BY_CODE))
def test_every_error_renders_as_a_problem(code: str) -> None:
    from dataclasses import fields

    leaf = errors.BY_CODE[code]
    named: Any = leaf
    samples = {"int": 7, "str": "x", "str | None": "x", "int | None": 7}
    made = leaf(**{f.name: samples.get(str(f.type), "x") for f in fields(named)})
    body = problems.document(made, "req_" + 32 * "0")
    jsonschema_rs.validate(PROBLEM_SCHEMA, body)
    expected = problems.STATUS[leaf.kind]
    if leaf.bad_request:
        expected = 400
    if code == "method_not_allowed":
        expected = 405
    assert body["status"] == expected
    if "retry_after_seconds" in body:
        shown = json.loads(msgspec.json.encode(body), parse_float=Decimal)["retry_after_seconds"]
        assert problems.headers_of(made)["Retry-After"] == str(math.ceil(shown))


def test_an_unforeseen_fault_is_told_by_reference_only(
    quiet: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_rules: object) -> None:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr("settlement.edge.http.routes.fees.fees_view.fee_tiers", fail)
    response = quiet.call("GET", "/protocol/fee-tiers")
    body = problem(response, 500, "internal_fault")
    assert "secret" not in response.text
    assert body["reference"] == body["instance"]
    assert body["reference"] in caplog.text
    assert "the secret reason" in caplog.text


def test_metrics_tell_what_waits_from_one_read_of_a_few_seconds(
    quiet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: each scrape reads the database, or there is a label with an id."""
    reads: list[int] = []
    figures = health.figures

    def counted(*given: Any) -> dict[str, Any]:
        reads.append(1)
        return figures(*given)

    monkeypatch.setattr(health, "figures", counted)
    monkeypatch.setattr("settlement.edge.http.operations_metrics.CACHE_SECONDS", 3600.0)
    quiet.call("GET", "/metrics")
    reads.clear()
    text = quiet.call("GET", "/metrics").text
    assert reads == []
    for name in (
        "settlement_database_up 1.0",
        'settlement_jobs{status="dead"}',
        "settlement_outbox_oldest_age_seconds",
        "settlement_log_lag_seconds",
        "settlement_effects_unknown_oldest_age_seconds",
        "settlement_engine_queue_operations",
        'settlement_worker_loop_heartbeat_age_seconds{loop="effects"}',
        'settlement_paused{switch="all"} 0.0',
    ):
        assert name in text, name


def test_metrics_name_routes_by_template(quiet: World) -> None:
    quiet.ok("GET", f"/protocol/reputation/{quiet.agents['seller'].agent_id}")
    text = quiet.call("GET", "/metrics").text
    assert 'path="/protocol/reputation/{agent_id}"' in text
    for agent in quiet.agents.values():
        assert agent.agent_id not in text
    assert "deal_0" not in text
    assert "a2a_" not in text
