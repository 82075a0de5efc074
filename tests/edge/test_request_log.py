"""The debug log of a whole session: every answer's request id is in it, and no secret is."""

from __future__ import annotations

import json
import logging
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from settlement import tracing
from settlement.cli.logs import JsonFormatter
from tests.edge.calls import calls
from tests.support.key_search import assert_no_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.edge.world import World


@pytest.fixture
def said() -> Iterator[StringIO]:
    """What a server with SETTLEMENT_LOG_LEVEL=debug and JSON lines writes."""
    text = StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("settlement")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield text
    logger.setLevel(before)
    logger.removeHandler(handler)


def lines(said: StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in said.getvalue().splitlines()]


def test_every_answer_is_found_in_the_log_and_no_secret_is(either: World, said: StringIO) -> None:
    """Broken build: a caller quotes a request id, and nobody finds it; or a key is logged."""
    answers = [
        either.call(call.method, call.url, call.body, who=call.who) for call in calls(either)
    ]
    asked = {answer.headers["X-Request-Id"] for answer in answers}
    asked |= {answer.json()["instance"] for answer in answers if answer.status_code >= 400}
    logged = lines(said)
    assert asked <= {line.get("request_id") for line in logged}
    secrets = [agent.key for agent in either.agents.values()]
    assert_no_keys(secrets, {"log": said.getvalue().encode()})
    for pack in either.deals.values():
        if "quote_id" in pack:
            assert pack["quote_id"] not in said.getvalue()
    assert "whsec_" not in said.getvalue()


def test_an_operation_names_its_deal_and_its_claim(either: World, said: StringIO) -> None:
    """Broken build: nobody can tell which deal a line is about, or under which claim it ran."""
    pack = either.proof()
    either.go(pack)
    settled = either.call("POST", "/protocol/settle", {"deal_id": pack["deal_id"]}, who="seller")
    found = {
        line["message"]: line for line in lines(said) if line.get("deal_id") == pack["deal_id"]
    }
    assert "go: done" in found
    settle = found["settle: done"]
    assert settle["request_id"] == settled.headers["X-Request-Id"]
    assert settle["claim"] == settled.json()["idempotency_key"]


def test_a_key_that_a_caller_chose_is_logged_as_its_digest(either: World, said: StringIO) -> None:
    """Broken build: what a caller sent as its key, perhaps an order number, is written out."""
    sent = "order-0815-of-a-customer"
    body = {"agent_username": either.agents["seller"].agent_id, "proof_type": "creative_preview"}
    headers = {"Idempotency-Key": sent}
    answer = either.call("POST", "/protocol/proof-pack", body, who="seller", headers=headers)
    assert answer.status_code == 200, answer.text
    claims = [line["claim"] for line in lines(said) if "claim" in line]
    assert claims[-1].startswith("sha256:")
    assert sent not in said.getvalue()


def test_a_line_names_the_trace_it_belongs_to(said: StringIO) -> None:
    class Fixed:
        traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

        def note(self, name: str, value: str | int) -> None: ...
        def link(self, traceparent: str) -> None: ...
        def end(self, failure: str = "") -> None: ...

    with tracing.within(Fixed()):
        logging.getLogger("settlement.x").info("within")
    logging.getLogger("settlement.x").info("outside")
    within, outside = lines(said)
    assert within["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert "trace_id" not in outside
