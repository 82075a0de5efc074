"""A storm: every charge is made and none is answered. Each settle ends confirmed, charged once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from settlement.core.operations import Settle
from settlement.service.audit import run_audit
from tests.support.effect_process import run_step
from tests.support.house import Play, house
from tests.support.logs import raw_sql
from tests.support.rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SILENT = "charge_then_silence"


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    """A house whose books must balance when the storm is over."""
    with house(tmp_path, database_url) as services:
        yield Play(services)
        failed = run_audit(services.db).failed()
        assert failed == [], failed


def settling(play: Play, count: int) -> list[str]:
    """Deals whose settles all wait for the rail."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deals = [play.proof(seller) for _ in range(count)]
    for deal in deals:
        play.go(deal, buyer)
    ids = [str(deal["deal_id"]) for deal in deals]
    settles = [Settle(principal=seller, deal_id=deal_id) for deal_id in ids]
    assert all(answer.running for answer in play.services.engine.execute_all(settles))
    return ids


def drain(play: Play) -> None:
    while play.services.effects.step():
        pass


def states(url: str) -> dict[str, int]:
    return dict(Counter(state for (state,) in read_rows(url, "SELECT state FROM effect")))


def weather(play: Play, url: str, count: int) -> None:
    """All are sent into silence, then asked about; the rail's book and ours have each once."""
    deals = settling(play, count)
    play.misbehave(SILENT, "")
    drain(play)
    assert states(url) == {"unknown": count}
    raw_sql(url, "UPDATE job SET run_at_us = 0")
    drain(play)
    expect_each_once(play, url, deals)


def expect_each_once(play: Play, url: str, deals: list[str]) -> None:
    assert states(url) == {"confirmed": len(deals)}
    charged = Counter(entry.deal_id for entry in play.rail.entries())
    assert charged == dict.fromkeys(deals, 1)
    booked = read_rows(url, "SELECT deal_id FROM transfer WHERE kind = 'charge'")
    assert Counter(deal_id for (deal_id,) in booked) == dict.fromkeys(deals, 1)
    assert read_rows(url, "SELECT DISTINCT state FROM deal") == [("settled",)]
    assert read_rows(url, "SELECT DISTINCT status FROM job WHERE job_type = 'effect'") == [
        ("done",)
    ]


@pytest.mark.chaos
def test_two_hundred_charges_in_silence_are_each_made_and_booked_once(
    play: Play, database_url: str
) -> None:
    """Broken build: silence is taken for a refusal, and the next settle charges again; or an
    unknown effect is sent anew under a key made of the attempt."""
    weather(play, database_url, 200)


@pytest.mark.long
@pytest.mark.chaos
def test_five_hundred_charges_in_silence_are_each_made_and_booked_once(
    play: Play, database_url: str
) -> None:
    """Broken build: as with two hundred; more of them, so that asking takes several rounds."""
    weather(play, database_url, 500)


@pytest.mark.chaos
def test_killed_after_the_calls_and_before_the_record_each_is_charged_once(
    play: Play, tmp_path: Path, database_url: str
) -> None:
    """Broken build: an effect is marked sent only with its answer, so what the dead process had
    sent is sent again by the next as if for the first time."""
    deals = settling(play, 100)
    play.misbehave(SILENT, "")
    killed = run_step(tmp_path, database_url, "effect.after_send:kill")
    assert killed.returncode == -9, killed.stderr
    assert len(play.rail.entries()) == 64
    assert states(database_url) == {"sent": 64, "planned": 36}
    raw_sql(database_url, "UPDATE job SET lease_expires_us = 1 WHERE status = 'leased'")
    drain(play)
    raw_sql(database_url, "UPDATE job SET run_at_us = 0")
    drain(play)
    expect_each_once(play, database_url, deals)
