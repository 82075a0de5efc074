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
from tests.chaos.site import Site
from tests.cli.running import run
from tests.support.house import Play
from tests.support.server import deployed
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import Deployment

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

    def owned(self) -> None:
        """Give the database to a role that is no superuser, as it should be."""
        name = f"{self.prefix}_owner"
        database = urlsplit(self.url).path.removeprefix("/")
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute(
                f"CREATE ROLE {name} LOGIN PASSWORD 'p' CREATEROLE;"
                f" ALTER DATABASE {database} OWNER TO {name}".encode()
            )

    def drop(self) -> None:
        """Take the roles off the server again."""
        with psycopg.connect(self.url, autocommit=True) as owner:
            rows = owner.execute(b"SELECT rolname FROM pg_roles").fetchall()
            made = [name for (name,) in rows if name.startswith(f"{self.prefix}_")]
            for role in [one.removeprefix(f"{self.prefix}_") for one in made]:
                name = f"{self.prefix}_{role}"
                owner.execute(
                    f"REASSIGN OWNED BY {name} TO CURRENT_USER;"
                    f" DROP OWNED BY {name}; DROP ROLE {name}".encode()
                )


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


def rights(url: str) -> set[tuple[str, ...]]:
    """Who may what on the tables of a database, and whose they are."""
    with psycopg.connect(url) as shell:
        return set(
            shell.execute(
                b"SELECT c.relname, pg_get_userbyid(c.relowner), a.grantee::text, a.privilege_type"
                b" FROM pg_class AS c, aclexplode(c.relacl) AS a"
                b" WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
            ).fetchall()
        )


@pytest.fixture
def deployment(postgres_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """Migrated by an owner who is no superuser."""
    with deployed(tmp_path, postgres_url) as made:
        yield made


def ran_as(deployment: Deployment, url: str, *arguments: str, code: int = 0) -> str:
    """Run a command as a role; what it said."""
    deployment.database = url
    done = deployment.command(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Fault" not in done.stderr
    return done.stdout + done.stderr


def test_a_deployment_of_roles_starts_is_restored_by_its_owner_and_starts_again(
    postgres_url: str, deployment: Deployment
) -> None:
    """Catches a start that asks for rights over the schema, a dry run that promises what the role
    may not do, and restored tables that the service may not read."""
    roles = Roles(postgres_url)
    roles.owned()
    owner, engine, audit = (roles.url_of(role) for role in ("owner", "engine", "audit"))
    recover = ("recover", "--latest")
    try:
        ran_as(deployment, owner, "migrate")
        roles.apply()
        before = rights(postgres_url)
        assert len({name for name, *_ in before}) > 30

        deployment.database = engine
        server = deployment.server()
        site = Site(bases=[server.url], deployment=deployment)
        site.pack(site.agent())
        ran_as(deployment, audit, "backup")
        # Beside the server a dry run says who is in the way, and for whom it would be refused.
        in_the_way = f"of {roles.prefix}_engine from"
        assert in_the_way in ran_as(deployment, owner, *recover, "--dry-run")
        assert in_the_way in ran_as(deployment, owner, *recover, "--force", code=3)
        assert "postgresql://OWNER@" in ran_as(deployment, engine, *recover, "--dry-run", code=4)
        server.stop()
        assert "postgresql://OWNER@" in ran_as(deployment, engine, *recover, "--force", code=4)
        assert "postgresql://OWNER@" in ran_as(deployment, audit, *recover, "--force", code=4)
        assert rights(postgres_url) == before

        # As the owner, and as a superuser in a hurry: the tables stay the owner's.
        for url in (owner, postgres_url):
            ran_as(deployment, url, *recover, "--force")
            assert rights(postgres_url) == before
        deployment.database = engine
        # What the runbook runs after a restore, for a head may have been signed since the backup;
        # and what the unit runs before a start, which says so until then.
        ran_as(deployment, engine, "accept-gap", "--reason", "a test", "--force")
        ran_as(deployment, engine, "doctor")
        server.start()
        ran_as(deployment, engine, "reconcile")
        ran_as(deployment, engine, "pause", "all", "--reason", "a test")
        ran_as(deployment, engine, "resume", "all", "--reason", "a test")
        site.pack(site.agent())
        server.stop()
        ran_as(deployment, audit, "audit")
    finally:
        deployment.close()
        roles.drop()


def test_prove_mover_without_a_scratch_database_is_no_verdict(roles: Roles, tmp_path: Path) -> None:
    """Catches an answer of 1, which the runbook takes for a guard that is gone."""
    for role in ROLES:
        ran = run(tmp_path, "prove-mover", "--json", SETTLEMENT_DATABASE=roles.url_of(role))
        assert ran.code == 4, ran
        assert ran.json()["error"] == "no_scratch"
        assert "a role that may create databases" in ran.json()["detail"]


def test_a_role_without_rights_is_told_so_and_not_to_migrate(
    roles: Roles, postgres_url: str, tmp_path: Path
) -> None:
    """Catches tables taken for missing because they may not be read."""
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(
            f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {roles.prefix}_engine".encode()
        )
    for command in (("audit",), ("migrate",), ("serve", "--no-migrate", "--port", "0")):
        ran = run(tmp_path, *command, SETTLEMENT_DATABASE=roles.url_of("engine"))
        assert ran.code == 4, ran
        assert "permission denied for table schema_migration" in ran.err
        assert "roles.sql" in ran.err
        assert "lacks migration" not in ran.err
