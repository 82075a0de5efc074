"""Calls that wait for a stranger's server or name hold up nobody but their caller.

Real HTTP to a receiver that answers when it is told to, so no test depends on how long things take.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest

from settlement.edge.http.threads import EXPORT_THREADS, OUTSIDE_THREADS
from settlement.edge.outgoing import Sender
from settlement.service.webhooks import TESTS_AT_ONCE, WAITS_AT_ONCE
from tests.edge.test_transport import problem
from tests.support.receiver import WAIT_SECONDS, Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    import httpx

    from tests.edge.world import Agent, World

HOOKS = "/protocol/webhooks"
PATIENCE = 10 * WAIT_SECONDS
CALLS = EXPORT_THREADS + 4


@pytest.fixture
def go_on() -> threading.Event:
    return threading.Event()


@pytest.fixture
def silent(
    either: World, go_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Receiver]:
    """Says nothing until told to; callers are given more time than any test has."""
    patient = Sender(allow_loopback_http=True, seconds=PATIENCE)
    monkeypatch.setattr(either.services.webhooks, "_post", patient)
    with receiving() as receiver:

        def hold(_message: object) -> int:
            go_on.wait(PATIENCE)
            return 200

        receiver.answers = hold
        yield receiver
        go_on.set()


@pytest.fixture
def callers(go_on: threading.Event) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(CALLS + 8) as pool:
        yield pool
        go_on.set()  # or a failed test would wait for its own callers


def hook(either: World, who: str | Agent, url: str) -> str:
    # An event that never happens here: only tests are sent.
    body = {"url": url, "events": ["mandate.created"]}
    return str(either.ok("POST", HOOKS, body, who=who)["hook_id"])


def first(calls: Sequence[Future[httpx.Response]], count: int) -> list[httpx.Response]:
    """The answers of those that were answered first, once there are so many."""
    answers: list[httpx.Response] = []
    asked = set(calls)
    while len(answers) < count:
        done, asked = wait(asked, WAIT_SECONDS, return_when="FIRST_COMPLETED")
        assert done, f"{len(answers)} of {count} answered"
        answers += [one.result() for one in done]
    return answers


def test_an_agent_has_one_test_running_and_others_have_theirs(
    either: World, silent: Receiver, callers: ThreadPoolExecutor, go_on: threading.Event
) -> None:
    """Broken build: tests of one agent are not counted, and hold all threads for calls that wait;
    or the place of one that has ended is not given back."""
    attacker, bystander = either.register("attacker"), either.register("bystander")
    url = f"{HOOKS}/{hook(either, attacker, silent.url)}/test"
    calls = [callers.submit(either.call, "POST", url, {}, who=attacker) for _ in range(CALLS)]
    for refused in first(calls, CALLS - TESTS_AT_ONCE):
        assert problem(refused, 429, "webhook_busy")["at_once"] == TESTS_AT_ONCE
        assert int(refused.headers["retry-after"]) >= 1
    with receiving() as healthy:
        own = f"{HOOKS}/{hook(either, bystander, healthy.url)}/test"
        answer = callers.submit(either.ok, "POST", own, {}, who=bystander).result(WAIT_SECONDS)
        assert answer["delivered"] is True
    assert len(silent.received) == TESTS_AT_ONCE
    go_on.set()
    wait(calls, WAIT_SECONDS)
    assert sorted(one.result().status_code for one in calls)[: TESTS_AT_ONCE + 1] == [200, 429]
    assert either.ok("POST", url, {}, who=attacker)["delivered"] is True


def test_silent_receivers_of_many_agents_hold_up_no_proof(
    either: World, silent: Receiver, callers: ThreadPoolExecutor, go_on: threading.Event
) -> None:
    """Broken build: tests run in the threads of exports, or webhooks are listed in those of tests:
    with every thread waiting for a receiver nobody gets a proof, or sees a list."""
    agents = [either.register(f"silent {n}") for n in range(CALLS)]
    urls = [f"{HOOKS}/{hook(either, agent, silent.url)}/test" for agent in agents]
    tests = [
        callers.submit(either.call, "POST", url, {}, who=agent)
        for url, agent in zip(urls, agents, strict=True)
    ]
    silent.wait_for("webhook.test", OUTSIDE_THREADS)
    proof = f"/proof/{either.deals['settled']['deal_id']}"
    for path, who in ((proof, None), (HOOKS, "stranger")):
        asked = callers.submit(either.call, "GET", path, who=who)
        assert asked.result(WAIT_SECONDS).status_code == 200
    assert not any(test.done() for test in tests)
    go_on.set()
    assert {one.status_code for one in first(tests, CALLS)} == {200}


def test_names_that_are_not_found_out_hold_a_few_calls_of_their_caller(
    either: World,
    callers: ThreadPoolExecutor,
    go_on: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Broken build: the look-up of a name at creation is not counted, so that one agent's slow name
    server holds all threads for calls that wait."""

    def resolver(_name: str, _port: int) -> list[str]:
        go_on.wait(PATIENCE)
        return ["10.0.0.1"]

    sender = Sender(resolver=resolver, seconds=PATIENCE)
    monkeypatch.setattr(either.services.webhooks, "_post", sender)
    agent = either.register("slow name")
    body = {"url": "https://slow.example/hook"}
    calls = [callers.submit(either.call, "POST", HOOKS, body, who=agent) for _ in range(20)]
    for refused in first(calls, 20 - WAITS_AT_ONCE):
        problem(refused, 429, "webhook_busy")
    go_on.set()
    wait(calls, WAIT_SECONDS)
    codes = [one.result().json()["error"] for one in calls]
    assert codes.count("hook_url_refused") == WAITS_AT_ONCE
