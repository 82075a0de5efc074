"""Keys over two server processes on one database: one successor, and revoked within a second."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.support.callers import read

if TYPE_CHECKING:
    from tests.chaos.site import Agent, Site

pytestmark = pytest.mark.chaos
CALLS = 40
#: Spec §12.1: everywhere within one second.
EVERYWHERE_SECONDS = 1.0
PATIENCE_SECONDS = 20
_plain = build_opener(ProxyHandler({}))


def status_of(base: str, agent: Agent, path: str = "/protocol/payouts") -> int:
    try:
        with _plain.open(Request(base + path, headers=agent.headers), timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def own_key(site: Site, agent: Agent) -> str:
    key_id: str = site.post("/protocol/keys/validate", {}, agent.headers)["key_id"]
    return key_id


def listed(base: str, agent: Agent) -> list[dict[str, Any]]:
    request = Request(f"{base}/protocol/keys", headers=agent.headers)
    with _plain.open(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.loads(answer.read())["keys"]
    return found


def test_rotations_of_four_processes_over_two_servers_make_one_successor(site: Site) -> None:
    """Catches a rotation that two servers each find undone."""
    agent = site.agent("rotating")
    key_id = own_key(site, agent)
    calls = site.race(CALLS, f"/protocol/keys/{key_id}/rotate", {}, agent.headers)
    answers = [rows[-1] for rows in calls]
    made = [read(row) for row in answers if row.get("status") == 200]
    assert len(made) == 1, [row.get("status") for row in answers]
    others = [read(row) for row in answers if row.get("status") != 200]
    assert {one["error"] for one in others} == {"already_rotated"}
    assert len(others) == CALLS - 1
    successor = type(agent)(agent_id=agent.agent_id, api_key=made[0]["api_key"])
    for base in site.bases:
        rotated_from = [one["rotated_from"] for one in listed(base, successor)]
        assert rotated_from == [key_id, None]
    site.audit()


def test_a_key_revoked_at_one_server_is_refused_at_the_other_within_a_second(site: Site) -> None:
    """Catches a server that trusts what it once found for longer: no request that is sent a second
    after the revocation was answered may pass, and the key is in use there all the time."""
    agent = site.agent("revoked")
    first, last = site.bases[0], site.bases[-1]
    made = site.post("/protocol/keys", {}, agent.headers)
    doomed = type(agent)(agent_id=agent.agent_id, api_key=made["api_key"])
    assert [status_of(base, doomed) for base in site.bases] == [200] * len(site.bases)
    revoke = Request(
        f"{first}/protocol/keys/{made['key_id']}/revoke",
        data=b"{}",
        headers={**agent.headers, "Content-Type": "application/json"},
    )
    with _plain.open(revoke, timeout=30) as answer:
        assert answer.status == 200
    answered = time.monotonic()
    assert status_of(first, doomed) == 401, "where it was revoked it counts at once"
    passed_at = 0.0
    while time.monotonic() < answered + PATIENCE_SECONDS:
        sent = time.monotonic() - answered
        if status_of(last, doomed) == 200:
            passed_at = sent
        elif sent > EVERYWHERE_SECONDS:
            break
    assert passed_at < EVERYWHERE_SECONDS
    assert status_of(last, doomed) == 401
