"""`settlement audit` as an operator runs it: on the books, on a backup, on record, going on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.running import run
from tests.support.archives import history
from tests.support.house import Play, house
from tests.support.raw import contents, open_raw, sql

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> dict[str, str]:
    """The settings of a directory with a database that has a history."""
    with house(tmp_path, database_url) as services:
        services.sequencer.check_checkpoint()
        services.engine.start()
        deals = history(Play(services))
        services.sequencer.ensure_covered(deals[0])
    return {
        "SETTLEMENT_DATABASE": database_url,
        "SETTLEMENT_SIGNING_KEY_FILE": str(tmp_path / "keys" / "log_signing.key"),
        "SETTLEMENT_CHECKPOINT_FILE": str(tmp_path / "checkpoint.json"),
        "SETTLEMENT_RAIL_DIR": str(tmp_path / "rail"),
    }


def test_an_audit_writes_nothing_unless_told_to_record_itself(
    tmp_path: Path, place: dict[str, str]
) -> None:
    """Catches an audit that leaves traces, and a record that is not the report it stands for."""
    url = place["SETTLEMENT_DATABASE"]
    with open_raw(url) as raw:
        before = contents(raw)
    first = run(tmp_path, "audit", "--json", **place)
    assert first.code == 0, first.out + first.err
    assert not first.json()["recorded"]
    with open_raw(url) as raw:
        assert contents(raw) == before

    made = run(tmp_path, "audit", "--record", "--operator", "ann", "--json", **place)
    assert made.code == 0, made.out + made.err
    with open_raw(url) as raw:
        rows = raw.rows("SELECT payload FROM event WHERE deal_id = 'sys_audit'")
    assert len(rows) == 1
    payload = str(rows[0])
    for name in ("report_hash", "input_hash"):
        assert made.json()[name] in payload
    assert "ann" in payload

    head = made.json()["next_since"]  # broken build: it names the log's size, which nobody signed
    again = run(tmp_path, "audit", "--since-head", str(head), "--json", **place)
    assert again.code == 0, again.out + again.err
    assert again.json()["since"] == head
    scopes = {check["number"]: check["scope"] for check in again.json()["checks"]}
    assert scopes[37] == "since"
    assert scopes[7] == "whole"
    refused = run(tmp_path, "audit", "--since-head", str(head + 1000), **place)
    assert refused.code == 7, refused.out + refused.err
    assert "No clean audit on record" in refused.err


def test_a_backup_is_audited_as_the_books_are(tmp_path: Path, place: dict[str, str]) -> None:
    """Catches a command that looks at the live database when it was shown an archive."""
    made = run(tmp_path, "backup", "--out", "kept", "--json", **place)
    archive = made.json()["archive"]
    nowhere = {**place, "SETTLEMENT_DATABASE": f"sqlite:///{tmp_path}/none.db"}
    done = run(tmp_path, "audit", "--archive", archive, "--json", **nowhere)
    assert done.code == 0, done.out + done.err
    live = run(tmp_path, "audit", "--json", **place).json()
    assert done.json()["rows"] == live["rows"]
    assert not (tmp_path / "none.db").exists()
    wrong = run(tmp_path, "audit", "--archive", archive, "--record", **nowhere)
    assert wrong.code == 2, wrong.out + wrong.err


def test_a_backup_of_wrong_books_is_found_out(tmp_path: Path) -> None:
    """Catches an archive that counts as sound because its lines are as they were written."""
    path = tmp_path / "house.db"
    url = f"sqlite:///{path}"
    with house(tmp_path, url) as services:
        services.engine.start()
        history(Play(services))
    lost = "DELETE FROM outbox WHERE event_id IN"
    with open_raw(url) as raw:
        raw.run([sql(f"{lost} (SELECT event_id FROM event WHERE event_type = 'GO_APPROVED')")])
    settings = {"SETTLEMENT_DATABASE": url}
    archive = run(tmp_path, "backup", "--out", "kept", "--json", **settings).json()["archive"]
    done = run(tmp_path, "audit", "--archive", archive, "--only-failed", **settings)
    assert done.code == 1, done.out + done.err
    assert "34 first bad row" in done.out
    assert "no outbox row will ever deliver it" in done.out
