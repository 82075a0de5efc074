"""The roles of deploy/postgres/roles.sql, on a real server: what each may do, and no more."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from settlement.config import load
from settlement.service import health
from settlement.service.audit import run_audit
from settlement.store.database import open_database
from settlement.store.health import read_stock
from settlement.wiring import build
from tests.support.house import Play
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPT = ROOT / "deploy" / "postgres" / "roles.sql"
ROLES = ("engine", "api", "audit")


class Roles:
    """The script applied under names of this test's own: roles belong to the whole server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = f"r{secrets.token_hex(4)}"

    def apply(self) -> None:
        """Run the script as the owner."""
        text = SCRIPT.read_text("utf-8").replace("settlement_", f"{self.prefix}_")
        with psycopg.connect(self.url, autocommit=True) as owner:
            owner.execute(text.encode())
            for role in ROLES:
                owner.execute(f"ALTER ROLE {self.prefix}_{role} PASSWORD 'p'".encode())

    def url_of(self, role: str) -> str:
        """The database's URL for a role."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{self.prefix}_{role}:p@{host}"))

    def drop(self) -> None:
        """Take the roles off the server again."""
        with psycopg.connect(self.url, autocommit=True) as owner:
            for role in ROLES:
                name = f"{self.prefix}_{role}"
                owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


@pytest.fixture
def roles(postgres_url: str) -> Iterator[Roles]:
    db = open_database(postgres_url)
    db.migrate()
    db.close()
    made = Roles(postgres_url)
    made.apply()
    yield made
    made.drop()


def refused(url: str, *statements: str) -> None:
    """Each statement alone fails for want of a right, not for a rule of ours."""
    with psycopg.connect(url, autocommit=True) as shell:
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                shell.execute(statement.encode())


def test_the_engine_runs_a_whole_deal_and_cannot_touch_history_or_rules(
    roles: Roles, tmp_path: Path
) -> None:
    """Catches a right the engine lacks, and one too many."""
    roles.apply()  # running it again is harmless
    env = {
        "SETTLEMENT_DATABASE": roles.url_of("engine"),
        "SETTLEMENT_SIGNING_KEY_FILE": str(tmp_path / "log_signing.key"),
        "SETTLEMENT_CHECKPOINT_FILE": str(tmp_path / "checkpoint.json"),
        "SETTLEMENT_RAIL_DIR": str(tmp_path / "rail"),
    }
    with closing(build(load(env))) as services:
        play = Play(services)
        seller = play.agent("seller")
        deal = play.proof(seller)
        play.receipt(deal)
        play.go(deal, play.agent("buyer"))
        play.settle(deal, seller)
        play.work()
        play.payout(deal, seller)
        play.work()
        while services.sequencer.step():
            pass
        services.outbox.step()
        stock = services.db.read(read_stock)  # what /metrics asks for
        assert stock.database_bytes > 0
        assert "database_error" not in health.figures(services.db, services.log_views)
    audit = open_database(roles.url_of("audit"))
    report = run_audit(audit)
    audit.close()
    assert report.clean, report.failed()
    refused(
        roles.url_of("engine"),
        "UPDATE transfer SET amount_minor = 1",
        "DELETE FROM event",
        "TRUNCATE settlement",
        "INSERT INTO movement_rule VALUES ('gift', 'agent', 'escrow')",
        "UPDATE asset SET scale = 3",
        "DROP TABLE transfer",
        "ALTER TABLE transfer DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
    )


def test_the_api_role_cannot_move_money_or_read_secrets(roles: Roles) -> None:
    url = roles.url_of("api")
    with psycopg.connect(url) as shell:
        shell.execute("SELECT count(*) FROM deal")
        shell.execute("UPDATE destination SET status = 'paused' WHERE false")
    refused(
        url,
        "SELECT digest FROM api_key",
        "INSERT INTO event SELECT * FROM event",
        "INSERT INTO transfer SELECT * FROM transfer",
        "INSERT INTO claim SELECT * FROM claim",
        "UPDATE payout SET state = 'planned'",
        "UPDATE effect SET state = 'planned'",
        "UPDATE account SET credits_posted = 1000000",
        "DELETE FROM outbox",
    )


def test_the_audit_role_only_reads(roles: Roles) -> None:
    url = roles.url_of("audit")
    with psycopg.connect(url) as shell:
        shell.execute("SELECT count(*) FROM transfer")
    refused(
        url,
        "UPDATE setting SET value = '1'",
        "INSERT INTO setting VALUES ('a', 'b')",
        "DELETE FROM job",
        "UPDATE hook SET status = 'deleted'",
    )
