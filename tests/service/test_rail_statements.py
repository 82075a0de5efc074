"""What rails say they moved: taken in once, whole or not at all, and held against the books."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.operations import RecordChargeback, RecordPayment
from settlement.core.principal import SYSTEM
from settlement.core.rail import RailRecord, RailRequest, RailSilent
from settlement.service import rail_statements
from settlement.service.audit import run_audit
from settlement.service.rail_statements import Imported, import_list
from settlement.service.restore import checked
from settlement.service.statement_file import COLUMNS, import_file
from tests.support.archives import back_up
from tests.support.house import Play, house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.service.audit import Finding
    from settlement.store.database import Database
    from settlement.wiring import Services

ALWAYS = ("2020-01-01T00:00:00.000000Z", "2100-01-01T00:00:00.000000Z")
NOON = "2026-01-01T12:00:00Z"


class Site:
    """A house with two people in it."""

    def __init__(self, services: Services, directory: Path) -> None:
        self.services = services
        self.db: Database = services.db
        self.directory = directory
        self.play = Play(services)
        self.buyer, self.seller = self.play.agent("buyer"), self.play.agent("seller")

    def approved(self, price_minor: int = 10_000) -> dict[str, Any]:
        deal = self.play.proof(self.seller, price_minor)
        self.play.go(deal, self.buyer)
        return deal

    def paid(self, price_minor: int = 10_000) -> dict[str, Any]:
        """Charged by us, settled, and paid out."""
        deal = self.approved(price_minor)
        self.play.settle(deal, self.seller)
        self.play.work()
        self.play.payout(deal, self.seller)
        self.play.work()
        return deal

    def told(self, deal: dict[str, Any], rail_ref: str, amount_minor: int = 10_000) -> None:
        """The rail's message: the buyer has paid at its page."""
        self.do(RecordPayment, deal, rail_ref, amount_minor)

    def taken_back(self, deal: dict[str, Any], rail_ref: str, amount_minor: int) -> None:
        """The rail's message: the buyer's bank took the payment back."""
        self.do(RecordChargeback, deal, rail_ref, amount_minor)

    def do(self, operation: Any, deal: dict[str, Any], rail_ref: str, amount_minor: int) -> None:
        self.services.engine.execute(
            operation(
                principal=SYSTEM,
                deal_id=deal["deal_id"],
                amount_minor=amount_minor,
                rail="simulated",
                rail_ref=rail_ref,
                message_id=f"msg_{rail_ref}",
            )
        ).unwrap()

    def ask(self) -> Imported:
        """Take in the rail's own list."""
        return import_list(self.db, "simulated", self.play.rail)

    def file(self, *rows: str, period: tuple[str, str] = ("", "")) -> Imported:
        """Take in a file with these rows."""
        path = self.directory / "export.csv"
        path.write_text("\n".join([",".join(COLUMNS), *rows, ""]), "utf-8")
        return import_file(self.db, "simulated", path, *period)

    def finding(self) -> Finding:
        return next(one for one in run_audit(self.db).findings if one.number == 32)

    def lines(self) -> list[dict[str, Any]]:
        return self.db.read(_all_lines)


def _all_lines(tx: Any) -> list[dict[str, Any]]:
    return list(tx.all("audit_lines_of", rail="simulated", refs=["ch_1", "ch_2", "ch_3"]))


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    with house(tmp_path, database_url) as services:
        services.engine.start()
        yield Site(services, tmp_path)


def ok(finding: Finding) -> bool:
    return finding.status.value == "ok"


# --- a rail's own list ---------------------------------------------------------------------------


def test_without_a_statement_the_check_says_skipped(site: Site) -> None:
    """Catches a check that passes for lack of data."""
    site.paid()
    finding = site.finding()
    assert finding.status.value == "skipped"
    assert finding.reason


