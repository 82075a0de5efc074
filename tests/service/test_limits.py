"""Shared rate limits at the engine: counted with the call, once, and never beside it.

On both databases; exact times on SQLite, whose clock a test can set.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.clock import parse_time
from settlement.core.errors import LimitsUnreadable, RateLimited
from settlement.core.errors.base import Retry
from settlement.core.limits import Bucket, Charge, Limit
from settlement.core.operations import Go
from settlement.faults import fault
from settlement.service import batch, pauses
from settlement.service.limiting import Forgetting, count_alone
from settlement.store.database import Database, open_database
from settlement.store.limits import START, lock_limits, prune_limits
from settlement.store.pauses import Switch
from tests.support.house import NOW, Play, house
from tests.support.raw import open_raw, sql
from tests.support.rows import count_rows, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.core.principal import Principal
    from settlement.service.answers import Answer
    from settlement.store.database import Tx

#: Slow enough that nothing refills while a test runs.
HOUR_US = 3_600_000_000
GO = "/protocol/go"


class FixedClock:
    """Stands still unless it is set."""

    def __init__(self) -> None:
        self.us = parse_time(NOW)

    def now_us(self) -> int:
        return self.us


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url) as services:
        yield Play(services)


def charge(
    who: Principal | str, calls: int = 1, *, replays: int = 100, us: int = HOUR_US
) -> Charge:
    name = who if isinstance(who, str) else str(who.agent_id)
    limits = Limit(calls, us), Limit(replays, us)
    return Charge(who=name, bucket=Bucket.GO, endpoint=GO, first=limits[0], again=limits[1])


def approval(deal: dict[str, Any], buyer: Principal, sent_key: str | None = None) -> Go:
    return Go(
        principal=buyer,
        deal_id=deal["deal_id"],
        quote_id=deal["quote_id"],
        scope_lock_hash=deal["scope_lock_hash"],
        sent_key=sent_key,
        amount_minor=None,
        actor_id=None,
    )


def ask(play: Play, op: Go, charged: Charge | None) -> Answer:
    (answer,) = play.services.engine.run_batch([op], [charged])
    return answer


def counted(url: str) -> dict[tuple[str, str], int]:
    return {
        (who, b): tat
        for who, b, tat in read_rows(url, "SELECT principal, bucket, tat_us FROM rate_limit")
    }


def refused(answer: Answer) -> RateLimited:
    assert isinstance(answer.error, RateLimited), answer
    return answer.error


# --- what is counted -----------------------------------------------------------------------------


def test_a_call_over_the_limit_is_refused_and_stores_nothing(play: Play, database_url: str) -> None:
    """Catches: a refusal that is charged, or remembered under the sent key and so replayed."""
    seller, buyer, other = (play.agent(name) for name in ("seller", "buyer", "other"))
    deals = [play.proof(seller) for _ in range(4)]
    for deal in deals[:2]:
        assert (
            ask(play, approval(deal, buyer, f"k-{deal['deal_id']}"), charge(buyer, 2)).error is None
        )
    before, rows = count_rows(database_url), counted(database_url)
    for _ in range(3):
        error = refused(ask(play, approval(deals[2], buyer, "key-3"), charge(buyer, 2)))
        assert (error.code, error.retry, error.limit) == ("rate_limited", Retry.SAME_KEY, 2)
        assert (error.endpoint, error.bucket) == (GO, "go")
        assert 0 < error.retry_after_us <= HOUR_US
    assert count_rows(database_url) == before
    assert counted(database_url) == rows, "a refusal changes nothing"
    assert ask(play, approval(deals[3], other), charge(other, 2)).error is None, "another is served"
    done = ask(play, approval(deals[2], buyer, "key-3"), charge(buyer, 3))
    assert (done.error, done.replayed) == (None, False), "nothing was remembered"


def test_calls_of_one_batch_are_counted_in_order(play: Play) -> None:
    """Catches: all calls of a batch decided on the row as it was before the batch."""
    seller, buyer, other = (play.agent(name) for name in ("seller", "buyer", "other"))
    deals = [play.proof(seller) for _ in range(6)]
    callers = [buyer, other, buyer, buyer, buyer, other]
    ops = [approval(deal, who) for deal, who in zip(deals, callers, strict=True)]
    answers = play.services.engine.run_batch(ops, [charge(who, 3) for who in callers])
    codes = [None if one.error is None else one.error.code for one in answers]
    assert codes == [None, None, None, None, "rate_limited", None]
    stands = [one.standing.left for one in answers if one.standing is not None]
    assert stands == [2, 2, 1, 0, 1]


def test_a_refused_operation_was_a_call_all_the_same(play: Play) -> None:
    """Catches: a flood of calls for deals that do not exist costs nothing (checks 9 to 13)."""
    buyer = play.agent("buyer")
    missing = {"deal_id": "deal_none", "quote_id": "quote_x", "scope_lock_hash": "x"}
    codes = [ask(play, approval(missing, buyer), charge(buyer, 2)).error for _ in range(3)]
    assert [error.code for error in codes if error] == ["deal_not_found"] * 2 + ["rate_limited"]


def test_replays_are_counted_in_a_bucket_of_their_own(play: Play, database_url: str) -> None:
    """Catches: a lost answer that cannot be fetched because the caller is over the limit; a flood
    of replays that meets none; a refused replay that leaves its new key behind."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal, new = play.proof(seller), play.proof(seller)
    mine = charge(buyer, 1, replays=2)
    first = ask(play, approval(deal, buyer), mine)
    assert refused(ask(play, approval(new, buyer), mine)).bucket == "go"
    for _ in range(2):
        again = ask(play, approval(deal, buyer), mine)
        assert (again.replayed, again.result) == (True, first.result)
    before, rows = count_rows(database_url), counted(database_url)
    assert refused(ask(play, approval(deal, buyer, "a-new-name"), mine)).bucket == "go_replays"
    assert (count_rows(database_url), counted(database_url)) == (before, rows)
    assert ask(play, approval(deal, buyer, "a-new-name"), charge(buyer)).replayed


