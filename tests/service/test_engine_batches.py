"""What the engine promises about batches, its queue, its end, and those who wait for a rail."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from concurrent.futures import wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import (
    Busy,
    DatabaseUnavailable,
    InternalFault,
    QuoteMismatch,
    RequestInProgress,
    ShuttingDown,
)
from settlement.service.tickets import Ticket, choose, make_ticket
from tests.support.notes import (
    FinishNote,
    Note,
    agent,
    new_engine,
    opened,
    running,
    until,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.core.writeset import WriteSet
    from settlement.store.database import Database

SECONDS = 20


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


class Gate:
    """Holds the committer inside a decision, so that a test can fill the queue behind it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(SECONDS)


# --- batches -------------------------------------------------------------------------------------


def test_what_queued_during_a_commit_is_the_next_batch(db: Database) -> None:
    """Broken build: a commit per operation (or a timer), and 100 callers cost 100 syncs."""
    gate = Gate()
    with running(db) as engine:
        first = engine.submit(Note(deal_id="deal_first", deciding=gate))
        assert gate.reached.wait(SECONDS)
        rest = [engine.submit(Note(deal_id=f"deal_{n}")) for n in range(100)]
        gate.opened.set()
        assert all(future.result(SECONDS).error is None for future in [first, *rest])
        assert engine.stats()["batches"] == 2
        assert engine.stats()["operations"] == 101


def test_identical_calls_in_one_batch_are_decided_once(db: Database) -> None:
    """Broken build: the batch reads claims once and runs each call it found none for; the index
    refuses the second, and fifty transactions follow where one was enough."""
    engine = new_engine(db)
    answers = engine.run_batch([Note(deal_id="deal_a", once=True) for _ in range(50)])
    assert engine.stats()["batches"] == 1
    assert [answer.replayed for answer in answers] == [False] + [True] * 49
    assert len({json.dumps(answer.result) for answer in answers}) == 1
    assert versions(db, "deal_a") == [0]


def test_identical_calls_with_a_sent_key_and_one_that_differs(db: Database) -> None:
    alice = agent("agent_alice")
    same = [Note(deal_id="deal_a", principal=alice, sent_key="k", text="a") for _ in range(3)]
    other = Note(deal_id="deal_a", principal=alice, sent_key="k", text="b")
    *answers, last = new_engine(db).run_batch([*same, other])
    assert [answer.replayed for answer in answers] == [False, True, True]
    assert last.error is not None
    assert last.error.code == "idempotency_mismatch"
    assert versions(db, "deal_a") == [0]


def test_calls_of_one_deal_run_in_the_order_of_arrival(db: Database) -> None:
    """Broken build: both run in one batch on one loaded state, and the chain forks."""
    engine = new_engine(db)
    answers = engine.run_batch([Note(deal_id="deal_a", text=str(n)) for n in range(5)])
    assert [answer.unwrap()["version"] for answer in answers] == [0, 1, 2, 3, 4]
    assert [answer.unwrap()["text"] for answer in answers] == ["0", "1", "2", "3", "4"]
    assert engine.stats()["batches"] == 5


def test_a_busy_deal_does_not_hold_up_the_others(db: Database) -> None:
    """Broken build: deferred calls are queued anew at the end, or block the queue's head."""
    gate = Gate()
    order: list[dict[str, Any]] = []
    with running(db) as engine:
        engine.submit(Note(deal_id="deal_first", deciding=gate))
        assert gate.reached.wait(SECONDS)
        calls = [Note(deal_id="deal_hot", text=str(n)) for n in range(3)]
        calls += [Note(deal_id="deal_cold"), Note(deal_id="deal_hot", text="3")]
        futures = [engine.submit(call) for call in calls]
        for future in futures:
            future.add_done_callback(lambda done: order.append(done.result().unwrap()))
        gate.opened.set()
        wait(futures, SECONDS)
    assert [answer["deal_id"] for answer in order[:2]] == ["deal_hot", "deal_cold"]
    hot = [answer["text"] for answer in order if answer["deal_id"] == "deal_hot"]
    assert hot == ["0", "1", "2", "3"]


@dataclass(frozen=True)
class Queued:
    ticket: Ticket


def test_deferred_calls_come_first_next_time_in_the_order_of_arrival() -> None:
    """Broken build: what is deferred goes to the end of the queue, behind all who came later."""
    ids = ["hot", "hot", "cold", "hot", "cool"]
    calls = [Note(deal_id=f"deal_{name}", text=str(n)) for n, name in enumerate(ids)]
    queue = deque(Queued(make_ticket(call)) for call in calls)
    taken = choose(queue, 2)
    assert [item.ticket.op for item in taken] == [calls[0], calls[2]]
    assert [item.ticket.op for item in queue] == [calls[1], calls[3], calls[4]]


