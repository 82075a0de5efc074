"""Rails' messages at the door: who signed them, and that each is taken in once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from litestar.testing import TestClient

from settlement.core.webhooks import inbound_event_id
from settlement.edge.http.app import create_app
from tests.edge.test_transport import problem
from tests.edge.world import World, world
from tests.support.house import Play, house
from tests.support.rows import count_rows, read_rows
from tests.support.signed import (
    PREVIOUS,
    SETTINGS,
    SIMULATED_PATH,
    Signed,
    charge,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES = 4
REPEATS = 50


@pytest.fixture
def live(tmp_path: Path, sqlite_url: str) -> Iterator[World]:
    """A world without loops, whose rail has a secret."""
    with world(tmp_path, sqlite_url, **SETTINGS) as served:
        served.quiet()
        yield served


def send(live: World, message: Signed, path: str = SIMULATED_PATH) -> Any:
    return live.call("POST", path, content=message.body, headers=message.headers)


def test_a_signed_message_is_kept_and_named_by_rail_and_id(live: World) -> None:
    message = signed("msg_1", charge("deal_nobody", "ch_1"))
    first, second = send(live, message).json(), send(live, message).json()
    event_id = inbound_event_id("simulated", "msg_1")
    assert first == {"ok": True, "event_id": event_id, "_idempotent": False}
    assert second == {"ok": True, "event_id": event_id, "_idempotent": True}
    assert count_rows(live.url)["inbox"] == 1


def test_the_secret_before_is_accepted_during_a_rotation(live: World) -> None:
    message = signed("msg_1", charge("deal_nobody", "ch_1"), secret=PREVIOUS)
    assert send(live, message).status_code == 200


def test_what_the_rail_did_not_sign_is_401_and_nothing_is_stored(live: World) -> None:
    """Broken build: the signature is checked over parsed members, or not at all, and anybody who
    knows a deal's id can say that it was paid."""
    good = signed("msg_1", charge("deal_nobody", "ch_1"))
    before = count_rows(live.url)
    bad = {
        "other body": Signed(good.body + b" ", good.headers),
        "other id": Signed(good.body, {**good.headers, "webhook-id": "msg_2"}),
        "no signature": Signed(good.body, {}),
        "other secret": signed("msg_1", charge("deal_nobody", "ch_1"), secret="x" * 20),
        "too old": signed("msg_1", charge("deal_nobody", "ch_1"), age_seconds=301),
        "too new": signed("msg_1", charge("deal_nobody", "ch_1"), age_seconds=-330),
    }
    for why, message in bad.items():
        problem(send(live, message), 401, "signature_invalid")
        assert count_rows(live.url) == before, why
    assert send(live, signed("msg_1", charge("d", "ch_1"), age_seconds=290)).status_code == 200


def test_without_a_secret_nothing_is_signed(tmp_path: Path, sqlite_url: str) -> None:
    """Broken build: an unset secret verifies the empty key's signatures."""
    with world(tmp_path, sqlite_url) as bare:
        message = signed("msg_1", charge("deal_nobody", "ch_1"))
        problem(send(bare, message), 401, "signature_invalid")


def test_a_rail_that_is_not_here_is_404(live: World) -> None:
    message = signed("msg_1", charge("deal_nobody", "ch_1"))
    for rail in ("other", "Simulated", "x" * 300, "%00"):
        problem(send(live, message, f"/protocol/webhooks/provider/{rail}"), 404, "rail_unknown")


def test_a_signed_message_that_is_no_object_is_400(live: World) -> None:
    before = count_rows(live.url)
    for body in (b"", b"[]", b"{", b"\xff", b"[" * 10_000):
        problem(send(live, signed("msg_1", body)), 400, "json_malformed")
    assert count_rows(live.url) == before


def test_a_message_too_large_is_refused_unread(live: World) -> None:
    message = signed("msg_1", {"type": "x" * (256 * 1024)})
    problem(send(live, message), 400, "body_too_large")


def test_a_key_is_neither_needed_nor_looked_at(live: World) -> None:
    message = signed("msg_1", charge("deal_nobody", "ch_1"))
    headers = {**message.headers, "X-API-Key": "not a key"}
    assert send(live, Signed(message.body, headers)).status_code == 200


def _send_often(directory: str, url: str, message: Signed, times: int) -> list[tuple[int, bool]]:
    """One process: the app over its own house, the message again and again."""
    with (
        house(Path(directory), url, None, **SETTINGS) as services,
        TestClient(create_app(services)) as client,
    ):
        answers = [
            client.post(SIMULATED_PATH, content=message.body, headers=dict(message.headers))
            for _ in range(times)
        ]
        services.inbox.step()
        return [(a.status_code, a.json().get("_idempotent")) for a in answers]


@pytest.mark.chaos
def test_one_message_fifty_times_in_four_processes_is_booked_once(
    tmp_path: Path, database_url: str
) -> None:
    """Broken build: look first and insert then, which two processes do at once; or a 500 for the
    one that loses, which the rail takes for a failure and sends again for days."""
    with house(tmp_path, database_url, None, **SETTINGS) as services:
        play = Play(services)
        deal = play.proof(play.agent("seller"))
        play.go(deal, play.agent("buyer"))
    message = signed("msg_1", charge(deal["deal_id"], "ch_1"))
    shares = [REPEATS // PROCESSES + (n < REPEATS % PROCESSES) for n in range(PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        told = pool.starmap(
            _send_often,
            [(str(tmp_path), database_url, message, share) for share in shares],
            chunksize=1,
        )
    answers = [answer for one in told for answer in one]
    assert len(answers) == REPEATS
    assert {status for status, _ in answers} == {200}
    assert [repeated for _, repeated in answers].count(False) == 1
    assert count_rows(database_url)["inbox"] == 1
    assert read_rows(database_url, "SELECT status FROM inbox") == [("applied",)]
    assert read_rows(database_url, "SELECT amount_minor FROM transfer") == [(10_000,)]
