"""Contract §2.13 through the SDK, sync and async, against a live server and a real receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.clients.sdk import AsyncSdk, SyncSdk
from tests.support.receiver import Receiver, receiving
from tests.support.wire import members

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anyio.from_thread

    from tests.support.server import Server

pytestmark = pytest.mark.clients


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def test_a_subscription_from_first_to_last(sdk: SyncSdk, receiver: Receiver) -> None:
    """Broken build: a list without what was made, a deletion that still sends, a secret listed."""
    seller = sdk.registered()
    made = sdk.ok("create_webhook", receiver.url, ["settled"])
    members(made, hook_id=str, events=list, status=str, secret=str)
    assert made["events"] == ["settled"]
    assert made["secret"].startswith("whsec_")
    listed = sdk.ok("list_webhooks")
    assert [one["hook_id"] for one in listed["webhooks"]] == [made["hook_id"]]
    assert made["secret"] not in str(listed)

    tested = sdk.ok("test_webhook", made["hook_id"])
    assert (tested["delivered"], tested["status_code"]) == (True, 200)
    [test] = receiver.wait_for("webhook.test")
    assert test.signed_by(made["secret"])

    pack = sdk.approved(seller)
    sdk.ok("settle", pack["deal_id"], pack["approved"], seller, "some_buyer")
    sdk.ok("settle", pack["deal_id"], pack["approved"], seller, "some_buyer")
    [message] = receiver.wait_for("settled")
    assert message.signed_by(made["secret"])
    assert message.members["deal_id"] == pack["deal_id"]

    assert sdk.ok("delete_webhook", made["hook_id"])["deleted"] is True
    assert sdk.ok("list_webhooks")["webhooks"] == []
    other = sdk.ok("create_webhook", receiver.url, ["settled"], "topsecret")
    assert "secret" not in other
    next_pack = sdk.approved(seller)
    sdk.ok("settle", next_pack["deal_id"], next_pack["approved"], seller, "some_buyer")
    _, later = receiver.wait_for("settled", 2)
    assert later.signed_by("topsecret"), "the deleted one got nothing"


def test_the_async_client_subscribes_too(
    server: Server, portal: anyio.from_thread.BlockingPortal, receiver: Receiver
) -> None:
    """Broken build: a body without `events` is refused, though the client leaves it out for all."""
    with AsyncSdk(server.url, portal) as sdk:
        seller = sdk.registered()
        made = sdk.ok("create_webhook", receiver.url)
        assert made["events"] == ["*"]
        sdk.ok("stamp", seller, "work")
        [message] = receiver.wait_for("proof.created")
        assert message.signed_by(made["secret"])


def test_unknown_names_and_other_agents_hooks(
    sdk: SyncSdk, server: Server, receiver: Receiver
) -> None:
    """Broken build: a misspelt name is accepted and never sent; a stranger deletes a hook."""
    sdk.registered()
    with pytest.raises(httpx.HTTPStatusError) as caught:
        sdk.call("create_webhook", receiver.url, ["setled"])
    assert caught.value.response.status_code == 422
    assert caught.value.response.json()["error"] == "event_name_unknown"
    made = sdk.ok("create_webhook", receiver.url)
    with SyncSdk(server.url) as stranger:
        stranger.registered()
        for method in ("delete_webhook", "test_webhook"):
            with pytest.raises(httpx.HTTPStatusError) as caught:
                stranger.call(method, made["hook_id"])
            assert caught.value.response.status_code == 404
            assert caught.value.response.json()["error"] == "hook_not_found"


@pytest.mark.long
def test_a_server_killed_within_a_send_sends_the_same_id_again(
    sdk: SyncSdk, server: Server, receiver: Receiver
) -> None:
    """Broken build: the delivery is marked before it is sent, and the kill loses it."""
    seller = sdk.registered()
    sdk.ok("create_webhook", receiver.url, ["proof.created"])

    def kill(_message: object) -> int:
        receiver.answers = lambda _next: 200
        server.kill()
        return 200

    receiver.answers = kill
    sdk.ok("stamp", seller, "work")
    receiver.wait_for("proof.created")
    server.kill()
    server.start()
    first, second = receiver.wait_for("proof.created", 2)[:2]
    assert first.members["id"] == second.members["id"]
    assert first.body == second.body
