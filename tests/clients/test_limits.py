"""Rate limits as the published SDK meets them: it waits as told and gets its answer.

Under the limits of a sandbox as they are.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.clients.sdk import SyncSdk

if TYPE_CHECKING:
    from tests.clients.sdk import AsyncSdk
    from tests.support.server import Server

pytestmark = pytest.mark.clients
REPLAYS, AT_ONCE, BURST, PER_SECOND = 400, 8, 120, 2
#: The bucket gives two a second and a call takes far less, so a few calls find it empty.
TRIES = 30


def flood(server: Server, key: str, body: dict[str, object]) -> list[httpx.Response]:
    """400 identical settles as fast as eight connections can, without any patience."""

    def some(_: int) -> list[httpx.Response]:
        with httpx.Client(base_url=server.url, headers={"X-API-Key": key}) as client:
            calls = range(REPLAYS // AT_ONCE)
            return [client.post("/protocol/settle", json=body, timeout=30) for _ in calls]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [answer for answers in pool.map(some, range(AT_ONCE)) for answer in answers]


def test_a_flood_of_replays_meets_a_limit_and_the_client_recovers_by_itself(
    server: Server, either_sdk: SyncSdk | AsyncSdk
) -> None:
    """Catches: replays that are free, or share the bucket of settles; a Retry-After that is a date
    or too short for the client's four attempts; one agent's flood that refuses another."""
    seller = either_sdk.registered()
    pack = either_sdk.approved(seller)
    terms = (pack["deal_id"], 99, seller, "buyer")
    either_sdk.ok("settle", *terms)
    body = {"deal_id": pack["deal_id"], "amount": 99, "actor_id": seller}
    assert either_sdk.key is not None

    with ThreadPoolExecutor(1) as pool, SyncSdk(server.url) as other:
        payee = other.registered()
        started = monotonic()
        running = pool.submit(flood, server, either_sdk.key, body)
        while not running.done():  # another agent is served meanwhile
            deal = other.approved(payee)["deal_id"]
            other.ok("settle", deal, 99, payee, "buyer")
            if len(other.exchanges) > BURST:
                break
        answers = running.result()
        elapsed = monotonic() - started
        assert all(one.status == 200 for one in other.exchanges)

    taken = [one for one in answers if one.status_code == 200]
    refused = [one for one in answers if one.status_code == 429]
    assert len(taken) + len(refused) == REPLAYS
    assert refused
    assert len(taken) <= BURST + PER_SECOND * elapsed + 1
    assert all(one.json()["_idempotent"] is True for one in taken)
    for one in refused:
        problem = one.json()
        assert (problem["error"], problem["retry"]) == ("rate_limited", "same_key")
        assert (problem["limit"], problem["endpoint"]) == (BURST, "/protocol/settle")
        wait = problem["retry_after_seconds"]
        assert one.headers["Retry-After"] == str(max(1, math.ceil(wait)))
        assert one.headers["RateLimit"].startswith('"settle_replays";r=0;t=')
        assert one.headers["RateLimit-Policy"] == '"settle_replays";q=120;w=60'

    for _ in range(TRIES):
        before = len(either_sdk.exchanges)
        again = either_sdk.ok("settle", *terms)
        assert again["_idempotent"] is True
        met = [one.status for one in either_sdk.exchanges[before:]]
        if 429 in met:
            break
    assert met[0] == 429, "the client met the limit"
    assert met[-1] == 200, "and came through by its own retry"