# --- faults --------------------------------------------------------------------------------------


def test_one_guilty_operation_fails_alone(db: Database) -> None:
    """Broken build: the batch fails as one, and a stranger's bug refuses a hundred settles."""
    for bad in ("bug", "unforeseen"):
        calls = [Note(deal_id=f"deal_{bad}_{n}") for n in range(10)]
        calls[4] = Note(deal_id=f"deal_{bad}_4", does=bad)
        answers = new_engine(db).run_batch(calls)
        assert [answer.error is None for answer in answers] == [n != 4 for n in range(10)]
        fault = answers[4].error
        assert isinstance(fault, InternalFault)
        assert len(fault.reference) == 16
        assert versions(db, f"deal_{bad}_3") == [0]
        assert versions(db, f"deal_{bad}_4") == []


def test_a_refusal_in_a_batch_changes_nothing_for_the_others(db: Database) -> None:
    calls = [Note(deal_id="deal_a"), Note(deal_id="deal_b", does="refuse"), Note(deal_id="deal_c")]
    answers = new_engine(db).run_batch(calls)
    assert isinstance(answers[1].error, QuoteMismatch)
    assert [answers[0].error, answers[2].error] == [None, None]
    assert versions(db, "deal_b") == []


class Away:
    """A database that has gone away; the engine sees nothing else of it."""

    kind = "sqlite"

    def transaction(self, fn: object, /) -> object:
        raise DatabaseUnavailable(reason="the cable is out")

    read = transaction


def test_nothing_is_acknowledged_while_the_database_is_away() -> None:
    engine = new_engine(Away())  # type: ignore[arg-type]  # as much of one as there is
    answers = engine.run_batch([Note(deal_id="deal_a"), Note(deal_id="deal_b")])
    assert all(isinstance(answer.error, DatabaseUnavailable) for answer in answers)


def test_a_listener_that_fails_does_not_undo_or_repeat_the_commit(db: Database) -> None:
    """Broken build: its error looks like the batch's; what is committed is called a fault."""

    def listener(writes: WriteSet) -> None:
        raise RuntimeError("a listener's bug")

    engine = new_engine(db, listeners=[listener])
    assert engine.execute(Note(deal_id="deal_a")).unwrap()["version"] == 0
    assert versions(db, "deal_a") == [0]


# --- the queue and the end -----------------------------------------------------------------------


def test_a_full_queue_refuses_and_our_own_records_go_on(db: Database) -> None:
    """Broken build: the queue grows without limit, or keeps a rail's answers out of the books."""
    gate = Gate()
    with running(db, queue_limit=2) as engine:
        engine.submit(Note(deal_id="deal_first", deciding=gate))
        assert gate.reached.wait(SECONDS)
        queued = [engine.submit(Note(deal_id=f"deal_{n}")) for n in range(2)]
        with pytest.raises(Busy) as busy:
            engine.submit(Note(deal_id="deal_2"))
        assert busy.value.retry_after_seconds > 0
        ours = threading.Thread(target=engine.execute_all, args=([Note(deal_id="deal_ours")],))
        ours.start()
        gate.opened.set()
        ours.join(SECONDS)
        wait(queued, SECONDS)
    assert versions(db, "deal_ours") == [0]
    assert versions(db, "deal_2") == []


def test_closing_answers_everything_that_was_taken(db: Database) -> None:
    """Broken build: the thread ends with callers in the queue, who wait for ever."""
    gate = Gate()
    with running(db) as engine:
        first = engine.submit(Note(deal_id="deal_first", deciding=gate))
        assert gate.reached.wait(SECONDS)
        queued = [engine.submit(Note(deal_id=f"deal_{n}")) for n in range(20)]
        closing = threading.Thread(target=engine.close)
        closing.start()
        until(lambda: engine.stats()["closing"])
        with pytest.raises(ShuttingDown):
            engine.submit(Note(deal_id="deal_late"))
        gate.opened.set()
        closing.join(SECONDS)
        assert all(future.result(0).error is None for future in [first, *queued])
    assert versions(db, "deal_19") == [0]


