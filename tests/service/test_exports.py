"""Exports hold what the books hold, and other people's tools can read them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from settlement.core.beancount import account_name
from settlement.service import exports
from settlement.service.exports import Format, export
from settlement.store.export import TABLES, Span
from tests.support.house import Play, SteppingClock, house

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Database

EVERYTHING = Span()
BEAN_CHECK = Path(sys.executable).with_name("bean-check")


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    """Two days of deals: settled, split, paid out, one refused payout, one never settled."""
    clock = SteppingClock()
    with house(tmp_path, database_url, clock) as services:
        play = Play(services)
        seller, other, buyer = play.agent("seller"), play.agent("other"), play.agent("buyer")
        for n in range(6):
            if n == 3:
                clock.advance(30 * 3600)
            deal = play.proof(seller, 10_000 + n)
            play.go(deal, buyer)
            shares = ((seller, "0.7"), (other, "0.3")) if n % 2 else ()
            play.settle(deal, seller, shares)
            play.work()
            if n < 4:
                play.payout(deal, seller)
                play.work()
        play.go(play.proof(seller), buyer)
        yield play


def rows_of(directory: Path, table: str, form: Format) -> list[dict[str, Any]]:
    path = directory / f"{table}.{form}"
    if form is Format.PARQUET:
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return found
    if form is Format.CSV:
        with path.open(newline="", encoding="utf-8") as file:
            return [dict(row) for row in csv.DictReader(file)]
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("form", [Format.JSONL, Format.CSV, Format.PARQUET])
def test_an_export_holds_every_row_and_its_sums_are_the_ledgers(
    play: Play, tmp_path: Path, form: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a page that is lost or told twice, and an amount that is not exact."""
    monkeypatch.setattr("settlement.store.export.PAGE_ROWS", 7)
    while play.services.sequencer.step():
        pass
    files = export(play.services.db, tmp_path / "out", form, EVERYTHING)
    assert [file.name for file in files] == [f"{table.name}.{form}" for table in TABLES]
    in_database = counts(play.services.db)
    for file, table in zip(files, TABLES, strict=True):
        rows = rows_of(tmp_path / "out", table.name, form)
        assert len(rows) == file.rows == in_database[table.name]
        assert set(rows[0]) == set(exports.columns_of(table))
    moved = [
        row
        for row in rows_of(tmp_path / "out", "transfers", form)
        if row["phase"] in ("final", "post")
    ]
    for account in rows_of(tmp_path / "out", "accounts", form):
        if account["guard"] == "none":
            continue
        for side in ("debit", "credit"):
            total = sum(
                int(row["amount_minor"]) for row in moved if row[f"{side}_ref"] == account["ref"]
            )
            assert total == int(account[f"{side}s_posted"])
    assert {row["amount"] for row in moved} >= {"100.00", "100.05"}


def counts(db: Database) -> dict[str, int]:
    names = {"accounts": "account", "transfers": "transfer", "settlements": "settlement"}
    names |= {"payouts": "payout", "events": "event"}
    found = db.read(lambda tx: {row["name"]: row["n"] for row in tx.all("audit_counts")})
    return {name: found[table] for name, table in names.items()}


def test_a_span_takes_what_was_booked_in_it(play: Play, tmp_path: Path) -> None:
    whole = export(play.services.db, tmp_path / "whole", Format.JSONL, EVERYTHING)
    transfers = rows_of(tmp_path / "whole", "transfers", Format.JSONL)
    booked = sorted({row["booked_at"] for row in transfers})
    middle = booked[len(booked) // 2]
    middle_us = _milliseconds_us(middle)
    export(play.services.db, tmp_path / "early", Format.JSONL, Span(end_us=middle_us))
    export(play.services.db, tmp_path / "late", Format.JSONL, Span(start_us=middle_us))
    early = rows_of(tmp_path / "early", "transfers", Format.JSONL)
    late = rows_of(tmp_path / "late", "transfers", Format.JSONL)
    assert early
    assert late
    assert early + late == transfers
    assert max(row["booked_at"] for row in early) < min(row["booked_at"] for row in late)
    assert whole[0].rows > 0


def _milliseconds_us(text: str) -> int:
    from settlement.core.clock import parse_time

    return parse_time(text) // 1000 * 1000


def bean_check(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BEAN_CHECK, "--no-cache", str(path)], check=False, capture_output=True, text=True
    )


def test_beancount_agrees_with_the_ledger_day_by_day(play: Play, tmp_path: Path) -> None:
    """Catches a wrong side or amount, a leg left out, and counters that differ from transfers."""
    export(play.services.db, tmp_path / "bean", Format.BEANCOUNT, EVERYTHING)
    path = tmp_path / "bean" / "ledger.beancount"
    checked = bean_check(path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    text = path.read_text("utf-8")
    assertions = [line for line in text.splitlines() if " balance " in line]
    assert len({line[:10] for line in assertions}) == len({*days(text)})
    closing = text.partition("; Balances that the database keeps")[2]
    assert "Liabilities:Agent:" in closing
    for before, after in (
        ("  Income:Fees:Protocol:Platform -", "  Income:Fees:Protocol:Platform "),
        (
            closing.strip().splitlines()[-1],
            closing.strip().splitlines()[-1].replace(" USD", "1 USD"),
        ),
    ):
        assert before in text
        broken = tmp_path / "broken.beancount"
        broken.write_text(text.replace(before, after, 1), "utf-8")
        assert bean_check(broken).returncode != 0


def days(text: str) -> Iterator[str]:
    yield from (line[:10] for line in text.splitlines() if line[10:13] == " * ")


def test_a_directory_is_there_whole_or_not_at_all(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a half export under its final name."""

    def full(_rows: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        export(play.services.db, tmp_path / "out", Format.CSV, EVERYTHING, full)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*partial"))
    export(play.services.db, tmp_path / "out", Format.CSV, EVERYTHING)
    with pytest.raises(FileExistsError):
        export(play.services.db, tmp_path / "out", Format.CSV, EVERYTHING)


@given(first=st.from_regex(r"[a-z][A-Za-z0-9_-]{0,12}", fullmatch=True), data=st.data())
def test_no_two_refs_share_a_name(first: str, data: st.DataObject) -> None:
    second = data.draw(st.from_regex(r"[a-z][A-Za-z0-9_-]{0,12}", fullmatch=True))
    names = {account_name(f"escrow:{own}", "escrow") for own in (first, second)}
    assert len(names) == len({first, second})
