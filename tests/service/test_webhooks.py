"""Outgoing webhooks: told once, in order, to those concerned, whatever dies. On both databases.

Real deals, a real receiver on loopback, and the worker's steps driven by hand.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import EventNameUnknown, HookNotFound, HookUrlRefused, InvalidField
from settlement.edge.outgoing import Sender
from settlement.service import deliveries as service
from settlement.service.deliveries import Deliveries
from settlement.store.webhooks import Share
from tests.support.house import Play, house
from tests.support.logs import raw_sql
from tests.support.receiver import Received, Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.core.principal import Principal

SECRET = "topsecret"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url) as services:
        yield Play(services)


def hook(play: Play, owner: Principal, url: str, *events: str) -> str:
    play.work()  # registrations are told before, and so to nobody
    made = play.services.webhooks.create(owner, url, events, SECRET)
    return str(made["hook_id"])


def rounds(play: Play, sender: Deliveries | None = None) -> None:
    """All that is due now: events told, indexes given, deliveries sent."""
    play.work()
    flights = sender or play.services.deliveries
    while flights.step():
        flights.wait()


def settled(play: Play, seller: Principal, buyer: Principal) -> dict[str, Any]:
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.services.engine.execute_all([])
    from settlement.core.operations import Settle

    play.services.engine.execute(Settle(principal=seller, deal_id=deal["deal_id"]))
    play.work()
    return deal


TAKEN = Share(limit=16, per_hook=4, per_owner=4)


def listed(play: Play, owner: Principal, hook_id: str) -> list[dict[str, Any]]:
    found = play.services.webhooks.deliveries(owner, hook_id)
    return list(reversed(found["deliveries"]))


def due(url: str) -> None:
    raw_sql(url, "UPDATE delivery SET due_us = 0 WHERE status = 'pending'")


def expire(url: str) -> None:
    raw_sql(url, "UPDATE delivery SET lease_expires_us = 1 WHERE status = 'leased'")


def status_of(play: Play, owner: Principal, hook_id: str) -> str:
    [found] = [
        one for one in play.services.webhooks.listed(owner)["webhooks"] if one["hook_id"] == hook_id
    ]
    return str(found["status"])


def test_a_deal_is_told_in_order_signed_and_once(play: Play, receiver: Receiver) -> None:
    """Broken build: signs parsed members instead of the raw body, sends before the event has its
    index, or sends one settlement under two ids."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook(play, seller, receiver.url)
    deal = settled(play, seller, buyer)
    rounds(play)
    rounds(play)
    assert receiver.names() == ["proof.created", "go.approved", "settled", "outcome.recorded"]
    assert len(set(receiver.ids())) == 4
    for message in receiver.received:
        assert message.signed_by(SECRET)
        assert not message.signed_by("another")
        members = message.members
        assert set(members) == {"id", "type", "deal_id", "created_at", "log_index", "data"}
        assert members["deal_id"] == deal["deal_id"]
        assert members["id"] == message.headers["webhook-id"]
        assert members["type"] == message.headers["x-aigentsy-event"]
        assert deal["quote_id"] not in message.body.decode()
    indexes = [message.members["log_index"] for message in receiver.received]
    assert indexes == sorted(indexes)


def test_only_parties_are_told_and_only_what_they_asked_for(play: Play, receiver: Receiver) -> None:
    """Broken build: every hook gets every deal's events, or names are not looked at."""
    seller, buyer, stranger = (play.agent(name) for name in ("seller", "buyer", "stranger"))
    hook(play, stranger, receiver.url)
    hook(play, buyer, receiver.url, "settled")
    settled(play, seller, buyer)
    rounds(play)
    assert receiver.names() == ["settled"]


def test_killed_between_commit_and_send_is_sent_after_the_restart(
    play: Play, receiver: Receiver, database_url: str, tmp_path: Path
) -> None:
    """Broken build: deliveries live in memory, or in a transaction after the one that emits."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook(play, seller, receiver.url, "settled")
    settled(play, seller, buyer)
    assert receiver.received == []
    with house(tmp_path / "again", database_url) as again:
        rounds(Play(again))
    assert receiver.names() == ["settled"]


class Dying(Sender):
    """Sends, and then is no more."""

    def post(self, url: str, headers: Any, body: bytes) -> Any:
        super().post(url, headers, body)
        raise RuntimeError("killed after the send")


def test_killed_between_send_and_mark_sends_the_same_id_again(
    play: Play, receiver: Receiver, database_url: str
) -> None:
    """Broken build: marks before it sends (lost), or makes a new id for a new try (counted twice
    by the receiver)."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook_id = hook(play, seller, receiver.url, "settled")
    settled(play, seller, buyer)
    dying = Deliveries(play.services.db, Dying(allow_loopback_http=True), owner="dying")
    rounds(play, dying)
    assert len(receiver.received) == 1
    rounds(play)
    assert len(receiver.received) == 1, "its lease still holds"
    expire(database_url)
    rounds(play)
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert [row["status"] for row in listed(play, seller, hook_id)] == ["delivered"]


