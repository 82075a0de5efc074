"""`settlement statement-import` and `reconcile --statements`, as an operator runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.running import run
from tests.support.archives import history
from tests.support.house import Play, house

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "line_id,kind,asset,amount,rail_ref,occurred_at\n"


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


def _status(tmp_path: Path, place: dict[str, str]) -> str:
    checks = run(tmp_path, "audit", "--json", **place).json()["checks"]
    return next(str(one["status"]) for one in checks if one["number"] == 32)


def test_a_rails_list_is_taken_in_and_the_audit_stops_skipping(
    tmp_path: Path, place: dict[str, str]
) -> None:
    """Catches a command that answers and keeps nothing."""
    assert _status(tmp_path, place) == "skipped"
    made = run(tmp_path, "statement-import", "simulated", "--json", **place)
    assert made.code == 0, made.out + made.err
    assert made.json()["new"] == 3
    assert _status(tmp_path, place) == "ok"
    again = run(tmp_path, "reconcile", "--statements", "--json", **place)
    assert again.code == 0, again.out + again.err
    assert [one["known"] for one in again.json()["statements"]] == [3]
    shown = run(tmp_path, "statement-import", "simulated", **place)
    assert "0 new lines, 3 known" in shown.out


def test_a_bad_file_is_answered_with_its_lines_and_exit_code_1(
    tmp_path: Path, place: dict[str, str]
) -> None:
    """Catches a command whose failure a script cannot see."""
    path = tmp_path / "export.csv"
    path.write_text(f"{HEADER}l1,charge,USD/2,free,ch_1,2026-01-01\n", "utf-8")
    made = run(tmp_path, "statement-import", "simulated", str(path), "--json", **place)
    assert made.code == 1
    assert made.json()["problems"][0]["line"] == 2
    shown = run(tmp_path, "statement-import", "simulated", str(path), **place)
    assert "line 2: " in shown.out
    assert "Nothing was taken in." in shown.out
    assert _status(tmp_path, place) == "skipped"


def test_a_rail_that_cannot_list_is_named_with_what_to_do(
    tmp_path: Path, place: dict[str, str]
) -> None:
    """Catches a command that takes Stripe, which lists nothing here, for a rail that is idle."""
    live = {
        "SETTLEMENT_MODE": "live",
        "SETTLEMENT_RAIL": "stripe",
        "SETTLEMENT_STRIPE_SECRET_KEY": "sk_test_0123456789",
        "SETTLEMENT_STRIPE_PUBLISHABLE_KEY": "pk_test_0123456789",
        "SETTLEMENT_STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef",
    }
    made = run(tmp_path, "statement-import", "stripe", "--json", **place, **live)
    assert made.code == 1, made.out + made.err
    assert made.json()["ok"] is False
    assert made.json()["unlisted"] is True
    assert not made.json()["kept"]
    shown = run(tmp_path, "statement-import", "stripe", **place, **live)
    assert "give a file" in shown.out


def test_what_makes_no_sense_is_a_usage_error(tmp_path: Path, place: dict[str, str]) -> None:
    path = tmp_path / "export.csv"
    path.write_text(HEADER, "utf-8")
    for arguments in (
        ("nowhere",),
        ("simulated", "--period", "2026-01-01", "2026-02-01"),
        ("simulated", str(path), "--period", "2026-02-01", "2026-01-01"),
        ("simulated", str(path), "--period", "then", "now"),
    ):
        made = run(tmp_path, "statement-import", *arguments, "--json", **place)
        assert made.code == 2, made.out + made.err
