"""No answer leaves before its commit: the commits are held up, and every answer is looked behind.

PostgreSQL only: there a deferred trigger can hold up the COMMIT itself, so that an answer given a
moment too early is seen every time, not once in a thousand kills. The engine is the same on SQLite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.chaos.site import Site
from tests.support import wire
from tests.support.callers import read, send

if TYPE_CHECKING:
    from tests.support.server import Deployment

pytestmark = pytest.mark.chaos

SLOW_COMMITS = """
CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(0.25); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT ON event
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.event_type IN ('PROOF_READY', 'GO_APPROVED', 'SETTLED', 'PAYOUT_CONFIRMED'))
  EXECUTE FUNCTION wait_at_commit();
"""
COMMITTED = "SELECT count(*) FROM event WHERE deal_id = %s AND event_type = %s"


@pytest.mark.parametrize("deployment", ["postgres"], indirect=True)
def test_nothing_is_acknowledged_before_its_commit(deployment: Deployment) -> None:
    """Catches: an engine that answers when it has written, or wakes its waiters before COMMIT."""
    server = deployment.server()
    site = Site(bases=[server.url], deployment=deployment)
    seller = site.agent()
    with psycopg.connect(deployment.database, autocommit=True) as reader:
        reader.execute(SLOW_COMMITS)
        pack = site.pack(seller)
        deal = pack["deal_id"]
        go = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
        settle = {"deal_id": deal, "amount": 99, "actor_id": seller.agent_id}
        for path, body, headers, event in (
            ("/protocol/go", go, None, "GO_APPROVED"),
            ("/protocol/settle", settle, seller.headers, "SETTLED"),
            ("/protocol/payouts", {"deal_id": deal}, seller.headers, "PAYOUT_CONFIRMED"),
        ):
            row = send(server.url, site.plan(path, body, headers))
            found = reader.execute(COMMITTED, (deal, event)).fetchone()
            assert row.get("status") == 200, row
            assert read(row)["_idempotent"] is False
            assert found == (1,), f"{path} was answered before {event} was committed"
    wire.settled_once(site.timeline(deal), "99.00")
    site.audit()