def test_a_sender_that_overslept_records_nothing(
    play: Play, receiver: Receiver, database_url: str
) -> None:
    """Broken build: the record does not look at the fence, and a late failure undoes a success."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook_id = hook(play, seller, receiver.url, "settled")
    settled(play, seller, buyer)
    go_on, asked = threading.Event(), threading.Event()

    def slow_first(_message: Received) -> int:
        if asked.is_set():
            return 200
        asked.set()
        go_on.wait(20)
        return 500

    receiver.answers = slow_first
    late = Deliveries(play.services.db, Sender(allow_loopback_http=True), owner="late")
    assert late.step() == 1
    assert asked.wait(20)
    expire(database_url)
    rounds(play)
    go_on.set()
    late.close()
    [row] = listed(play, seller, hook_id)
    assert (row["status"], row["tries"]) == ("delivered", 1)


def test_a_poisoned_head_holds_up_its_own_deal_only(
    play: Play, receiver: Receiver, database_url: str
) -> None:
    """Broken build: later events overtake a failing one, or one deal stops the hook's others."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook(play, seller, receiver.url)
    poisoned, healthy = settled(play, seller, buyer), settled(play, seller, buyer)

    def refuse(message: Received) -> int:
        return 500 if message.members["deal_id"] == poisoned["deal_id"] else 200

    receiver.answers = refuse
    rounds(play)
    told = [(m.members["deal_id"], m.members["type"]) for m in receiver.received]
    names = ["proof.created", "go.approved", "settled", "outcome.recorded"]
    assert [name for deal, name in told if deal == poisoned["deal_id"]] == ["proof.created"]
    assert [name for deal, name in told if deal == healthy["deal_id"]] == names
    receiver.answers = lambda _message: 200
    receiver.received.clear()
    due(database_url)
    rounds(play)
    assert receiver.names() == names
    assert {m.members["deal_id"] for m in receiver.received} == {poisoned["deal_id"]}


def test_410_disables_and_the_owners_other_hook_is_told(play: Play, receiver: Receiver) -> None:
    """Broken build: 410 is tried again for three days, or the owner learns nothing."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    gone = hook(play, seller, receiver.url, "proof.created", "settled")
    other = hook(play, seller, receiver.url, "webhook.disabled")
    receiver.answers = lambda m: 410 if m.members["type"] == "proof.created" else 200
    settled(play, seller, buyer)
    rounds(play)
    assert receiver.names() == ["proof.created", "webhook.disabled"]
    assert receiver.received[1].members["data"]["hook_id"] == gone
    assert (status_of(play, seller, gone), status_of(play, seller, other)) == ("disabled", "active")


def test_the_last_try_disables(play: Play, receiver: Receiver, database_url: str) -> None:
    """Broken build: tries without end, or gives up on the message but not on the hook."""
    seller = play.agent("seller")
    hook_id = hook(play, seller, receiver.url)
    receiver.answers = lambda _message: 500
    play.proof(seller)
    for _ in range(12):
        rounds(play)
        due(database_url)
    assert len(receiver.received) == 10
    assert len({*receiver.ids()}) == 1
    assert status_of(play, seller, hook_id) == "disabled"


def test_replay_takes_a_disabled_hook_up_and_sends_what_it_missed_in_order(
    play: Play, receiver: Receiver
) -> None:
    """Broken build: only deliveries made before are replayed, so what happened while the hook was
    disabled is lost; or a replay has new ids."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook_id = hook(play, seller, receiver.url)
    receiver.answers = lambda _message: 410
    deal = play.proof(seller)
    rounds(play)
    first = receiver.ids()
    play.go(deal, buyer)
    rounds(play)
    receiver.answers = lambda _message: 200
    receiver.received.clear()
    answer = play.services.webhooks.replay(seller, hook_id, 0)
    assert answer["next_since_log_index"] is None
    rounds(play)
    told = [m for m in receiver.received if m.members["deal_id"] == deal["deal_id"]]
    assert [m.members["type"] for m in told] == ["proof.created", "go.approved"]
    assert told[0].members["id"] == first[0]
    since = told[1].members["log_index"]
    receiver.received.clear()
    assert play.services.webhooks.replay(seller, hook_id, since)["queued"] == 1
    rounds(play)
    assert receiver.names() == ["go.approved"]