def test_a_list_taken_in_twice_is_there_once(site: Site) -> None:
    """Catches an import that adds its lines again: the rail would have charged twice."""
    site.paid()
    first, second = site.ask(), site.ask()
    assert first.clean
    assert second.clean
    assert (first.new, first.known) == (2, 0)
    assert (second.new, second.known) == (0, 2)
    assert ok(site.finding())


def test_what_is_booked_after_a_statement_waits_for_the_next(site: Site) -> None:
    """Catches a check that wants lines of what no statement covers, and one that goes on not
    wanting them when a later statement does."""
    site.paid()
    site.ask()
    site.paid(7_000)
    assert ok(site.finding())
    again = site.ask()
    assert (again.new, again.known) == (2, 2)
    assert ok(site.finding())


def test_a_line_is_unmatched_by_right_while_its_effect_is_open(site: Site) -> None:
    """Catches a check that calls what a rail did, and has not told us yet, a stranger."""
    deal = site.approved()
    site.play.settle(deal, site.seller)
    site.play.misbehave("charge_then_silence", f"charge:{deal['deal_id']}")
    site.play.work()
    assert site.ask().new == 1
    assert ok(site.finding())
    site.play.behave()


def test_what_was_made_past_the_books_is_named(site: Site) -> None:
    """Catches a check that looks only from the books to the rail: a charge of a lost deal, or one
    made at the provider's own page, would stay unseen."""
    site.paid()
    site.play.rail.send(
        RailRequest(
            kind="charge",
            rail_key="past-us",
            obligation_key="charge:deal_lost:0",
            asset="USD/2",
            amount_minor=4_200,
            deal_id="deal_lost",
        )
    )
    site.ask()
    finding = site.finding()
    assert finding.first_bad is not None
    assert finding.first_bad["obligation_key"] == "charge:deal_lost:0"
    assert finding.first_bad["amount_minor"] == 4_200


class OtherMoney:
    """A rail that, asked again, has another amount."""

    name = "simulated"
    lookup_lag_seconds = 0
    key_retention_seconds = None

    def __init__(self, records: list[RailRecord], then: Any = None) -> None:
        self.records = records
        self.then = then

    def known(self, since_us: int) -> Iterator[RailRecord]:
        del since_us
        yield from self.records
        if self.then is not None:
            self.then()

    def send(self, request: Any) -> Any:
        raise AssertionError(request)

    def ask(self, kind: str, rail_key: str, destination: str | None = None) -> Any:
        raise AssertionError((kind, rail_key, destination))


def test_a_line_that_changed_is_a_contradiction_and_stays_as_it_was(site: Site) -> None:
    """Catches an import that overwrites what the rail said before."""
    site.paid()
    records = list(site.play.rail.known(0))
    site.ask()
    changed = [replace(records[0], amount_minor=records[0].amount_minor + 1), *records[1:]]
    found = import_list(site.db, "simulated", OtherMoney(changed))
    assert not found.clean
    assert [one["line_id"] for one in found.contradictions] == [f"charge:{records[0].rail_ref}"]
    assert ok(site.finding())


def test_a_list_that_breaks_off_leaves_nothing(site: Site) -> None:
    """Catches an import that says a time is covered of which it has seen a part."""
    site.paid()
    records = list(site.play.rail.known(0))

    def fall_silent() -> None:
        raise RailSilent("it hung up")

    found = import_list(site.db, "simulated", OtherMoney(records[:1], fall_silent))
    assert found.silent
    assert not found.kept
    assert site.finding().status.value == "skipped"


def test_a_list_with_a_nameless_entry_is_not_taken_in(site: Site) -> None:
    """Catches an import that passes over what it cannot keep and says that all is covered."""
    site.paid()
    first, *rest = site.play.rail.known(0)
    found = import_list(site.db, "simulated", OtherMoney([*rest, replace(first, rail_ref=None)]))
    assert found.problems[0]["obligation_key"] == first.obligation_key
    assert not found.kept
    assert site.finding().status.value == "skipped"


