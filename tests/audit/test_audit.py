"""Each check of the audit names the violation planted for it; a clean history is clean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from settlement.service.audit import CHECKS, Status
from settlement.service.replay import replay_deal
from settlement.store.database import open_database
from tests.audit import plants, plants_conduct, plants_exchange, plants_lines
from tests.audit.conftest import plant_sqlite

if TYPE_CHECKING:
    from pathlib import Path

    from settlement.service.audit import AuditReport
    from tests.audit.conftest import History
    from tests.audit.plants import Plant

PLANTS = (*plants.PLANTS, *plants_conduct.CONDUCT, *plants_exchange.PLANTS, *plants_lines.PLANTS)
#: Checks whose part of the system does not exist yet, or which nothing here can feed.
WITHOUT_DATA = {36, 44}
#: Clean histories have no expiring holds; a planted one does.
ONLY_PLANTED = {14}


def statuses(report: AuditReport) -> dict[int, Status]:
    return {finding.number: finding.status for finding in report.findings}


def statements(plant: Plant, history: History) -> list[str]:
    texts = list(plant.statements)
    for name, deal_id in history.deals.items():
        texts = [text.replace(f"<{name}>", deal_id) for text in texts]
    return texts


def assert_named(report: AuditReport, plant: Plant) -> None:
    finding = next(one for one in report.findings if one.number == plant.check)
    assert finding.status is Status.FAILED, finding
    assert finding.first_bad is not None
    assert plant.why in str(finding.reason), finding
    assert not report.clean


def test_a_clean_history_is_clean(sqlite_history: History) -> None:
    report = sqlite_history.audit()
    assert report.failed() == []
    found = statuses(report)
    skipped = {number for number, status in found.items() if status is Status.SKIPPED}
    assert skipped == WITHOUT_DATA | ONLY_PLANTED
    assert list(found) == list(range(1, 48))


def test_a_history_without_guards_is_clean_too(sqlite_history: History, unguarded: Path) -> None:
    report = sqlite_history.audit(f"sqlite:///{unguarded}")
    assert report.failed() == []
    assert report.rows == sqlite_history.audit().rows


def test_the_same_rows_have_the_same_input_hash(
    sqlite_history: History, unguarded: Path, tmp_path: Path
) -> None:
    first = sqlite_history.audit().input_hash
    assert sqlite_history.audit().input_hash == first
    changed = plant_sqlite(unguarded, tmp_path, ["UPDATE receipt SET confidence = '0.5'"])
    assert sqlite_history.audit(changed).input_hash != first


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant.check} {plant.name}")
def test_a_planted_violation_is_named(
    sqlite_history: History, unguarded: Path, tmp_path: Path, plant: Plant
) -> None:
    url = plant_sqlite(unguarded, tmp_path, statements(plant, sqlite_history))
    assert_named(sqlite_history.audit(url), plant)


def test_every_check_that_can_fail_has_a_violation_planted() -> None:
    assert {plant.check for plant in PLANTS} == {check.number for check in CHECKS} - WITHOUT_DATA


# --- PostgreSQL ----------------------------------------------------------------------------------


def test_a_clean_history_is_clean_on_postgresql(postgres_history: History) -> None:
    report = postgres_history.audit()
    assert report.failed() == []
    found = statuses(report)
    skipped = {number for number, status in found.items() if status is Status.SKIPPED}
    assert skipped == WITHOUT_DATA | ONLY_PLANTED


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant.check} {plant.name}")
def test_a_planted_violation_is_named_on_postgresql(
    postgres_history: History, postgres_unguarded: str, plant: Plant
) -> None:
    """Every table a plant may touch is kept beside, and put back afterwards."""
    with psycopg.connect(postgres_unguarded, autocommit=True) as connection:
        tables = [
            row[0]
            for row in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            )
            if any(f" {row[0]} " in f"{text} " for text in plant.statements)
        ]
        for table in tables:
            connection.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}".encode())
        try:
            for text in statements(plant, postgres_history):
                assert connection.execute(text.encode()).rowcount > 0
            assert_named(postgres_history.audit(), plant)
        finally:
            for table in tables:
                connection.execute(f"DELETE FROM {table}".encode())
                connection.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}".encode())
                connection.execute(f"DROP TABLE kept_{table}".encode())


# --- replays -------------------------------------------------------------------------------------

#: An outcome that is unknown and a charge that was refused are no faults of the books.
VERDICTS = {"clean", "warning"}


def _replays(history: History) -> dict[str, str]:
    db = open_database(history.url, history.clock)
    try:
        found = {name: replay_deal(db, deal_id) for name, deal_id in history.deals.items()}
    finally:
        db.close()
    return {name: str(one["verdict"]) for name, one in found.items()}


def test_every_deal_of_the_history_replays_from_its_events(sqlite_history: History) -> None:
    """Catches a replay that does not know refunds, rulings, mandates or intents."""
    found = _replays(sqlite_history)
    assert set(found.values()) <= VERDICTS, found
    assert {"paid", "refunded", "ruled", "disputed", "mandated"} <= found.keys()
    assert found["paid"] == found["refunded"] == found["mandated"] == "clean"


def test_every_deal_of_the_history_replays_on_postgresql(
    postgres_history: History,
) -> None:
    """The module's own database has lost its constraints by now; its rows are what they were."""
    assert set(_replays(postgres_history).values()) <= VERDICTS