def test_nothing_is_sent_after_deletion(play: Play, receiver: Receiver, database_url: str) -> None:
    """Broken build: what was owed, or leased already, is still sent to a hook that is gone."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    hook_id = hook(play, seller, receiver.url)
    settled(play, seller, buyer)
    flights = play.services.deliveries
    leased = play.services.db.transaction(lambda tx: flights._lease(tx, TAKEN))
    assert len(leased) == 1
    expire(database_url)  # so that the deletion need not wait for it
    play.services.webhooks.delete(seller, hook_id)
    for one in leased:
        flights._deliver(one)
    due(database_url)
    rounds(play)
    settled(play, seller, buyer)
    rounds(play)
    assert receiver.received == []
    with pytest.raises(HookNotFound):
        play.services.webhooks.deliveries(seller, hook_id)


def test_a_rotated_secret_signs_beside_the_old_one_for_a_while(
    play: Play, receiver: Receiver
) -> None:
    """Broken build: the old secret stops at once, so receivers refuse until they are changed; or it
    never stops."""
    seller = play.agent("seller")
    hook_id = hook(play, seller, receiver.url)
    rotated = play.services.webhooks.rotate(seller, hook_id, None, 3600)
    play.services.webhooks.test(seller, hook_id)
    play.services.webhooks.rotate(seller, hook_id, "third", 0)
    play.services.webhooks.test(seller, hook_id)
    both, alone = receiver.received
    assert both.signed_by(rotated["secret"])
    assert both.standard_by(SECRET)
    assert alone.signed_by("third")
    assert not alone.standard_by(rotated["secret"])


def test_secrets_are_shown_once_and_never_again(
    play: Play, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Broken build: a list, a delivery, a log line or an object's repr has the secret."""
    caplog.set_level("DEBUG")
    seller = play.agent("seller")
    made = play.services.webhooks.create(seller, receiver.url, [], None)
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["*"]
    own = play.services.webhooks.create(seller, receiver.url, [], SECRET)
    assert "secret" not in own
    receiver.answers = lambda _message: 410
    play.proof(seller)
    rounds(play)
    hooks = play.services.webhooks
    shown: list[object] = [
        hooks.listed(seller),
        hooks.deliveries(seller, made["hook_id"]),
        caplog.text,
    ]
    from settlement.store.webhooks import find_hook

    shown.append(play.services.db.read(lambda tx: [find_hook(tx, made["hook_id"])]))
    assert made["secret"] not in repr(shown)
    assert SECRET not in repr(shown)


def test_what_may_not_be_asked_for(play: Play, receiver: Receiver) -> None:
    """Broken build: inner addresses are accepted at creation, or unknown names, which would then
    never be sent."""
    seller, stranger = play.agent("seller"), play.agent("stranger")
    hooks = play.services.webhooks
    for url in ("http://example.com/", "https://10.0.0.1/", "ftp://x", "https://127.0.0.1/"):
        with pytest.raises(HookUrlRefused):
            hooks.create(seller, url, [], None)
    with pytest.raises(EventNameUnknown):
        hooks.create(seller, receiver.url, ["settled", "setled"], None)
    with pytest.raises(InvalidField):
        hooks.create(seller, receiver.url, [], "whsec_!!!")
    mine = hook(play, seller, receiver.url)
    for attempt in (hooks.delete, hooks.test, hooks.deliveries):
        with pytest.raises(HookNotFound):
            attempt(stranger, mine)
    assert hooks.listed(stranger)["webhooks"] == []


def test_two_senders_share_the_work(play: Play, receiver: Receiver, database_url: str) -> None:
    """Broken build: the lease does not look at the status, and two processes send one message."""
    seller = play.agent("seller")
    hook(play, seller, receiver.url)
    for _ in range(20):
        play.proof(seller)
    play.work()
    senders = [
        Deliveries(play.services.db, Sender(allow_loopback_http=True), owner=f"sender {n}")
        for n in range(3)
    ]

    def run(sender: Deliveries) -> None:
        while sender.step():
            sender.wait()

    threads = [threading.Thread(target=run, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for sender in senders:
        sender.close()
    rounds(play)
    assert len(receiver.ids()) == len(set(receiver.ids())) == 20
    assert service.SENDERS >= service.PER_HOOK


def test_an_owner_whose_receivers_are_silent_holds_up_nobody_else(
    play: Play, receiver: Receiver
) -> None:
    """Broken build: senders are shared out by hook, or by age alone, and one agent with many hooks
    on a silent address has them all."""
    many, one = play.agent("many hooks"), play.agent("one hook")
    go_on = threading.Event()
    with receiving() as silent:

        def hold(_message: object) -> int:
            go_on.wait(60)
            return 200

        silent.answers = hold
        for _ in range(2 * service.SENDERS // service.PER_OWNER):
            hook(play, many, silent.url)
        for _ in range(service.PER_OWNER):
            play.proof(many)
        play.work()
        hook(play, one, receiver.url)
        play.proof(one)
        play.work()
        flights = play.services.deliveries
        try:
            while flights.step():  # hands out, and does not wait
                pass
            receiver.wait_for("proof.created")
            assert len(silent.received) <= service.PER_OWNER
        finally:
            go_on.set()
            flights.wait()
        rounds(play)
    assert len(silent.ids()) > 2 * service.PER_OWNER, "and its own come in their turn"