def test_what_a_rail_refused_is_no_line(site: Site) -> None:
    """Catches an import of declined charges: they moved nothing."""
    deal = site.approved()
    site.play.misbehave("decline", f"charge:{deal['deal_id']}")
    site.play.settle(deal, site.seller)
    site.play.work()
    assert site.ask().line_count == 0
    assert ok(site.finding())


def test_a_rail_is_never_read_inside_a_transaction(site: Site) -> None:
    """Catches an import that holds the database while it waits for the rail: a writer that comes
    meanwhile would wait as long."""
    site.paid()
    records = list(site.play.rail.known(0))
    seen: list[str] = []

    def somebody_writes() -> None:
        site.play.agent("somebody")
        seen.append("written")

    assert import_list(site.db, "simulated", OtherMoney(records, somebody_writes)).clean
    assert seen == ["written"]


def test_a_rail_without_a_list_is_named(site: Site) -> None:
    """Catches an import that takes no list for an empty one: all would be covered by nothing."""
    site.paid()

    class Listless:
        name = "simulated"
        lookup_lag_seconds = 0

    found = import_list(site.db, "simulated", Listless())  # type: ignore[arg-type]  # as Stripe's
    assert found.unlisted
    assert site.finding().status.value == "skipped"


def test_messages_of_payments_are_not_looked_for_in_a_rails_list_of_what_it_was_asked(
    site: Site,
) -> None:
    """Catches a check that wants a line of a payment at the rail's page from a list that has only
    what we asked for."""
    site.paid()
    site.told(site.approved(), "ch_1")
    site.ask()
    assert ok(site.finding())


# --- files ---------------------------------------------------------------------------------------


def test_a_file_with_every_line_agrees_with_the_books(site: Site) -> None:
    """The control, with what no list has: payments at the page, in two parts, and a chargeback.
    Catches a check that knows the effects only, and one that mixes up a chargeback with the
    payment whose name it has."""
    deal = site.approved()
    site.told(deal, "ch_1", 4_000)
    site.told(deal, "ch_2", 6_000)
    site.taken_back(deal, "ch_2", 1_000)
    rows = (
        f"l1,charge,USD/2,40.00,ch_1,{NOON}",
        f"l2,charge,USD/2,60,ch_2,{NOON}",
        f"l3,chargeback,USD/2,10.00,ch_2,{NOON}",
    )
    assert site.file(*rows, period=ALWAYS).new == 3
    assert ok(site.finding())
    again = site.file(*rows, period=ALWAYS)
    assert (again.new, again.known) == (0, 3)
    assert ok(site.finding())


@pytest.mark.parametrize("left_out", ["l1", "l2", "l3"])
def test_a_booked_message_without_its_line_is_named(site: Site, left_out: str) -> None:
    """Catches a check that believes any signed message."""
    deal = site.approved()
    site.told(deal, "ch_1", 4_000)
    site.told(deal, "ch_2", 6_000)
    site.taken_back(deal, "ch_2", 1_000)
    rows = [
        f"l1,charge,USD/2,40.00,ch_1,{NOON}",
        f"l2,charge,USD/2,60,ch_2,{NOON}",
        f"l3,chargeback,USD/2,10.00,ch_2,{NOON}",
    ]
    site.file(*(row for row in rows if not row.startswith(left_out)), period=ALWAYS)
    finding = site.finding()
    assert "has no line of it" in str(finding.reason)


def test_a_stray_payment_is_named_until_it_has_gone_back_under_its_name(site: Site) -> None:
    """Catches a check that does not see money of a lost deal, and one that no giving back can
    mend."""
    site.told(site.approved(), "ch_1")
    whole = f"l1,charge,USD/2,100.00,ch_1,{NOON}"
    lost = f"l2,charge,USD/2,55.00,ch_2,{NOON}"
    site.file(whole, lost, period=ALWAYS)
    finding = site.finding()
    assert finding.first_bad is not None
    assert finding.first_bad["line_id"] == "l2"
    site.file(whole, lost, f"l3,refund,USD/2,55.00,ch_2,{NOON}", period=ALWAYS)
    assert ok(site.finding())


