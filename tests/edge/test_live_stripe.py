"""Live mode with Stripe, whole: real servers, real HTTP, and a Stripe of our own beside them."""

from __future__ import annotations

import html
import json
import re
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from settlement.signing import create_key_file
from tests.support.notes import until
from tests.support.postgres import fresh_database
from tests.support.rows import read_rows
from tests.support.server import Deployment, Server, attach_logs, deployed
from tests.support.stripe import PUBLISHABLE, WEBHOOK_SECRET, Stripe, stripe_running
from tests.support.stripe_server import SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

NET = 9_595  # of 99.00
WAIT_SECONDS = 60


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    report = yield
    attach_logs(item, report)
    return report


@dataclass
class Site:
    """A live deployment and its Stripe."""

    deployment: Deployment
    stripe: Stripe
    server: Server
    http: httpx.Client

    def call(self, method: str, path: str, body: Any = None, key: str = "") -> httpx.Response:
        """One request to whichever server is current."""
        headers = {"X-API-Key": key} if key else {}
        return self.http.request(method, self.server.url + path, json=body, headers=headers)

    def ok(self, method: str, path: str, body: Any = None, key: str = "") -> dict[str, Any]:
        """As `call`, expecting a success."""
        answer = self.call(method, path, body, key)
        assert answer.status_code in (200, 202), answer.text
        found: dict[str, Any] = answer.json()
        return found

    def seller(self) -> tuple[str, str]:
        """An agent with an account at Stripe: its id and its key."""
        made = self.ok("POST", "/protocol/register", {"name": "seller"})
        body = {"owner_id": made["agent_id"], "rail": "STRIPE_CONNECT", "address": "acct_seller"}
        stored = self.ok("POST", "/protocol/payout-destinations", body, made["api_key"])
        assert (stored["status"], stored["rail"]) == ("active", "STRIPE_CONNECT")
        return made["agent_id"], made["api_key"]

    def approved(self, seller: str, key: str) -> str:
        """A deal that a buyer without a key has approved by its quote."""
        body = {"agent_username": seller, "proof_type": "creative_preview"}
        pack = self.ok("POST", "/protocol/proof-pack", body, key)
        right = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
        wrong = {**right, "quote_id": "quote_" + "0" * 32}
        assert self.call("POST", "/protocol/go", wrong).json()["error"] == "quote_mismatch"
        self.ok("POST", "/protocol/go", right)
        return str(pack["deal_id"])

    def pay(self, deal_id: str) -> str:
        """The buyer pays in the form of the deal's page; Stripe's id of the payment."""
        page = self.call("GET", f"/pay/{deal_id}")
        shown = re.search(r'data-payment="(pi_[^"]+)"', page.text)
        assert shown is not None, page.text
        self.stripe.control("pay", payment=shown[1])
        return shown[1]

    def told(self, times: int = 1) -> list[bool]:
        """Stripe sends its news of payments, so often; whether each was here before."""
        ids = self.stripe.events("payment_intent.succeeded")[-1:] * times
        answers = self.stripe.deliver(self.server.url, ids)
        return [answer["_idempotent"] for answer in answers]

    def settle(self, deal_id: str, key: str) -> httpx.Response:
        """The call that is the same before and after the payment."""
        return self.call("POST", "/protocol/settle", {"deal_id": deal_id}, key)

    def settled(self) -> tuple[str, str]:
        """A settled deal and its seller's key."""
        agent_id, key = self.seller()
        deal_id = self.approved(agent_id, key)
        self.pay(deal_id)
        self.told()
        self.until_funded(deal_id)
        assert self.settle(deal_id, key).status_code == 200
        return deal_id, key

    # What a test waits for is read past HTTP, whose limits a waiting test would meet.

    def until_funded(self, deal_id: str) -> None:
        """Wait until the payment has been booked."""
        query = "SELECT amount_minor FROM transfer WHERE kind = 'charge' AND deal_id = "
        until(lambda: len(self.rows(f"{query}'{deal_id}'")) == 1, WAIT_SECONDS)

    def until_payout(self, state: str) -> None:
        """Wait until the only payout is there and in that state."""
        until(lambda: self.rows("SELECT state FROM payout") == [(state,)], WAIT_SECONDS)

    def rows(self, query: str) -> list[Any]:
        return read_rows(self.deployment.database, query)


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    with stripe_running() as served:
        yield served


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def deployment(
    request: pytest.FixtureRequest, tmp_path: Path, stripe: Stripe
) -> Iterator[Deployment]:
    """A live deployment on Stripe; no server yet."""
    create_key_file(tmp_path / "keys" / "log_signing.key")
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path / 'settlement.db'}"
        else:
            postgres = request.getfixturevalue("postgres_server")
            url = stack.enter_context(fresh_database(postgres, label="live"))
        yield stack.enter_context(deployed(tmp_path, url, **stripe.settings))


