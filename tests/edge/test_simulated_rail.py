"""The simulated rail: one charge per key, by any number of processes, whatever it is told to do."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import StoreCorrupt
from settlement.edge.rails.base import RailAnswer, RailKeyReused, RailRequest, RailSilent
from settlement.edge.rails.simulated import DECLINE_CODE, Behaviour, SimulatedRail

if TYPE_CHECKING:
    from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")


def request(n: int = 1, **changes: object) -> RailRequest:
    made = RailRequest(
        kind="charge",
        rail_key=f"key_{n}",
        obligation_key=f"charge:deal_{n}:0",
        asset="USD/2",
        amount_minor=100,
        deal_id=f"deal_{n}",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # names are the fields'


def send_many(directory: Path, count: int) -> None:
    """What a process of its own does; at module level, so that it can be found there."""
    rail = SimulatedRail(directory)
    for n in range(count):
        assert rail.send(request(n)).state == "confirmed"
    rail.close()


def charged(directory: Path) -> list[str]:
    rail = SimulatedRail(directory)
    entries = rail.entries()
    rail.close()
    return [entry.rail_key for entry in entries]


def test_a_key_is_charged_once_and_answered_alike(tmp_path: Path) -> None:
    rail = SimulatedRail(tmp_path)
    answers = [rail.send(request()) for _ in range(3)]
    assert len(set(answers)) == 1
    assert rail.ask("charge", "key_1") == answers[0]
    assert rail.ask("charge", "key_2") is None
    (entry,) = rail.entries()
    assert (entry.amount_minor, entry.deal_id, entry.state) == (100, "deal_1", "charged")


def test_four_processes_and_their_threads_charge_each_key_once(tmp_path: Path) -> None:
    """Broken build: no flock, or an index that does not read what others wrote."""
    processes = [SPAWN.Process(target=send_many, args=(tmp_path, 40)) for _ in range(3)]
    threads = [threading.Thread(target=send_many, args=(tmp_path, 40)) for _ in range(4)]
    for process in processes:
        process.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    lines = [json.loads(line) for line in (tmp_path / "book.jsonl").read_text().splitlines()]
    assert sorted(line["rail_key"] for line in lines) == sorted(f"key_{n}" for n in range(40))


def test_who_holds_the_book_keeps_everybody_else_out(tmp_path: Path) -> None:
    """Broken build: threads of one process are kept apart, other processes are not."""
    rail = SimulatedRail(tmp_path)
    with (tmp_path / "book.jsonl").open("rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        caller = threading.Thread(target=rail.send, args=(request(),))
        caller.start()
        caller.join(0.5)
        assert caller.is_alive()
        fcntl.flock(theirs, fcntl.LOCK_UN)
    caller.join(30)
    assert charged(tmp_path) == ["key_1"]


def test_a_key_with_another_amount_is_an_error_and_no_second_charge(tmp_path: Path) -> None:
    """Broken build: the key is all that is compared, and a wrong amount looks confirmed; or it is
    called refused although money moved."""
    rail = SimulatedRail(tmp_path)
    rail.send(request())
    for other in (request(amount_minor=101), request(kind="payout"), request(asset="USDC/6")):
        with pytest.raises(RailKeyReused):
            rail.send(other)
    with pytest.raises(RailKeyReused):
        rail.ask("payout", "key_1")
    assert len(rail.entries()) == 1


def test_what_is_declined_stays_declined_under_its_key(tmp_path: Path) -> None:
    rail = SimulatedRail(tmp_path)
    rail.program([Behaviour(does="decline", match="charge:", first=1)])
    first = rail.send(request())
    assert (first.state, first.code) == ("refused", DECLINE_CODE)
    assert rail.send(request()) == rail.ask("charge", "key_1") == first
    assert rail.entries() == []
    assert rail.send(request(2)).state == "confirmed"


@pytest.mark.parametrize(
    ("does", "charges"), [("charge_then_silence", 1), ("silence_without_charge", 0)]
)
def test_silence_is_no_answer_and_asking_tells(tmp_path: Path, does: str, charges: int) -> None:
    rail = SimulatedRail(tmp_path)
    rail.program([Behaviour(does=does, match="deal_1", first=1)])
    with pytest.raises(RailSilent):
        rail.send(request())
    asked = rail.ask("charge", "key_1")
    assert (asked is not None) == bool(charges)
    assert len(rail.entries()) == charges
    assert rail.send(request()).state == "confirmed"
    assert len(rail.entries()) == 1


def test_during_an_outage_not_even_questions_are_answered(tmp_path: Path) -> None:
    rail = SimulatedRail(tmp_path)
    rail.program([Behaviour(does="outage")])
    with pytest.raises(RailSilent):
        rail.send(request())
    with pytest.raises(RailSilent):
        rail.ask("charge", "key_1")
    rail.program([])
    assert rail.ask("charge", "key_1") is None


def test_a_slow_answer_comes_in_the_end(tmp_path: Path) -> None:
    slept: list[object] = []
    rail = SimulatedRail(tmp_path, sleep=slept.append)
    rail.program([Behaviour(does="slow:250", match="deal_1")])
    assert rail.send(request()).state == "confirmed"
    assert slept == [0.25]


def test_rules_count_across_processes_and_the_first_that_matches_counts(tmp_path: Path) -> None:
    one, two = SimulatedRail(tmp_path), SimulatedRail(tmp_path)
    one.program([Behaviour(does="decline", match="deal_2"), Behaviour(does="decline", first=2)])
    assert [one.send(request(2)).state, two.send(request(2)).state] == ["refused"] * 2
    states = [rail.send(request(n)).state for n, rail in enumerate((one, two, one), start=3)]
    assert states == ["refused", "refused", "confirmed"]


def test_a_behaviour_nobody_implements_is_refused() -> None:
    for does in ("explode", "slow:", "slow:x"):
        with pytest.raises(ValueError, match="cannot"):
            Behaviour(does=does)


def test_a_torn_last_line_is_cut_and_its_key_is_free(tmp_path: Path) -> None:
    """A crash in the middle of a write: that line was never answered.

    Broken build: the next line is glued to the torn one, and both are lost.
    """
    rail = SimulatedRail(tmp_path)
    rail.send(request(1))
    rail.send(request(2))
    rail.close()
    book = tmp_path / "book.jsonl"
    book.write_bytes(book.read_bytes()[:-20])
    again = SimulatedRail(tmp_path)
    assert again.ask("charge", "key_2") is None
    assert again.send(request(3)).state == "confirmed"
    assert charged(tmp_path) == ["key_1", "key_3"]
    assert all(json.loads(line) for line in book.read_text().splitlines())


def test_any_other_damage_is_reported(tmp_path: Path) -> None:
    (tmp_path / "book.jsonl").write_text('{"line": "entry", \n{}\n')
    with pytest.raises(StoreCorrupt):
        SimulatedRail(tmp_path).entries()


def test_answers_are_on_disk_before_they_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: no fsync; a power cut forgets a charge that we have booked."""
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    rail = SimulatedRail(tmp_path)
    assert isinstance(rail.send(request()), RailAnswer)
    assert len(synced) == 1
    rail.send(request())
    assert len(synced) == 1  # nothing new was written
