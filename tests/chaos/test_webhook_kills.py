"""kill -9 around the sending of a webhook: delivered after the restart, under one id.

A server dies at a named point between the commit that owes the delivery, the send, and the mark
that it was sent. The receiver is real and counts each id once, as a customer would.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.site import Site
from tests.support.callers import send
from tests.support.logs import raw_sql
from tests.support.raw import open_raw
from tests.support.receiver import Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Deployment

pytestmark = pytest.mark.chaos
SECRET = "topsecret"
#: Where it dies, and how often the receiver has the message in the end.
POINTS = [("webhook.after_lease", 1), ("webhook.before_send", 1), ("webhook.after_send", 2)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def states(url: str) -> list[object]:
    with open_raw(url) as raw:
        return [row[0] for row in raw.rows("SELECT status FROM delivery")]


@pytest.mark.parametrize(("point", "copies"), POINTS)
def test_a_server_killed_around_a_send_delivers_after_the_restart_under_one_id(
    deployment: Deployment, receiver: Receiver, point: str, copies: int
) -> None:
    """Catches: a delivery that lives in memory; one marked before it is sent, which a kill loses;
    a new id for the next try, which the receiver counts as news."""
    server = deployment.server()
    site = Site(bases=[server.url], deployment=deployment)
    seller = site.agent()
    wish = {"url": receiver.url, "events": ["proof.created"], "secret": SECRET}
    site.post("/protocol/webhooks", wish, seller.headers)
    server.stop()

    deadly = deployment.server(SETTLEMENT_FAULTS=f"{point}:kill@1")
    site.bases[0] = deadly.url
    send(deadly.url, site.plan("/protocol/stamp", {"agent_id": seller.agent_id}))
    assert deadly.ended() == -signal.SIGKILL, deadly.story("survived")
    assert f"fault {point}: kill" in deadly.log.read_text()
    assert states(deployment.database) == ["leased"]
    assert len(receiver.received) == copies - 1

    raw_sql(deployment.database, "UPDATE delivery SET lease_expires_us = 1")
    server.start()
    got = receiver.wait_for("proof.created", copies)
    assert len(got) == copies
    assert len({message.headers["webhook-id"] for message in got}) == 1
    assert len({message.body for message in got}) == 1
    assert all(message.signed_by(SECRET) for message in got)
    server.stop()
    assert states(deployment.database) == ["delivered"]
    assert len(receiver.received) == copies
    deployment.assert_audit_is_clean()
