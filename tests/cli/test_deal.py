"""`settlement deal`, `replay` and `outbox release`: what an operator asks about one deal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from settlement.edge.rails.simulated import OUTAGE, Behaviour
from tests.cli.running import run
from tests.support.house import Play, house
from tests.support.logs import raw_sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.running import Ran


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url) as services:
        yield Play(services)


def settled(play: Play) -> dict[str, Any]:
    seller = play.agent("seller")
    deal = play.proof(seller)
    play.go(deal, play.agent("buyer"))
    play.settle(deal, seller)
    return deal


def ask(tmp_path: Path, url: str, *arguments: str) -> Ran:
    return run(tmp_path, *arguments, "--json", SETTLEMENT_DATABASE=url)


def test_a_deal_tells_what_it_waits_for_until_nothing_does(
    play: Play, tmp_path: Path, database_url: str
) -> None:
    """Broken build: a state is shown, and whoever is on call has to guess who can end it; or the
    quote, which lets anybody approve, is shown over a shoulder."""
    deal = settled(play)
    name = deal["deal_id"]
    shown = ask(tmp_path, database_url, "deal", name)
    waits = {one["what"]: one["waits_for"] for one in shown.json()["waits"]}
    (effect,) = shown.json()["effects"]
    assert waits[name] == "the rail's answer to the charge"
    assert waits[effect["effect_id"]] == "a worker that sends it to the rail"
    assert deal["quote_id"] not in shown.out
    play.work()
    while play.services.outbox.step():
        pass
    after = ask(tmp_path, database_url, "deal", name).json()
    assert (after["status"], after["waits"], after["messages"]) == ("settled", [], [])
    assert [one["event_type"] for one in after["events"]][-2:] == ["SETTLED", "OUTCOME_RECORDED"]
    assert "status" in run(tmp_path, "deal", name, SETTLEMENT_DATABASE=database_url).out
    assert ask(tmp_path, database_url, "deal", "deal_none").code == 5


def test_an_unknown_outcome_says_not_to_pay_by_hand(
    play: Play, tmp_path: Path, database_url: str
) -> None:
    """Broken build: silence looks like a failure, and somebody pays again."""
    play.rail.program([Behaviour(does=OUTAGE)])
    deal = settled(play)
    play.services.effects.step()
    shown = ask(tmp_path, database_url, "deal", deal["deal_id"]).json()
    (effect,) = shown["effects"]
    assert effect["state"] == "unknown"
    assert any("never pay again by hand" in one["waits_for"] for one in shown["waits"])


def test_replay_is_clean_or_names_the_difference_with_exit_code_1(
    play: Play, tmp_path: Path, database_url: str
) -> None:
    """Broken build: exit code 0 whatever was found, so that a script goes on."""
    deal = settled(play)
    play.work()
    found = ask(tmp_path, database_url, "replay", deal["deal_id"])
    assert (found.code, found.json()["verdict"]) == (0, "clean")
    raw_sql(
        database_url,
        "UPDATE settlement_payee SET net_minor = net_minor - 1",
        without_triggers=True,
    )
    found = ask(tmp_path, database_url, "replay", deal["deal_id"])
    assert (found.code, found.json()["verdict"]) == (1, "broken")
    told = run(tmp_path, "replay", deal["deal_id"], SETTLEMENT_DATABASE=database_url)
    assert told.code == 1
    assert "broken" in told.out.splitlines()[-1]


def test_a_parked_message_goes_on_once_its_event_is_there_and_not_before(
    play: Play, tmp_path: Path, database_url: str
) -> None:
    """Broken build: a release tells hooks of an event that is in no chain, or loses the reason."""
    settled(play)
    play.work()
    raw_sql(database_url, "UPDATE outbox SET status = 'parked', attempts = 8")
    parked = ask(tmp_path, database_url, "outbox", "--state", "parked").json()["outbox"]
    seq = str(parked[0]["seq"])
    done = ask(tmp_path, database_url, "outbox", "release", seq, "--reason", "restored")
    assert (done.code, done.json()["released"]) == (0, True)
    pending = ask(tmp_path, database_url, "outbox").json()["outbox"]
    assert [one["seq"] for one in pending] == [int(seq)]
    assert pending[0]["last_error"].endswith(": restored")
    again = ask(tmp_path, database_url, "outbox", "release", seq, "--reason", "restored")
    assert (again.code, again.json()["released"]) == (0, False)

    other = str(parked[1]["seq"])
    raw_sql(database_url, f"UPDATE outbox SET event_id = 'evt_none' WHERE seq = {other}")
    refused = ask(tmp_path, database_url, "outbox", "release", other, "--reason", "try")
    assert (refused.code, refused.json()["released"]) == (1, False)
    assert ask(tmp_path, database_url, "outbox", "release", "999", "--reason", "x").code == 5
