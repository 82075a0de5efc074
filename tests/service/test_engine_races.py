"""Two engines and more on one database: the same claims at once, crossed keys, kills in between.

In threads and in processes, on both databases.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.note_process import start_notes
from tests.support.notes import Note, agent, new_engine, opened, running, versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.service.answers import Answer
    from settlement.store.database import Database

ALICE = agent("agent_alice")
#: Derived keys on shared deals; sent keys that name the same deals; sent keys for deals that
#: differ from process to process, so that only the key collides.
CALLS: list[dict[str, Any]] = [
    *({"deal_id": f"deal_once_{n}", "once": True} for n in range(25)),
    *({"deal_id": f"deal_sent_{n}", "sent_key": f"k{n}"} for n in range(25)),
]


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


def test_two_engines_in_threads_do_the_same_fifty_claims_once(
    db: Database, database_url: str
) -> None:
    """Broken build: claims are only compared in memory, and each engine does all fifty."""
    answers: list[list[Answer]] = []
    start = threading.Barrier(2)

    def race(mine: Database) -> None:
        with running(mine, batch_limit=7) as engine:
            start.wait(20)
            futures = [engine.submit(Note(**call, principal=ALICE)) for call in CALLS]
            answers.append([future.result(60) for future in futures])

    with opened(database_url) as other:
        racers = [threading.Thread(target=race, args=(mine,)) for mine in (db, other)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(90)
    assert len(answers) == 2
    for call, one, two in zip(CALLS, *answers, strict=True):
        assert (one.error, two.error) == (None, None), call
        assert one.replayed != two.replayed, call
        assert one.result == two.result
        assert versions(db, call["deal_id"]) == [0]


@pytest.mark.chaos
def test_four_processes_do_the_same_fifty_claims_once(db: Database, database_url: str) -> None:
    """Broken build: no unique index, or a lock that only threads respect: several originals."""
    processes = [start_notes(database_url, CALLS) for _ in range(4)]
    for process in processes:
        process.go()
    finished = [process.finish() for process in processes]
    assert [code for code, _, _ in finished] == [0, 0, 0, 0], finished
    for n, call in enumerate(CALLS):
        answers = [lines[n] for _, lines, _ in finished]
        assert [a["code"] for a in answers] == [None] * 4, call
        assert sorted(a["replayed"] for a in answers) == [False, True, True, True], call
        assert len({str(a["result"]) for a in answers}) == 1
        assert versions(db, call["deal_id"]) == [0]


@pytest.mark.chaos
def test_one_key_for_two_deals_goes_to_one_of_them(db: Database, database_url: str) -> None:
    """The deals differ, so no lock keeps the two apart: only the index of the claims does.

    Broken build: the loser's collision is answered with a fault instead of a second look.
    """
    calls = [
        [{"deal_id": f"deal_{side}_{n}", "sent_key": f"k{n}"} for n in range(30)]
        for side in ("left", "right")
    ]
    processes = [start_notes(database_url, mine) for mine in calls]
    for process in processes:
        process.go()
    finished = [process.finish() for process in processes]
    for n in range(30):
        answers = [lines[n] for _, lines, _ in finished]
        assert sorted(str(a["code"]) for a in answers) == ["None", "idempotency_mismatch"]
        events = [versions(db, f"deal_{side}_{n}") for side in ("left", "right")]
        assert sorted(events) == [[], [0]]


@pytest.mark.parametrize(
    ("rival", "expected"),
    [
        (Note(deal_id="deal_a", once=True), "replay"),
        (Note(deal_id="deal_b", sent_key="k1", principal=ALICE), "idempotency_mismatch"),
    ],
)
def test_who_loses_a_claim_between_reading_and_writing_looks_again(
    postgres_url: str, rival: Note, expected: str
) -> None:
    """On PostgreSQL only: on SQLite the writer is alone from the reading on.

    Broken build: the database's refusal of the second claim is answered as a fault.
    """
    with opened(postgres_url) as db, opened(postgres_url) as elsewhere:
        won: list[Answer] = []

        def deciding() -> None:
            if not won:
                won.append(new_engine(elsewhere).execute(rival))

        call = replace(rival, deal_id="deal_a", deciding=deciding)
        answer = new_engine(db).execute(call)
        assert won[0].error is None
        code = answer.error.code if answer.error is not None else "replay"
        assert code == expected
        assert answer.replayed is (expected == "replay")


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("point", "stored"),
    [
        ("engine.before_write", False),
        ("engine.before_commit", False),
        ("engine.after_commit", True),
    ],
)
def test_a_kill_loses_nothing_and_doubles_nothing(
    db: Database, database_url: str, point: str, *, stored: bool
) -> None:
    """Killed before the commit nothing is there; after it everything is, though nobody was told.

    Broken build: answering before the commit (acknowledged, then lost); claims in a transaction
    of their own (the repeat is a replay of nothing).
    """
    process = start_notes(database_url, CALLS[:1] + CALLS[-1:], faults=f"{point}:kill")
    process.go()
    code, answers, said = process.finish()
    assert code == -9
    assert answers == []  # nobody was told anything
    assert f"fault {point}: kill" in said  # the point was reached
    assert versions(db, CALLS[0]["deal_id"]) == ([0] if stored else [])
    again = new_engine(db).run_batch([Note(**call, principal=ALICE) for call in CALLS])
    assert again[0].replayed is stored
    assert all(answer.error is None for answer in again)
    assert all(versions(db, call["deal_id"]) == [0] for call in CALLS)


@pytest.mark.chaos
@pytest.mark.parametrize("point", ["engine.before_write", "engine.before_commit"])
def test_an_unforeseen_error_between_decision_and_commit_is_survived(
    db: Database, database_url: str, point: str
) -> None:
    """Failed and not stored: the batch is rolled back and runs one by one; all are answered."""
    process = start_notes(database_url, CALLS, faults=f"{point}:raise")
    process.go()
    code, answers, said = process.finish()
    assert code == 0
    assert f"fault {point}: raise" in said
    assert [answer["code"] for answer in answers] == [None] * len(CALLS)
    assert not any(answer["replayed"] for answer in answers)
    assert all(versions(db, call["deal_id"]) == [0] for call in CALLS)


@pytest.mark.chaos
def test_an_error_after_the_commit_ends_in_replays(db: Database, database_url: str) -> None:
    """Failed though stored: the second run of the batch finds its own claims."""
    process = start_notes(database_url, CALLS, faults="engine.after_commit:raise")
    process.go()
    code, answers, _ = process.finish()
    assert code == 0
    assert [answer["code"] for answer in answers] == [None] * len(CALLS)
    assert all(versions(db, call["deal_id"]) == [0] for call in CALLS)
