"""Statements: tied to the ledger and to a tree head, and the same whenever they are made again."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import AgentNotFound, InvalidField, LogLagging
from settlement.service.audit import Status, run_audit
from settlement.service.reputation import balances
from settlement.service.statements import digest_of, make_statement, remade_digest
from settlement.store import statements as rows
from tests.support.house import Play, house
from tests.support.raw import open_raw, sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.core.principal import Principal

USD = "USD/2"


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url) as services:
        yield Play(services)


def earn(play: Play, seller: Principal, *amounts: int) -> None:
    """Deals settled and paid out, and the log brought up to them."""
    buyer = play.agent("buyer")
    for amount in amounts:
        deal = play.proof(seller, amount)
        play.go(deal, buyer)
        play.settle(deal, seller)
        play.work()
        if amount != 10_000:
            play.payout(deal, seller)
            play.work()
    sequence(play, deal)


def sequence(play: Play, deal: dict[str, Any]) -> None:
    """Have a head signed over the deal's last event."""
    play.services.sequencer.ensure_covered(deal["deal_id"])


def remade(play: Play, statement_id: str) -> str | None:
    (row,) = [
        one
        for one in play.services.db.read(lambda tx: rows.page(tx, "", 100))
        if one.statement_id == statement_id
    ]
    return play.services.db.read(lambda tx: remade_digest(tx, row))


def test_the_lines_lead_from_the_opening_to_the_closing_balance(play: Play) -> None:
    """Catches a line left out or on the wrong side, and a balance that is not the ledger's."""
    seller = play.agent("seller")
    earn(play, seller, 10_000, 20_000, 30_000)
    whole = make_statement(play.services.db, str(seller.agent_id), USD).document
    assert whole["opening_balance"] == "0.00"
    balance = Decimal(0)
    for line in whole["entries"]:
        balance += Decimal(line["credit"]) - Decimal(line["debit"])
        assert Decimal(line["balance"]) == balance
    assert Decimal(whole["closing_balance"]) == balance
    (account,) = balances(play.services.db, str(seller.agent_id), seller)["balances"]
    assert int(balance * 100) == account["posted_minor"]
    assert [line["entry_type"] for line in whole["entries"]].count("payout") == 2


def test_two_periods_meet_without_a_gap(play: Play) -> None:
    seller = play.agent("seller")
    earn(play, seller, 10_000, 20_000, 30_000)
    db, agent = play.services.db, str(seller.agent_id)
    whole = make_statement(db, agent, USD).document
    middle = whole["entries"][2]["booked_at"]
    early = make_statement(db, agent, USD, ends_at=middle).document
    late = make_statement(db, agent, USD, starts_at=middle).document
    assert early["closing_balance"] == late["opening_balance"]
    assert early["entries"] + late["entries"] == whole["entries"]
    assert late["closing_balance"] == whole["closing_balance"]


def test_what_comes_later_changes_nothing_in_a_statement(play: Play) -> None:
    """Catches a statement of now instead of one at its tree head."""
    seller = play.agent("seller")
    earn(play, seller, 10_000, 20_000)
    first = make_statement(play.services.db, str(seller.agent_id), USD)
    assert first.digest == digest_of(first.document)
    earn(play, seller, 40_000)
    assert remade(play, first.statement_id) == first.digest
    second = make_statement(play.services.db, str(seller.agent_id), USD)
    assert second.digest != first.digest
    found = {one.number: one for one in run_audit(play.services.db).findings}[36]
    assert found.status is Status.OK


def test_a_period_that_the_log_does_not_cover_yet_has_no_statement(play: Play) -> None:
    seller = play.agent("seller")
    earn(play, seller, 10_000)
    deal = play.proof(seller, 20_000)
    play.go(deal, play.agent("another"))
    play.settle(deal, seller)
    play.work()
    agent = str(seller.agent_id)
    with pytest.raises(LogLagging):
        make_statement(play.services.db, agent, USD, ends_at="2999-01-01T00:00:00.000000Z")
    sequence(play, deal)
    make_statement(play.services.db, agent, USD, ends_at="2999-01-01T00:00:00.000000Z")


def test_a_stranger_or_an_empty_period_has_none(play: Play) -> None:
    seller = play.agent("seller")
    with pytest.raises(LogLagging):
        make_statement(play.services.db, str(seller.agent_id), USD)
    earn(play, seller, 10_000)
    with pytest.raises(AgentNotFound):
        make_statement(play.services.db, "agent_unknown", USD)
    with pytest.raises(InvalidField):
        make_statement(
            play.services.db,
            str(seller.agent_id),
            USD,
            "2026-01-02T00:00:00.000000Z",
            "2026-01-02T00:00:00.000000Z",
        )


def test_the_audit_names_a_statement_that_says_something_else(
    play: Play, database_url: str
) -> None:
    """The violation is planted past the trigger that refuses it."""
    seller = play.agent("seller")
    earn(play, seller, 10_000)
    made = make_statement(play.services.db, str(seller.agent_id), USD)
    with open_raw(database_url) as raw:
        on = " ON statement" if raw.kind == "postgres" else ""
        name = "statement_append_only" if raw.kind == "postgres" else "statement_no_update"
        change = sql("UPDATE statement SET digest = :digest", digest="0" * 64)
        raw.run([sql(f"DROP TRIGGER {name}{on}"), change])
    found = {one.number: one for one in run_audit(play.services.db).findings}[36]
    assert found.status is Status.FAILED
    assert found.first_bad is not None
    assert found.first_bad["statement_id"] == made.statement_id
