"""`settlement export` as a user meets it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.cli.running import run
from tests.support.house import Play, house

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "beancount"])
def test_an_export_says_where_it_is_and_what_is_in_it(
    tmp_path: Path, sqlite_url: str, form: str
) -> None:
    with house(tmp_path, sqlite_url) as services:
        play = Play(services)
        seller = play.agent("seller")
        deal = play.proof(seller)
        play.go(deal, play.agent("buyer"))
        play.settle(deal, seller)
        play.work()
    ran = run(tmp_path, "export", "--format", form, "--json", SETTLEMENT_DATABASE=sqlite_url)
    assert ran.code == 0, ran
    said = ran.json()
    directory = tmp_path / said["directory"]
    assert directory.parent == tmp_path / "var" / "exports"
    assert {path.name for path in directory.iterdir()} == {one["name"] for one in said["files"]}
    for one in said["files"]:
        content = (directory / one["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"]
    shown = run(tmp_path, "export", "--format", form, "--out", "o", SETTLEMENT_DATABASE=sqlite_url)
    assert shown.code == 0, shown
    assert all(one["name"] in shown.out for one in said["files"])


def test_a_span_of_the_whole_ledger_is_refused(tmp_path: Path, sqlite_url: str) -> None:
    with house(tmp_path, sqlite_url):
        pass
    arguments = ("export", "--format", "beancount", "--since", "2026-01-01", "--json")
    ran = run(tmp_path, *arguments, SETTLEMENT_DATABASE=sqlite_url)
    assert (ran.code, ran.json()["error"]) == (2, "usage")
    arguments = ("export", "--format", "csv", "--since", "yesterday", "--json")
    ran = run(tmp_path, *arguments, SETTLEMENT_DATABASE=sqlite_url)
    assert (ran.code, ran.json()["error"]) == (2, "field_invalid")