GOOD = f"l1,charge,USD/2,100.00,ch_1,{NOON}"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (f"l2,charge,USD/2,100.00,ch_2,{NOON},more", "columns"),
        (f",charge,USD/2,100.00,ch_2,{NOON}", "line_id"),
        (f"l2,charge,USD/2,100.00,\x00,{NOON}", "rail_ref"),
        (f"l2,fee,USD/2,100.00,ch_2,{NOON}", "kind"),
        (f"l2,charge,dollars,100.00,ch_2,{NOON}", "asset"),
        (f"l2,charge,USD/2,-100.00,ch_2,{NOON}", "amount"),
        (f'l2,charge,USD/2,"1,000.00",ch_2,{NOON}', "amount"),
        (f"l2,charge,USD/2,1.001,ch_2,{NOON}", "amount"),
        ("l2,charge,USD/2,100.00,ch_2,yesterday", "occurred_at"),
        ("l2,charge,USD/2,100.00,ch_2,", "occurred_at"),
        ("l2,charge,USD/2,100.00,ch_2,2101-01-01", "period"),
    ],
)
def test_a_bad_row_is_named_and_nothing_of_its_file_is_taken_in(
    site: Site, row: str, why: str
) -> None:
    """Catches an import of the rows before the bad one, and a problem without its line."""
    site.told(site.approved(), "ch_1")
    found = site.file(GOOD, row, f"l3,charge,USD/2,1.00,ch_3,{NOON}", period=ALWAYS)
    assert [problem["line"] for problem in found.problems] == [3]
    assert why in found.problems[0]["why"]
    assert not found.kept
    assert site.lines() == []
    assert site.finding().status.value == "skipped"


@pytest.mark.parametrize("page", [1, 500])
def test_a_contradiction_in_a_file_stops_the_file(
    site: Site, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Catches an import that keeps the pages before the contradiction, and one that compares only
    with what was there before the file, or before the page."""
    monkeypatch.setattr(rail_statements, "PAGE", page)
    site.told(site.approved(), "ch_1")
    twice = f"l1,charge,USD/2,101.00,ch_1,{NOON}"
    found = site.file(GOOD, twice, period=ALWAYS)
    assert not found.kept
    assert found.contradictions[0]["line_id"] == "l1"
    assert site.lines() == []
    assert site.file(GOOD, period=ALWAYS).kept
    assert not site.file(f"l2,charge,USD/2,1.00,ch_2,{NOON}", twice, period=ALWAYS).kept
    assert [line["amount_minor"] for line in site.lines()] == [10_000]


def test_what_cannot_be_taken_back_is_not_taken_in(site: Site) -> None:
    """Catches a file under a misspelt rail, and one that says again what the rail's list said: no
    row of either could ever be removed."""
    site.paid()
    path = site.directory / "export.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{GOOD}\n", "utf-8")
    assert not import_file(site.db, "simulatd", path).kept
    assert site.ask().kept
    found = import_file(site.db, "simulated", path)
    assert not found.kept
    assert "twice" in found.problems[0]["why"]


@pytest.mark.parametrize("text", ["", "line_id,kind\n", ",".join(COLUMNS) + "\n", '"', "\xff"])
def test_what_is_no_statement_is_refused(site: Site, text: str) -> None:
    site.paid()
    path = site.directory / "export.csv"
    path.write_bytes(text.encode("latin-1"))
    found = import_file(site.db, "simulated", path)
    assert found.problems
    assert not found.kept


# --- backups -------------------------------------------------------------------------------------


def test_statements_are_in_a_backup_and_its_audit_reads_them(site: Site) -> None:
    """Catches tables that backups leave out."""
    site.paid()
    site.ask()
    archive = back_up(site.services, site.directory / "out").path
    with checked(archive, {}, None) as found:
        finding = next(one for one in found.audit.findings if one.number == 32)
        assert ok(finding)
        assert found.audit.rows["rail_line"] == 2
