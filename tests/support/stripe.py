"""Starts the Stripe of `stripe_server.py` in a process of its own, and tells it what to do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, Request, build_opener

from tests.support.stripe_server import SECRET_KEY, signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
WEBHOOK_SECRET = "whsec_the_endpoint_of_the_tests"
PREVIOUS = "whsec_the_secret_before_this_one"
PUBLISHABLE = "pk_test_TYooMQauvdEDq54NiTphI7jx"
STRIPE_PATH = "/protocol/webhooks/provider/stripe"
_plain = build_opener(ProxyHandler({}))


class Stripe:
    """A running Stripe, seen from the test."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def settings(self) -> dict[str, str]:
        """What a server needs to use it."""
        return {
            "SETTLEMENT_MODE": "live",
            "SETTLEMENT_RAIL": "stripe",
            "SETTLEMENT_STRIPE_SECRET_KEY": SECRET_KEY,
            "SETTLEMENT_STRIPE_PUBLISHABLE_KEY": PUBLISHABLE,
            "SETTLEMENT_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "SETTLEMENT_STRIPE_WEBHOOK_SECRET_PREVIOUS": PREVIOUS,
            "SETTLEMENT_STRIPE_API_BASE": self.url,
            "SETTLEMENT_STRIPE_TIMEOUT_SECONDS": "1",
        }

    def control(self, verb: str, **told: Any) -> dict[str, Any]:
        """Have it do something."""
        request = Request(f"{self.url}/_control/{verb}", data=json.dumps(told).encode())
        with _plain.open(request, timeout=60) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def program(self, *does: str, match: str = "POST") -> None:
        """The next matching requests meet with this, one each."""
        rules = [{"does": one, "match": match, "first": 1} for one in does]
        self.control("program", rules=rules)

    def advance(self, seconds: int) -> None:
        """Let its time pass; it forgets keys after a day."""
        self.control("advance", seconds=seconds)

    def book(self) -> dict[str, Any]:
        """All it knows."""
        return self.control("book")

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Its objects of a kind, the oldest first."""
        return [one for one in self.book()["objects"].values() if one["object"] == kind]

    def requests(self, what: str) -> int:
        """How many such requests it has got."""
        return sum(what in name for name in self.book()["requests"])

    def events(self, *kinds: str) -> list[str]:
        """Ids of its events, of those types or of all."""
        events = self.book()["events"]
        return [one["id"] for one in events if not kinds or one["type"] in kinds]

    def deliver(self, server_url: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Have it send these events, signed; what it was answered."""
        url = server_url + STRIPE_PATH
        told = self.control("deliver", url=url, secret=WEBHOOK_SECRET, ids=list(ids))
        answers: list[dict[str, Any]] = told["answers"]
        return answers

    def signed(self, event_id: str, **changes: Any) -> tuple[bytes, dict[str, str]]:
        """An event's body and headers, for tests that send it themselves."""
        event = next(one for one in self.book()["events"] if one["id"] == event_id)
        return signed(event, **changes)


def signed(
    event: Mapping[str, Any], *, secrets: Sequence[str] = (WEBHOOK_SECRET,), age_seconds: int = 0
) -> tuple[bytes, dict[str, str]]:
    """A message as Stripe sends it."""
    body = json.dumps(event).encode()
    made = signature(list(secrets), int(time.time()) - age_seconds, body)
    return body, {"stripe-signature": made}


@contextmanager
def stripe_running() -> Iterator[Stripe]:
    """A Stripe with an empty book, in a process that ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.stripe_server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Stripe(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
