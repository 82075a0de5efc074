"""Spends of one mandate at once, from threads and from processes, and a revoke between them.

On both databases. The reserve holds so many prices and a bit; what is spent must be that many.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import PartyMismatch
from settlement.core.operations import AutoGo
from settlement.core.rows import Account
from settlement.service.audit import run_audit
from tests.support.house import Play, house
from tests.support.notes import new_engine, opened, running
from tests.support.spend_process import operation, start_spends

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from settlement.core.principal import Principal
    from settlement.store.database import Database

PRICE, RESERVE = 700, 9_000
AFFORDED = RESERVE // PRICE
DEALS = 32


class Town:
    """A buyer with a mandate, a seller with deals that wait, and what became of them."""

    def __init__(self, play: Play, url: str) -> None:
        self.url = url
        self.play = play
        self.buyer, self.seller = play.agent("buyer"), play.agent("seller")
        paid = play.proof(self.buyer, 12_000)
        play.go(paid, self.seller)
        play.settle(paid, self.buyer)
        play.work()
        self.mandate = play.mandate(self.buyer, RESERVE)
        self.deals = [play.proof(self.seller, PRICE) for _ in range(DEALS)]
        for deal in self.deals:
            play.receipt(deal)

    def spend(self, deal: dict[str, Any], by: Principal | None = None) -> dict[str, Any]:
        return {
            "by": (by or self.seller).agent_id,
            "mandate": self.mandate["mandate_id"],
            "deal_id": deal["deal_id"],
            "quote_id": deal["quote_id"],
        }

    def revoke(self) -> dict[str, Any]:
        return {"by": self.buyer.agent_id, "mandate": self.mandate["mandate_id"]}

    def account(self, ref: str) -> int:
        """What an account has."""
        rows = self.play.services.db.transaction(
            lambda tx: tx.all("account_lock", ref=[ref], asset=["USD/2"], keys=[[ref, "USD/2"]])
        )
        found = [Account(**row) for row in rows]
        return sum(one.credits_posted - one.debits_posted for one in found)

    def reserve(self) -> int:
        return self.account(f"mandate:{self.mandate['mandate_id']}")

    def audited(self) -> None:
        self.play.work()
        report = run_audit(self.play.services.db)
        assert report.failed() == []


@pytest.fixture
def town(database_url: str, tmp_path: Path) -> Iterator[Town]:
    with house(tmp_path, database_url) as services:
        yield Town(Play(services), database_url)


def in_processes(town: Town, calls: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Every process makes its calls at once; all answers."""
    processes = [start_spends(town.url, each) for each in calls]
    for process in processes:
        process.go()
    finished = [process.finish() for process in processes]
    assert [code for code, _, _ in finished] == [0] * len(calls), finished
    return [line for _, lines, _ in finished for line in lines]


def approved(answers: Sequence[dict[str, Any]]) -> list[str]:
    """The deals that were approved, each once; all others were told why not."""
    assert [answer["code"] for answer in answers if answer["code"]] == []
    results = [answer["result"] for answer in answers if "decision" in answer["result"]]
    for result in results:
        is_approved = result["decision"] == "go_approved"
        assert is_approved == (not result["reasons"]), result
    return sorted(r["deal_id"] for r in results if r["decision"] == "go_approved")


@pytest.mark.chaos
def test_parallel_spends_never_pass_the_reserve(town: Town) -> None:
    """Four processes, each deal asked for by two of them, by the buyer and by the seller.

    Catches: a reserve that is looked at but not drawn on, a limit left out (answers become faults),
    a claim of each caller's own. Row locks alone taken off change nothing, also tried: then the
    database's guard refuses the overdraft, and the batch runs again and sees its rival.
    """
    half = DEALS // 2
    spends = [
        [town.spend(deal) for deal in town.deals[:half]],
        [town.spend(deal, town.buyer) for deal in town.deals[:half]],
        [town.spend(deal) for deal in town.deals[half:]],
        [town.spend(deal, town.buyer) for deal in reversed(town.deals[half:])],
    ]
    answers = in_processes(town, spends)
    done = approved(answers)
    assert len(set(done)) == AFFORDED
    assert town.reserve() == RESERVE - AFFORDED * PRICE
    funded = [town.account(f"escrow:{deal['deal_id']}") for deal in town.deals]
    assert sorted(funded) == [0] * (DEALS - AFFORDED) + [PRICE] * AFFORDED
    for answer in answers:
        reasons = answer["result"]["reasons"]
        assert reasons in ([], ["reserve_too_small"]), answer
    town.audited()


def test_spends_in_threads_never_pass_the_reserve(town: Town) -> None:
    """The same within one process: one engine's batches and a second engine beside it."""
    answers: list[dict[str, Any]] = []
    start = threading.Barrier(2)

    def race(db: Database, deals: Sequence[dict[str, Any]]) -> None:
        with running(db, batch_limit=5) as engine:
            start.wait(20)
            futures = [engine.submit(operation(town.spend(deal))) for deal in deals]
            for future in futures:
                answer = future.result(60)
                code = answer.error.code if answer.error else None
                answers.append({"code": code, "result": answer.result})

    with opened(town.url) as one, opened(town.url) as two:
        threads = [
            threading.Thread(target=race, args=(one, town.deals[: DEALS // 2])),
            threading.Thread(target=race, args=(two, town.deals[DEALS // 2 :])),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
    assert len(answers) == DEALS
    assert len(approved(answers)) == AFFORDED
    assert town.reserve() == RESERVE - AFFORDED * PRICE
    town.audited()


@pytest.mark.chaos
def test_a_revoke_that_races_spends_leaves_nothing_behind(town: Town) -> None:
    """Whatever came first: what was spent and what came back are the reserve.

    Catches: a revoke that returns what a spend is taking, a spend on a mandate that has ended.
    """
    before = town.account(f"entity:{town.buyer.agent_id}")
    spends = [[town.spend(deal) for deal in town.deals[n::3]] for n in range(3)]
    spends.append([town.spend(town.deals[0]), town.revoke(), town.revoke()])
    answers = in_processes(town, spends)
    done = approved(answers)
    returned = sum(answer["result"].get("returned_minor", 0) for answer in answers)
    assert len(set(done)) * PRICE + returned == RESERVE
    assert town.reserve() == 0
    assert town.account(f"entity:{town.buyer.agent_id}") == before + returned
    late = new_engine(town.play.services.db)
    for deal in town.deals:
        if deal["deal_id"] not in done:
            answer = late.execute(operation(town.spend(deal))).unwrap()
            assert answer["reasons"] == ["mandate_revoked", "reserve_too_small"]
    town.audited()


def test_another_buyers_mandate_is_never_drawn_on(town: Town) -> None:
    """A thief sells and buys, with and without naming itself, and names the victim's mandate.

    Catches: a mandate found by its id, its buyer not compared.
    """
    thief = town.play.agent("thief")
    accomplice = town.play.agent("accomplice")
    engine = town.play.services.engine
    spend = operation(town.spend(town.deals[0], thief))
    assert isinstance(spend, AutoGo)
    refused = engine.execute(spend).error
    assert isinstance(refused, PartyMismatch)
    deal = town.play.proof(accomplice, PRICE)
    town.play.receipt(deal)
    for by in (thief, accomplice):
        spend = operation(town.spend(deal, by))
        assert isinstance(spend, AutoGo)
        named = engine.execute(replace(spend, buyer_id=thief.agent_id)).unwrap()
        assert named["reasons"] == ["mandate_not_found"]
    assert town.reserve() == RESERVE
    town.audited()