def test_what_does_not_fit_the_time_to_close_is_refused_and_not_done(db: Database) -> None:
    gate = Gate()
    with running(db) as engine:
        engine.submit(Note(deal_id="deal_first", deciding=gate))
        assert gate.reached.wait(SECONDS)
        queued = [engine.submit(Note(deal_id=f"deal_{n}")) for n in range(3)]
        closing = threading.Thread(target=engine.close, kwargs={"grace_seconds": 0})
        closing.start()
        until(lambda: engine.stats()["closing"])
        gate.opened.set()
        closing.join(SECONDS)
        assert all(isinstance(future.result(0).error, ShuttingDown) for future in queued)
    assert versions(db, "deal_0") == []


# --- callers of running claims -------------------------------------------------------------------


def test_callers_of_a_running_claim_get_its_outcome_when_it_is_there(db: Database) -> None:
    """Broken build: the original is told `replayed`, or a rider `original`."""
    with running(db) as engine:

        async def ask() -> None:
            loop = asyncio.get_running_loop()
            call = Note(deal_id="deal_a", once=True, does="wait")
            tasks = [asyncio.ensure_future(engine.answer(call, 20)) for _ in range(3)]
            while engine.stats()["waiting"] < 3:
                await asyncio.sleep(0)
            await loop.run_in_executor(None, engine.execute, FinishNote(deal_id="deal_a"))
            answers = await asyncio.gather(*tasks)
            assert sorted(answer.replayed for answer in answers) == [False, True, True]
            assert all(answer.result == {"said": "yes"} for answer in answers)
            assert not any(answer.running for answer in answers)
            assert all(a.original_at for a in answers if a.replayed)

        asyncio.run(ask())


def test_a_claim_finished_by_another_process_is_found(db: Database, database_url: str) -> None:
    """Broken build: only this process's commits are looked at; the caller waits in vain."""
    with running(db) as engine, opened(database_url) as elsewhere:
        asked = threading.Event()
        found = []

        def ask() -> None:
            asked.set()
            found.append(engine.execute(Note(deal_id="deal_a", once=True, does="wait"), 20))

        caller = threading.Thread(target=ask)
        caller.start()
        assert asked.wait(SECONDS)
        until(lambda: engine.stats()["waiting"] > 0)
        new_engine(elsewhere).execute(FinishNote(deal_id="deal_a"))
        caller.join(SECONDS)
        assert found[0].result == {"said": "yes"}
        assert not found[0].replayed


def test_a_claim_released_by_another_process_asks_its_caller_to_repeat(
    db: Database, database_url: str
) -> None:
    with running(db) as engine, opened(database_url) as elsewhere:
        answers = []
        keys = (None, "k1")
        callers = [
            threading.Thread(
                target=lambda key=key: answers.append(
                    engine.execute(
                        Note(
                            deal_id="deal_a",
                            once=True,
                            does="wait",
                            principal=agent("agent_alice"),
                            sent_key=key,
                        ),
                        20,
                    )
                )
            )
            for key in keys
        ]
        for caller in callers:
            caller.start()
        until(lambda: engine.stats()["waiting"] == 2)
        outcome = json.dumps({"error": QuoteMismatch(deal_id="deal_a").to_record()})
        finish = FinishNote(deal_id="deal_a", outcome=outcome, release=True)
        new_engine(elsewhere).execute(finish)
        for caller in callers:
            caller.join(SECONDS)
        kinds = {type(answer.error) for answer in answers}
        assert kinds == {QuoteMismatch, RequestInProgress}


def test_a_caller_whose_time_is_up_gets_what_is_planned(db: Database) -> None:
    with running(db) as engine:
        answer = engine.execute(Note(deal_id="deal_a", once=True, does="wait"), 1)
    assert (answer.running, answer.error) == (True, None)
    assert answer.unwrap()["version"] == 0


def test_closing_lets_go_of_callers_who_wait_for_a_rail(db: Database) -> None:
    with running(db) as engine:
        answers = []
        call = Note(deal_id="deal_a", once=True, does="wait")
        caller = threading.Thread(target=lambda: answers.append(engine.execute(call, 3600)))
        caller.start()
        until(lambda: engine.stats()["waiting"] > 0)
        engine.close()
        caller.join(SECONDS)
    assert answers[0].running


def test_a_ticket_takes_no_claim_but_those_of_its_call() -> None:
    ticket = make_ticket(Note(deal_id="deal_a", once=True, principal=agent("a"), sent_key="k"))
    assert ticket.sent == ("a", "note", "k")
    assert ticket.derived is not None
    assert ticket.key == ticket.derived[2]