def test_identical_calls_of_one_batch_are_one_call_and_its_replays(play: Play) -> None:
    """Catches: 50 identical calls at once, 49 of them refused for the one that was made."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    op, mine = approval(play.proof(seller), buyer), charge(buyer, 1, replays=8)
    answers = play.services.engine.run_batch([op] * 10, [mine] * 10)
    assert [one.replayed for one in answers] == [False] + [True] * 8 + [False]
    assert refused(answers[-1]).bucket == "go_replays"


def test_calls_that_nobody_charges_meet_no_limit(play: Play, database_url: str) -> None:
    """Catches: the worker's own bookings counted against somebody."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    for _ in range(5):
        assert ask(play, approval(play.proof(seller), buyer), None).standing is None
    assert counted(database_url) == {}


def test_the_limit_comes_before_the_pause(play: Play, database_url: str) -> None:
    """Catches: checks 7 and 8 the other way round; a paused call costs, one over the limit not."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    pauses.change(
        play.services.db, Switch.GO, paused=True, reason="rail is down", operator="ops@example"
    )
    error = ask(play, approval(deal, buyer), charge(buyer, 1)).error
    assert error is not None
    assert error.code == "paused"
    assert len(counted(database_url)) == 1
    refused(ask(play, approval(deal, buyer), charge(buyer, 1)))


def test_nothing_is_counted_for_a_batch_that_was_rolled_back(
    play: Play, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: limits kept beside the transaction: calls that never happened use them up."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deals = [play.proof(seller) for _ in range(2)]
    real, failures = fault, iter([True, True, True])

    def failing(point: str) -> None:
        if point == "engine.before_commit" and next(failures, False):
            raise OSError("the disk is gone")
        real(point)

    monkeypatch.setattr(batch, "fault", failing)
    ops = [approval(deal, buyer) for deal in deals]
    mine = charge(buyer, 2)
    answers = play.services.engine.run_batch(ops, [mine, mine])
    assert [one.error.code for one in answers if one.error] == ["internal_fault"] * 2
    assert counted(database_url) == {}
    answers = play.services.engine.run_batch(ops, [mine, mine])
    assert [one.error for one in answers] == [None, None]


# --- exact times ---------------------------------------------------------------------------------


def test_waiting_exactly_as_told_succeeds_and_a_microsecond_less_does_not(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Catches: a wait rounded down, off by the time of the refused call, or told of the replays."""
    clock = FixedClock()
    with house(tmp_path, sqlite_url, clock) as services:
        play = Play(services)
        seller, buyer = play.agent("seller"), play.agent("buyer")
        deals = iter([play.proof(seller) for _ in range(40)])
        mine = charge(buyer, 3, us=3_030_303)
        for step in (0, 1, 999_999, 3_030_302, 5, 7_000_001):
            clock.us += step
            while (answer := ask(play, approval(deal := next(deals), buyer), mine)).error is None:
                pass
            wait = refused(answer).retry_after_us
            for early in (wait, 100_000, 1):
                if early < wait or early == 1:
                    at = clock.us
                    clock.us = at + wait - early
                    assert refused(ask(play, approval(deal, buyer), mine)).retry_after_us == early
                    clock.us = at
            clock.us += wait
            assert ask(play, approval(deal, buyer), mine).error is None


# --- several processes ---------------------------------------------------------------------------


