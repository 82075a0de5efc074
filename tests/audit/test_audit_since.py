"""An audit goes on from a head that a clean run on record has seen, and no further back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import HeadNotAudited
from settlement.service.audit import SINCE, WHOLE, AuditReport, Status, run_audit
from settlement.service.audit_runs import record_run
from settlement.store.database import open_database
from tests.audit.conftest import known_outside, strip_postgres, strip_sqlite
from tests.support.house import Play, house
from tests.support.raw import open_raw, sql

if TYPE_CHECKING:
    from settlement.service.audit_base import AuditContext
    from settlement.wiring import Services

_PREFIX = "sqlite:///"
#: Checks that stream, and so can leave out what was streamed before.
GOES_ON = {6, 23, 37, 39}


@dataclass(frozen=True, slots=True)
class Place:
    """A database with a deal from before the head, and one from after it."""

    url: str
    context: AuditContext
    head: int
    before: str
    after: str

    def audit(self, since: int | None = None) -> AuditReport:
        db = open_database(self.url)
        try:
            return run_audit(db, replace(self.context, since=self.head if since is None else since))
        finally:
            db.close()

    def tamper(self, statement: str) -> None:
        """Take the guards off, and change rows."""
        if self.url.startswith(_PREFIX):
            strip_sqlite(Path(self.url.removeprefix(_PREFIX)))
        else:
            strip_postgres(self.url)
        with open_raw(self.url) as raw:
            text = statement.replace("<before>", self.before).replace("<after>", self.after)
            raw.run([sql(text)])


def _settled(services: Services, play: Play, name: str) -> tuple[str, int]:
    buyer, seller = play.agent(f"{name} buyer"), play.agent(f"{name} seller")
    deal = play.proof(seller)
    play.receipt(deal)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    deal_id = str(deal["deal_id"])
    return deal_id, services.sequencer.ensure_covered(deal_id).tree_size


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Place:
    """A deal, a head, a clean run on record; then another deal."""
    with house(tmp_path, database_url) as services:
        services.sequencer.check_checkpoint()
        play = Play(services)
        before, head = _settled(services, play, "first")
        report = run_audit(services.db, known_outside(services))
        assert report.clean, report.failed()
        record_run(services.db, report, "auditor")
        after, _ = _settled(services, play, "second")
        return Place(database_url, known_outside(services), head, before, after)


def _failed(report: AuditReport) -> dict[int, str]:
    return {one.number: str(one.reason) for one in report.failed()}


def test_what_was_audited_is_left_out_and_the_report_says_so(place: Place) -> None:
    """Catches a report that passes for a whole one."""
    report = place.audit()
    assert report.clean, report.failed()
    assert report.document()["since"] == place.head
    assert {one.number for one in report.findings if one.scope == SINCE} == GOES_ON
    whole = place.audit(0)
    assert {one.scope for one in whole.findings} == {WHOLE}
    statuses = {one.number: one.status for one in whole.findings}
    assert statuses == {one.number: one.status for one in report.findings}
    assert statuses[47] is Status.OK


def test_only_a_head_that_a_clean_run_has_seen_is_gone_on_from(place: Place) -> None:
    """Catches a build that takes the caller's word for what was audited."""
    newest = place.context.checkpoint
    assert newest is not None
    for size in (newest.tree_size, place.head - 1, 10**6):
        with pytest.raises(HeadNotAudited):
            place.audit(size)
    place.tamper(
        "UPDATE event SET payload = replace(payload, '\"failed\": []', '\"failed\": [7]')"
        " WHERE deal_id = 'sys_audit'"
    )
    with pytest.raises(HeadNotAudited):
        place.audit()


@pytest.mark.parametrize(
    ("number", "why", "statement"),
    [
        (6, "hash to something else", "UPDATE transfer SET amount_minor = amount_minor + 1"),
        (23, "its events say settled", "UPDATE deal SET state = 'cancelled'"),
        (37, "does not hash", "UPDATE event SET payload = '{}' WHERE version = 0 AND"),
        (37, "head of the chain", "DELETE FROM event WHERE version = 1 AND"),
        (37, "head of the chain", "UPDATE deal SET version = version + 1"),
        (39, "not the hash of its event's leaf", f"UPDATE log_entry SET leaf_hash = '{'ab' * 32}'"),
    ],
)
def test_what_came_after_the_head_is_checked_as_ever(
    place: Place, number: int, why: str, statement: str
) -> None:
    """Catches a short cut that leaves out more than was audited."""
    joined = "" if statement.endswith("AND") else " WHERE"
    place.tamper(f"{statement}{joined} deal_id = '<after>'")
    assert why in _failed(place.audit())[number]


def test_the_subtrees_it_goes_on_from_must_give_the_signed_root(place: Place) -> None:
    """Catches a build that believes stored hashes. Leaves before the head are those hashes here."""
    place.tamper(f"UPDATE log_entry SET leaf_hash = '{'ab' * 32}' WHERE deal_id = '<before>'")
    assert "not the root of the leaves" in _failed(place.audit())[39]