@pytest.fixture
def site(deployment: Deployment, stripe: Stripe) -> Iterator[Site]:
    with httpx.Client(timeout=30, trust_env=False) as http:
        yield Site(deployment, stripe, deployment.server(), http)


def test_from_approval_to_payout_through_stripe(site: Site, deployment: Deployment) -> None:
    """The settle that lacked money is the one that succeeds after the payment, once.

    Broken build: its refusal is stored under the derived key and replayed for ever; or the page
    itself is believed, and goods leave before money has come.
    """
    agent_id, key = site.seller()
    deal_id = site.approved(agent_id, key)
    early = site.settle(deal_id, key)
    refused = early.json()
    assert (early.status_code, refused["error"]) == (409, "payment_not_authorized")
    assert (refused["retry"], refused["waiting_for"]) == ("later", "payment")
    assert refused["payment_url"] == f"{site.server.url}/pay/{deal_id}"
    site.pay(deal_id)
    assert site.settle(deal_id, key).json()["error"] == "payment_not_authorized"
    assert site.told(times=20).count(False) == 1
    site.until_funded(deal_id)
    first, again = (site.settle(deal_id, key).json() for _ in range(2))
    assert [first["_idempotent"], again["_idempotent"]] == [False, True]
    assert (first["gross"], first["net_minor"]) == (99.0, NET)
    assert "Nothing is owed any more" in site.call("GET", f"/pay/{deal_id}").text
    site.ok("POST", "/protocol/payouts", {"deal_id": deal_id}, key)
    site.until_payout("confirmed")
    (transfer,) = site.stripe.of("transfer")
    assert (transfer["amount"], transfer["destination"]) == (NET, "acct_seller")
    assert len(site.stripe.of("payment_intent")) == 1
    types = [event["event_type"] for event in _timeline(site, deal_id)]
    assert types.count("PAYMENT_AUTHORIZED") == types.count("SETTLED") == 1
    deployment.assert_audit_is_clean()


