"""Every route of the router, spoilt in each way at once everywhere: a JSON object with the members
and the status of contract §1.2, never a redirect, never an empty answer, and nothing is written.

Driven from the router and not from a list of calls, so that a route nobody thought of is in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.core.api_keys import FIRST_SCOPES
from settlement.edge.http.auth import ACCESS_OPT, Access, AccessClass
from settlement.edge.http.routing import routes_of
from tests.edge.calls import PAGES, calls
from tests.edge.test_transport import problem
from tests.edge.world import unknown_key
from tests.support.rows import count_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.edge.world import World

NEEDS_KEY = (AccessClass.KEYED, AccessClass.ADMIN)
NO_KEY_READ = (AccessClass.KEY_IGNORED, AccessClass.SIGNED)
WITH_BODY = ("POST", "DELETE")
HTML = {"/pay/{deal_id}"}
#: What nobody has, in the form of what a route asks for.
NOBODYS = "01a20c2701347ba880000b06071fd8b6"
UNKNOWN = {
    "deal_id": "deal_nobodys",
    "agent_id": f"agent_{NOBODYS}",
    "owner_id": f"agent_{NOBODYS}",
    "payout_id": f"pay_{NOBODYS}",
    "destination_id": f"dest_{NOBODYS}",
    "hook_id": f"hook_{NOBODYS}",
    "key_id": f"key_{NOBODYS}",
    "key": "idem_" + "0" * 24,
}
#: Tells of no receipts what it tells of none yet (contract §3.2).
TELLS_ANYWAY = {"/protocol/verify/{deal_id}/receipt"}
#: A deal without a buyer is bound to the first key that reviews it, which nobody is foreign to.
OPEN_TO_THE_FIRST = {
    "/protocol/acceptance/{acceptance_id}/accept",
    "/protocol/acceptance/{acceptance_id}/reject",
}


@dataclass(frozen=True)
class Route:
    """A route of the app, as the router has it."""

    method: str
    path: str
    access: Access

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def unknown(self) -> str:
        """Its address, with ids that nobody has."""
        return re.sub(r"\{(\w+)\}", lambda m: UNKNOWN.get(m[1], "99999999"), self.path)


def routes(live: World) -> Iterator[Route]:
    for method, path, handler in routes_of(live.app):
        if path not in PAGES:
            yield Route(method, path, handler.opt[ACCESS_OPT])


def answered(response: httpx.Response, route: Route) -> None:
    """The form that every answer has, whatever it says."""
    assert response.status_code not in (204, 205), route.name
    assert not 300 <= response.status_code < 400, route.name
    if route.path in HTML and response.status_code == 200:
        return
    body = response.json()
    assert isinstance(body, dict), route.name
    assert body["ok"] is (response.status_code < 300), f"{route.name}: {response.text}"
    if response.status_code >= 400:
        problem(response)


def send(live: World, route: Route, **members: object) -> httpx.Response:
    if route.method in WITH_BODY and "content" not in members:
        members.setdefault("body", {})
    before = count_rows(live.url)
    response = live.call(route.method, route.unknown, **members)  # type: ignore[arg-type]  # call's own
    answered(response, route)
    if response.status_code >= 400:
        assert count_rows(live.url) == before, f"{route.name} was refused and wrote"
    return response


def test_no_key(quiet: World) -> None:
    for route in routes(quiet):
        response = send(quiet, route)
        if route.access.letter in NEEDS_KEY:
            problem(response, 401, "key_required")
        elif response.status_code == 401:
            # Two calls show a secret of another kind, and what they lack is that.
            assert response.json()["error"] in ("key_required", "signature_invalid"), route.name


def test_a_bad_key(quiet: World) -> None:
    for route in routes(quiet):
        for key in ("not a key", unknown_key()):
            response = send(quiet, route, headers={"X-API-Key": key})
            if route.access.letter not in NO_KEY_READ:
                problem(response, 401, "key_invalid")


def test_a_key_without_the_scope(quiet: World) -> None:
    for route in routes(quiet):
        response = send(quiet, route, who="scopeless")
        if route.access.letter in NEEDS_KEY:
            problem(response, 403, "scope_missing")


def test_a_body_that_is_not_json(quiet: World) -> None:
    for route in routes(quiet):
        if route.method not in WITH_BODY or route.access.letter is AccessClass.SIGNED:
            continue
        for who in (None, "seller", "scopeless"):
            response = send(quiet, route, who=who, content="{")
            problem(response, 400, "json_malformed")


def test_an_empty_body_is_an_empty_object(quiet: World) -> None:
    """Clients send POST and DELETE with a JSON content type and nothing (contract §1.1)."""
    for route in routes(quiet):
        if route.method in WITH_BODY and route.access.letter is not AccessClass.SIGNED:
            empty = send(quiet, route, who="scopeless", content="")
            full = send(quiet, route, who="scopeless", content="{}")
            assert empty.status_code == full.status_code != 400, route.name
            assert empty.json().get("error") == full.json().get("error"), route.name


def test_an_id_nobody_has(quiet: World) -> None:
    """Also of well-formed ids of every kind: existence is looked at before anything is done."""
    bodies = {(call.method, call.route): call.body for call in calls(quiet)}
    for route in routes(quiet):
        if "{" not in route.path or route.access.letter is AccessClass.SIGNED:
            continue
        response = send(quiet, route, who="seller", body=bodies.get((route.method, route.path)))
        if route.path in TELLS_ANYWAY:
            assert response.status_code == 200
            continue
        if response.status_code == 400:
            # Without a key of its own a repeatable money call is not even looked at.
            problem(response, 400, "idempotency_key_required")
            continue
        assert response.status_code in (403, 404), f"{route.name}: {response.text}"


def test_a_stranger_gets_nowhere_with_what_others_have(quiet: World) -> None:
    """A foreign actor with every scope: what is keyed and somebody's is refused, nothing done."""
    stranger = quiet.key_with(list(FIRST_SCOPES), "foreign")
    keyed = {(r.method, r.path): r for r in routes(quiet) if r.access.letter is AccessClass.KEYED}
    before, checked, refused_under_keys = count_rows(quiet.url), 0, 0
    for call in calls(quiet):
        route = keyed.get((call.method, call.route))
        if route is None or "{" not in route.path or route.path in OPEN_TO_THE_FIRST:
            continue
        response = quiet.call(call.method, call.url, call.body, who=stranger, headers=call.headers)
        answered(response, route)
        assert response.status_code in (403, 404), f"{route.name}: {response.text}"
        checked += 1
        refused_under_keys += bool(call.headers)
    assert checked >= 15
    # A refusal under a sent key is kept as its answer, and nothing else is (spec §6.2).
    before["claim"] += refused_under_keys
    assert count_rows(quiet.url) == before
