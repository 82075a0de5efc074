"""Requests made from our own published document find no fault: never a 5xx, always an object.

Both kinds: what the schema allows and what it forbids; ids that exist are mixed in, so that calls
reach the code behind the look-ups. Examples are few and the seed is fixed: the same run everywhere.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from scripts.generate_http_doc import Unassembled
from settlement.edge.http.app import create_app, openapi_document
from tests.edge.test_transport import problem

if TYPE_CHECKING:
    from tests.edge.world import World

EXAMPLES = 12
HTML = {"/pay/{deal_id}"}


@cache
def operations() -> dict[str, Any]:
    """The operations of the published document by label."""
    document = openapi_document(create_app(cast("Any", Unassembled())))
    # Through JSON once: the reader wants plain members.
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document)))
    found = [cast("Any", one).ok() for one in schema.get_all_operations()]
    return {operation.label: operation for operation in found}


def cases() -> list[tuple[str, GenerationMode]]:
    """Every operation by the schema, and against it where it leaves something to spoil."""
    found = [(label, GenerationMode.POSITIVE) for label in sorted(operations())]
    return found + [
        (label, GenerationMode.NEGATIVE)
        for label, operation in sorted(operations().items())
        if len(operation.query) or len(operation.body)
    ]


def known_ids(live: World) -> dict[str, str]:
    """Ids that exist in this world, by the member that may hold one."""
    return {
        "deal_id": live.deals["approved"]["deal_id"],
        "quote_id": live.deals["approved"]["quote_id"],
        "scope_lock_hash": live.deals["approved"]["scope_lock_hash"],
        "agent_id": live.agents["seller"].agent_id,
        "agent_username": live.agents["seller"].agent_id,
        "owner_id": live.agents["seller"].agent_id,
        "payout_id": live.deals["paid"]["payout_id"],
        "destination_id": live.deals["destination"]["destination_id"],
        "key": live.deals["approved"]["go_key"],
    }


def made_real(case: Any, known: dict[str, str], wanted: set[str]) -> None:
    """Put ids that exist where the case has made-up ones."""
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            place.update({name: known[name] for name in wanted & set(place) & set(known)})


def send(live: World, case: Any, who: str | None) -> None:
    call = case.as_transport_kwargs(base_url="http://testserver.local")
    # The client would refuse a header that no network lets through.
    headers = {
        name: value
        for name, value in call.pop("headers").items()
        if value.isascii() and value.isprintable()
    }
    if who is not None:
        headers.update(live.agents[who].headers)
    call.pop("cookies", None)
    if "data" in call:
        call["content"] = call.pop("data")
    response = live.client.request(headers=headers, **call)
    assert response.status_code < 500, response.text
    assert response.status_code != 204
    assert not 300 <= response.status_code < 400
    if response.status_code >= 400:
        problem(response)
    elif case.path not in HTML:
        assert response.json()["ok"] in (True, False)


@pytest.mark.parametrize(("label", "mode"), cases(), ids=str)
def test_no_request_finds_a_fault(quiet: World, label: str, mode: GenerationMode) -> None:
    operation = operations()[label]
    known = known_ids(quiet)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        operation.as_strategy(generation_mode=mode),
        st.sets(st.sampled_from(sorted(known))),
        st.sampled_from([None, "seller", "buyer", "scopeless", "operator"]),
    )
    def attempt(case: Any, wanted: set[str], who: str | None) -> None:
        made_real(case, known, wanted)
        send(quiet, case, who)

    attempt()