def _timeline(site: Site, deal_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.ok("GET", f"/protocol/deals/{deal_id}/timeline")["events"]
    return found


@pytest.mark.chaos
@pytest.mark.parametrize("point", ["effect.after_send", "effect.before_send"])
def test_a_server_killed_around_a_transfer_pays_once(
    site: Site, deployment: Deployment, point: str
) -> None:
    """kill -9 between Stripe's transfer and our record of it, or just before the call.

    Broken build: the next server pays again, or believes that nothing was ever sent.
    """
    deal_id, key = site.settled()
    site.server.stop()
    site.server = deployment.server(SETTLEMENT_FAULTS=f"{point}:kill")
    with suppress(httpx.TransportError):  # it may die before it has answered
        site.call("POST", "/protocol/payouts", {"deal_id": deal_id}, key)
    until(lambda: not site.server.running, WAIT_SECONDS)
    sent = point == "effect.after_send"
    assert len(site.stripe.of("transfer")) == (1 if sent else 0)
    site.server = deployment.server()
    until(lambda: site.stripe.requests("GET /v1/transfers") > 0, WAIT_SECONDS)
    if sent:
        site.until_payout("confirmed")
    else:  # within the lookup lag it is asked about and not sent
        site.until_payout("unknown")
    assert len(site.stripe.of("transfer")) == (1 if sent else 0)
    assert site.stripe.requests("POST /v1/transfers") == (1 if sent else 0)
    deployment.assert_audit_is_clean()


def test_a_transfer_that_answered_too_late_is_found_and_not_repeated(site: Site) -> None:
    """A timeout after the charge, through the whole server. Meanwhile the caller is told not to pay
    again, and asking again changes nothing."""
    deal_id, key = site.settled()
    site.stripe.program("hang_after", match="POST /v1/transfers")
    for _ in range(3):
        first = site.ok("POST", "/protocol/payouts", {"deal_id": deal_id}, key)
    site.until_payout("confirmed")
    assert first["payout"]["payout_id"]
    assert site.stripe.requests("POST /v1/transfers") == len(site.stripe.of("transfer")) == 1


def test_the_page_of_a_deal_shows_one_payment_and_no_secret_of_ours(site: Site) -> None:
    """Broken build: the secret key in the page, a payment before approval, foreign scripts."""
    agent_id, key = site.seller()
    body = {"agent_username": agent_id, "proof_type": "creative_preview", "scope_summary": "<b>x"}
    pack = site.ok("POST", "/protocol/proof-pack", body, key)
    path = f"/pay/{pack['deal_id']}"
    assert "has not been approved" in site.call("GET", path).text
    assert site.stripe.requests("/v1/payment_intents") == 0
    site.ok(
        "POST", "/protocol/go", {n: pack[n] for n in ("deal_id", "quote_id", "scope_lock_hash")}
    )
    pages = [site.call("GET", path) for _ in range(3)]
    for page in pages:
        policy = page.headers["content-security-policy"]
        nonce = re.search(r"'nonce-([^']+)'", policy)
        assert nonce is not None
        assert f'<script nonce="{nonce[1]}">' in page.text
        assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
        assert PUBLISHABLE in page.text
        assert html.escape("<b>x") in page.text
        assert SECRET_KEY not in page.text + str(page.headers)
        assert pack["quote_id"] not in page.text
    assert len(site.stripe.of("payment_intent")) == 1
    site.pay(pack["deal_id"])
    assert "This is paid, and will show here" in site.call("GET", path).text
    site.told()
    site.until_funded(pack["deal_id"])
    assert "The money is kept until the deal is settled" in site.call("GET", path).text


@pytest.mark.parametrize("does", ["error_before", "drop_before", "hang_before", "garbage"])
def test_a_stripe_that_does_not_answer_leaves_a_page_and_no_second_payment(
    site: Site, does: str
) -> None:
    """Broken build: a 500, or a page that waits for as long as Stripe likes."""
    agent_id, key = site.seller()
    deal_id = site.approved(agent_id, key)
    site.stripe.control("program", rules=[{"does": does, "match": "/v1/payment_intents"}])
    page = site.call("GET", f"/pay/{deal_id}")
    assert page.status_code == 200
    assert "does not answer. Nothing was charged" in page.text
    site.stripe.program(does, match="POST /v1/payment_intents")
    site.call("GET", f"/pay/{deal_id}")
    site.stripe.control("program", rules=[])
    if does == "error_before":
        site.stripe.advance(90_000)  # until then Stripe repeats its error
    site.pay(deal_id)
    assert len(site.stripe.of("payment_intent")) == 1


def test_no_secret_of_stripes_is_in_the_log_or_the_database(
    site: Site, deployment: Deployment
) -> None:
    """The server's whole output at level debug, errors of Stripe's included, whose texts repeat the
    key on purpose; and every row of the tables that hold what rails said."""
    site.server.stop()
    site.server = deployment.server(SETTLEMENT_LOG_LEVEL="debug")
    deal_id, key = site.settled()
    site.stripe.program("error_after", match="POST /v1/transfers")
    site.ok("POST", "/protocol/payouts", {"deal_id": deal_id}, key)
    site.until_payout("confirmed")
    site.server.stop()
    tables = ("effect", "job", "inbox", "event", "claim", "payout", "outbox")
    rows = [str(read_rows(deployment.database, f"SELECT * FROM {one}")) for one in tables]
    logs = [server.log.read_text("utf-8") for server in deployment.servers]
    assert deal_id in rows[0]
    for secret in (SECRET_KEY, WEBHOOK_SECRET):
        assert all(secret not in text for text in [*rows, *logs])


def test_a_balance_topped_up_at_stripe_pays_a_deal(site: Site) -> None:
    """Page, Stripe's message three times, GO by the buyer's key, settle from the balance. Broken
    builds: a page opened twice makes two payments, a repeated message tops up again."""
    seller, seller_key = site.seller()
    buyer = site.ok("POST", "/protocol/register", {"name": "buyer"})
    headers = {"X-API-Key": buyer["api_key"], "Idempotency-Key": "t1"}
    made = site.http.post(
        f"{site.server.url}/protocol/topups", json={"amount": "150.00"}, headers=headers
    ).json()
    assert (made["ok"], made["state"], made["rail"]) == (True, "open", "stripe")
    assert made["payment_url"].endswith(f"/pay/{made['topup_id']}")
    page = site.call("GET", f"/pay/{made['topup_id']}").text
    assert site.pay(made["topup_id"]) in page
    assert site.told(3) == [False, True, True]
    balance = "SELECT credits_posted FROM account WHERE account_class = 'agent'"
    until(lambda: site.rows(balance) == [(15_000,)], WAIT_SECONDS)
    body = {"agent_username": seller, "proof_type": "creative_preview"}
    pack = site.ok("POST", "/protocol/proof-pack", body, seller_key)
    right = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
    site.ok("POST", "/protocol/go", right, buyer["api_key"])
    settle = {"deal_id": pack["deal_id"], "provider": "balance"}
    done = site.ok("POST", "/protocol/settle", settle, buyer["api_key"])
    assert (done["status"], done["provider"]) == ("settled", "balance")
    assert "This is paid" in site.call("GET", f"/pay/{made['topup_id']}").text


# --- starting ------------------------------------------------------------------------------------


def test_pretend_money_and_a_real_rail_do_not_start_together(deployment: Deployment) -> None:
    deployment.settings["SETTLEMENT_MODE"] = "sandbox"
    done = deployment.command("serve")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "SETTLEMENT_RAIL" in said
    assert "SETTLEMENT_MODE" in said
    assert "Traceback" not in said


def test_live_without_a_key_does_not_start_and_says_what_to_do(deployment: Deployment) -> None:
    del deployment.settings["SETTLEMENT_STRIPE_SECRET_KEY"]
    done = deployment.command("serve")
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "SETTLEMENT_STRIPE_SECRET_KEY" in said
    assert "dashboard" in said
    assert "Traceback" not in said


def test_the_doctor_asks_stripe_whether_it_knows_the_key(
    deployment: Deployment, stripe: Stripe
) -> None:
    """By a call that changes nothing. Broken build: the key's form is checked, and the first payout
    finds out that it was revoked."""

    def rail() -> dict[str, str]:
        found = json.loads(deployment.command("doctor", "--json").stdout)["checks"]
        (one,) = [check for check in found if check["name"] == "rail"]
        return dict(one)

    assert rail()["status"] == "ok"
    assert stripe.book()["requests"] == ["GET /v1/balance"]
    wrong = "sk_test_a_key_that_was_revoked"
    deployment.settings["SETTLEMENT_STRIPE_SECRET_KEY"] = wrong
    refused = rail()
    assert refused["status"] == "problem"
    assert "401" in refused["detail"]
    assert wrong not in str(refused)