def test_rivals_on_one_caller_never_accept_more_than_the_limit(
    play: Play, database_url: str
) -> None:
    """Catches: rows read without a lock; two first rows of one caller, one written over the other.

    Each thread has a pool of its own, as a process has.
    """
    names = [f"agent_{n}" for n in range(3)]
    accepted: list[str] = []
    start = threading.Barrier(4)

    def rival() -> None:
        db = open_database(database_url)
        start.wait()
        for n in range(45):
            try:
                count_alone(db, charge(names[n % 3], 10))
            except RateLimited:
                continue
            accepted.append(names[n % 3])
        db.close()

    threads = [threading.Thread(target=rival) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: accepted.count(name) for name in names} == dict.fromkeys(names, 10)


def test_a_rival_who_made_the_first_row_is_counted(play: Play, database_url: str) -> None:
    """Catches: a batch that found no row writes its own over that of a rival who was quicker."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    ops = [approval(play.proof(seller), buyer) for _ in range(3)]
    mine = charge(buyer, 2)
    rival = open_database(database_url)
    real, first = fault, iter([True])

    def overtaken(point: str) -> None:
        if rival.kind == "postgres" and point == "engine.before_write" and next(first, False):
            count_alone(rival, mine)
        real(point)

    if rival.kind == "sqlite":  # its one writer lets nobody between
        count_alone(rival, mine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "fault", overtaken)
        answers = play.services.engine.run_batch(ops, [mine] * 3)
    rival.close()
    assert [one.error is None for one in answers] == [True, False, False]


# --- limits that cannot be read ------------------------------------------------------------------


def test_without_limits_no_charged_call_is_made(play: Play, database_url: str) -> None:
    """Catches: calls made uncounted, or our own bookings stopped, when the table is away."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deals = [play.proof(seller) for _ in range(3)]
    with open_raw(database_url) as raw:
        raw.run([sql("ALTER TABLE rate_limit RENAME TO rate_limit_away")])
    before = count_rows(database_url)
    charged, ours, again = play.services.engine.run_batch(
        [approval(deal, buyer) for deal in deals], [charge(buyer), None, charge(buyer)]
    )
    for answer in (charged, again):
        assert isinstance(answer.error, LimitsUnreadable)
        assert answer.error.code == "limits_unreadable"
    assert ours.error is None
    assert count_rows(database_url)["deal"] == before["deal"]
    with pytest.raises(LimitsUnreadable):
        count_alone(play.services.db, charge(buyer))
    with open_raw(database_url) as raw:
        raw.run([sql("ALTER TABLE rate_limit_away RENAME TO rate_limit")])
    assert ask(play, approval(deals[0], buyer), charge(buyer)).error is None


# --- forgetting ----------------------------------------------------------------------------------


def planted(url: str, stale: int, fresh: int) -> None:
    far = 9_000_000_000_000_000
    rows = [(f"agent_{n:06}", "go", 1 + n) for n in range(stale)]
    rows += [(f"agent_{n * 7:06}", "settle", far) for n in range(fresh)]
    text = "INSERT INTO rate_limit VALUES (:who, :bucket, :tat, 1)"
    with open_raw(url) as raw:
        raw.run([sql(text, who=who, bucket=bucket, tat=tat) for who, bucket, tat in rows])


def test_rows_that_say_nothing_any_more_are_forgotten(play: Play, database_url: str) -> None:
    """Catches: a table that grows with every caller there ever was; a caller in debt forgiven."""
    planted(database_url, stale=2500, fresh=40)
    assert Forgetting(play.services.db).handle(None) == {"forgotten": 2500}  # type: ignore[arg-type]  # not looked at
    assert {bucket for _, bucket in counted(database_url)} == {"settle"}
    assert len(counted(database_url)) == 40


def test_a_page_of_forgetting_touches_no_more_than_its_size(play: Play, database_url: str) -> None:
    """Catches: one delete over a million rows, and every money call waiting for it."""
    planted(database_url, stale=100, fresh=0)
    after, gone = play.services.db.transaction(lambda tx: prune_limits(tx, START, 10))
    assert (after, gone) == (("agent_000010", "go"), 11)


def test_forgetting_does_not_wait_for_rows_in_use(tmp_path: Path, postgres_url: str) -> None:
    """Catches: the walk and a batch, each waiting for the other's row."""
    with house(tmp_path, postgres_url) as services:
        planted(postgres_url, stale=5, fresh=0)
        held = ("agent_000002", "go")

        def with_one_held(tx: Tx) -> int:
            lock_limits(tx, [held])
            return other.transaction(lambda inner: prune_limits(inner, START, 1000))[1]

        other: Database = open_database(postgres_url)
        assert services.db.transaction(with_one_held) == 4
        other.close()
        assert list(counted(postgres_url)) == [held]


def test_the_service_forgets_by_itself(play: Play, database_url: str) -> None:
    """Catches: a handler that no process runs."""
    play.services.scheduler.step()
    queued = read_rows(database_url, "SELECT job_type FROM job")
    assert ("forget_limits",) in queued
