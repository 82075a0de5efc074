"""`settlement statement` as an operator meets it."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from tests.cli.running import run
from tests.support.house import Play, house

if TYPE_CHECKING:
    from pathlib import Path


class Page(HTMLParser):
    """The texts of a page, and the names of its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.elements: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self.elements.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_a_statement_is_shown_printed_and_loaded(tmp_path: Path, sqlite_url: str) -> None:
    """Broken build: an unknown asset is a fault, a mistyped directory is made, and a balance that
    begins with the account is dated 1970."""
    with house(tmp_path, sqlite_url) as services:
        play = Play(services)
        seller = play.agent("seller")
        deal = play.proof(seller)
        play.go(deal, play.agent("buyer"))
        play.settle(deal, seller)
        play.work()
        while services.sequencer.step():
            pass
    agent = str(seller.agent_id)

    def said(*arguments: str, code: int = 0) -> str:
        ran = run(tmp_path, "statement", *arguments, SETTLEMENT_DATABASE=sqlite_url)
        assert ran.code == code, ran
        return ran.out + ran.err

    assert "96.92" in said(agent)
    said(agent, "--out", "statement.html")
    page = Page((tmp_path / "statement.html").read_text("utf-8"))
    assert {agent, "96.92", deal["deal_id"]} <= set(page.texts)
    assert not page.elements & {"script", "link", "img"}
    said(agent, "--out", "statement.csv")
    with (tmp_path / "statement.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["balance"] for row in rows] == ["0.00", "96.92", "96.92"]
    assert "neither" in said(agent, "--out", "statement.pdf", code=2)
    assert rows[0]["booked_at"] == ""
    assert "1970" not in said(agent)
    assert "the assets are USD/2" in said(agent, "--asset", "EUR/2", code=2)
    nowhere = tmp_path / "not" / "there"
    assert "no directory" in said(agent, "--out", str(nowhere / "x.csv"), code=2)
    assert not nowhere.parent.exists()
    said("agent_unknown", code=5)
    assert "field_invalid" in said(agent, "--period", "monday", "2026-01-01", "--json", code=2)
