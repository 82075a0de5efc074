"""The switch `webhooks`, and the owner's dashboard: what waits is shown, kept, and sent later."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import HookNotFound, Paused
from settlement.edge.outgoing import Sender
from settlement.service import pauses
from settlement.service.deliveries import Deliveries
from settlement.service.webhook_dashboard import dashboard, retry
from settlement.store.pauses import Switch
from tests.service.test_webhooks import due, hook, listed, rounds, settled, status_of
from tests.support.house import Play, house
from tests.support.receiver import Received, Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.core.principal import Principal

TOLD = ["proof.created", "go.approved", "settled", "outcome.recorded"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url) as services:
        yield Play(services)


def turn(play: Play, switch: str, *, paused: bool) -> None:
    db = play.services.db
    pauses.change(db, Switch(switch), paused=paused, reason="receiver asked", operator="ops")


def shown(play: Play, owner: Principal) -> dict[str, Any]:
    found = dashboard(play.services.db, owner)
    return {**found["webhooks"][0], "paused": found["paused"]}


# --- paused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["webhooks", "all"])
def test_while_paused_nothing_is_sent_and_after_it_everything_in_order(
    play: Play, receiver: Receiver, switch: str
) -> None:
    """Broken build: the pause is only shown; or what fell due meanwhile is dropped, or counts as a
    try."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook_id = hook(play, seller, receiver.url)
    settled(play, seller, buyer)
    turn(play, switch, paused=True)
    rounds(play)
    assert receiver.received == []
    assert (shown(play, seller)["pending"], shown(play, seller)["paused"]) == (4, True)
    turn(play, switch, paused=False)
    rounds(play)
    assert receiver.names() == TOLD
    rows = listed(play, seller, hook_id)
    assert {(row["status"], row["tries"]) for row in rows} == {("delivered", 1)}


def test_another_switch_stops_no_webhook(play: Play, receiver: Receiver) -> None:
    """Broken build: any paused switch stops the senders."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook(play, seller, receiver.url)
    settled(play, seller, buyer)
    for switch in ("go", "settle", "payout", "exchange"):
        turn(play, switch, paused=True)
    rounds(play)
    assert receiver.names() == TOLD


def test_what_was_leased_when_the_pause_came_is_put_back_unsent(
    play: Play, receiver: Receiver
) -> None:
    """Broken build: the switch is looked at when leasing only, and sixteen more go out; or what was
    leased waits for its lease to run out."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook_id = hook(play, seller, receiver.url)
    for _ in range(2):
        settled(play, seller, buyer)
    sending, go_on = threading.Event(), threading.Event()

    def first_hangs(_message: Received) -> int:
        sending.set()
        go_on.wait(20)
        return 200

    receiver.answers = first_hangs
    senders = Deliveries(play.services.db, Sender(allow_loopback_http=True), owner="w", senders=2)
    # One thread for two: the second delivery is leased, and waits for it.
    senders._pool = ThreadPoolExecutor(1)
    assert senders.step() == 2
    assert sending.wait(20)
    turn(play, "webhooks", paused=True)
    go_on.set()
    senders.wait()
    senders.close()
    assert len(receiver.received) == 1, "what was under way is finished, the rest is not begun"
    rows = listed(play, seller, hook_id)
    assert sorted((row["status"], row["tries"]) for row in rows)[-1] == ("pending", 0)
    turn(play, "webhooks", paused=False)
    receiver.answers = lambda _message: 200
    rounds(play)
    assert len(receiver.received) == 8


def test_a_test_by_hand_is_refused_while_paused(play: Play, receiver: Receiver) -> None:
    """Broken build: owners still make the service send."""
    seller = play.agent("seller")
    hook_id = hook(play, seller, receiver.url)
    turn(play, "webhooks", paused=True)
    with pytest.raises(Paused):
        play.services.webhooks.test(seller, hook_id)
    assert receiver.received == []
    turn(play, "webhooks", paused=False)
    assert play.services.webhooks.test(seller, hook_id)["delivered"] is True


# --- the dashboard -------------------------------------------------------------------------------


def test_the_dashboard_counts_what_is_owed_and_how_it_went(play: Play, receiver: Receiver) -> None:
    """Broken build: counts are of all hooks, or of another owner's."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook(play, seller, receiver.url)
    hook(play, buyer, receiver.url, "settled")
    settled(play, seller, buyer)
    receiver.answers = lambda message: 500 if message.members["type"] == "settled" else 200
    rounds(play)
    row = shown(play, seller)
    assert (row["pending"], row["delivered"], row["failed"]) == (2, 2, 0)
    assert row["success_percent"] == 100
    assert row["last_delivered_at"] is not None
    assert "secret" not in row
    assert shown(play, buyer)["pending"] == 1
    assert dashboard(play.services.db, play.agent("third"))["webhooks"] == []


def test_a_retry_sends_what_failed_again_under_the_same_id(play: Play, receiver: Receiver) -> None:
    """Broken build: a retry makes new deliveries, so the receiver counts twice; or it does not take
    up what was given up when the hook was disabled."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook_id = hook(play, seller, receiver.url)
    settled(play, seller, buyer)
    receiver.answers = lambda _message: 410
    rounds(play)
    assert status_of(play, seller, hook_id) == "disabled"
    assert shown(play, seller)["failed"] == 4
    [first] = receiver.ids()
    receiver.answers = lambda _message: 200
    assert retry(play.services.db, seller, hook_id)["queued"] == 4
    assert status_of(play, seller, hook_id) == "active"
    rounds(play)
    assert receiver.names() == ["proof.created", *TOLD]
    assert receiver.ids()[1] == first
    assert len(set(receiver.ids())) == 4


def test_a_retry_does_not_wait_for_the_next_try(
    play: Play, receiver: Receiver, database_url: str
) -> None:
    """Broken build: what waits hours for its next try waits on."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook_id = hook(play, seller, receiver.url, "settled")
    settled(play, seller, buyer)
    receiver.answers = lambda _message: 500
    for _ in range(3):
        rounds(play)
        due(database_url)
    rounds(play)
    seen = len(receiver.received)
    receiver.answers = lambda _message: 200
    rounds(play)
    assert len(receiver.received) == seen, "its next try is later"
    assert retry(play.services.db, seller, hook_id)["queued"] == 1
    rounds(play)
    assert len(receiver.received) == seen + 1
    assert [row["status"] for row in listed(play, seller, hook_id)] == ["delivered"]


def test_nobody_retries_anothers_hook(play: Play, receiver: Receiver) -> None:
    """Broken build: the hook is found by its id alone."""
    seller, stranger = play.agent("seller"), play.agent("stranger")
    hook_id = hook(play, seller, receiver.url)
    with pytest.raises(HookNotFound):
        retry(play.services.db, stranger, hook_id)
