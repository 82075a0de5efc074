"""Stripe as a rail, over HTTP against a Stripe of our own: what is proof and what is silence."""

from __future__ import annotations

import logging
import logging.config
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from settlement.edge.rails.base import RailAnswer, RailKeyReused, RailRequest, RailSilent
from settlement.edge.rails.stripe import RAIL_KEY, StripeRail
from settlement.edge.rails.stripe_calls import find_asset, find_currency
from tests.support.stripe import Stripe, stripe_running
from tests.support.stripe_server import SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

PAYOUT = RailRequest(
    kind="payout",
    rail_key="a" * 64,
    obligation_key="payout:deal_1:agent_1:0",
    asset="USD/2",
    amount_minor=9_692,
    deal_id="deal_1",
    destination="acct_seller",
)
LOST = ("error_after", "drop_after", "hang_after", "garbage")
NOTHING_DONE = ("error_before", "drop_before", "hang_before", "busy", "in_use", "unauthorized")


@pytest.fixture(scope="module")
def served() -> Iterator[Stripe]:
    with stripe_running() as stripe:
        yield stripe


@pytest.fixture
def stripe(served: Stripe) -> Stripe:
    """A Stripe that has forgotten the test before."""
    empty: dict[str, Any] = {"objects": {}, "keys": {}, "requests": [], "events": [], "program": []}
    served.control("set", **empty, balance=1_000_000)
    return served


@pytest.fixture
def rail(stripe: Stripe) -> StripeRail:
    return StripeRail(SECRET_KEY, api_base=stripe.url, timeout_seconds=1)


def paid(stripe: Stripe, rail: StripeRail) -> RailRequest:
    """A payment that can be given back, and the request that does it."""
    payment = rail._client.v1.payment_intents.create({"amount": 10_000, "currency": "usd"})
    stripe.control("pay", payment=payment.id)
    key = "b" * 64
    return replace(
        PAYOUT, kind="refund", rail_key=key, obligation_key="refund:1", destination=payment.id
    )


def wanted(kind: str, stripe: Stripe, rail: StripeRail) -> RailRequest:
    return PAYOUT if kind == "payout" else paid(stripe, rail)


def made(kind: str, stripe: Stripe) -> list[dict[str, Any]]:
    """What Stripe's own book has."""
    return stripe.of({"payout": "transfer", "refund": "refund"}[kind])


KINDS = pytest.mark.parametrize("kind", ["payout", "refund"])


@KINDS
def test_one_key_makes_one_object_that_names_us(
    stripe: Stripe, rail: StripeRail, kind: str
) -> None:
    """Broken build: no idempotency key, or one made anew for each call."""
    request = wanted(kind, stripe, rail)
    first = rail.send(request)
    assert (first.state, rail.send(request)) == ("confirmed", first)
    (one,) = made(kind, stripe)
    assert (one["id"], one["amount"]) == (first.rail_ref, 9_692)
    assert one["metadata"][RAIL_KEY] == request.rail_key
    assert request.rail_key in stripe.book()["keys"]


@KINDS
@pytest.mark.parametrize("lost", LOST)
def test_a_lost_answer_is_silence_and_asking_finds_the_object(
    stripe: Stripe, rail: StripeRail, kind: str, lost: str
) -> None:
    """Broken build: a 500 or a timeout is taken for a refusal and the money is sent again; or
    asking repeats the request, which after a day Stripe no longer knows as a repeat."""
    request = wanted(kind, stripe, rail)
    stripe.program(lost, match="POST /v1/")
    with pytest.raises(RailSilent):
        rail.send(request)
    stripe.advance(90_000)
    found = rail.ask(kind, request.rail_key, request.destination)
    (one,) = made(kind, stripe)
    assert found == RailAnswer(state="confirmed", rail_ref=one["id"])


@KINDS
@pytest.mark.parametrize("does", NOTHING_DONE)
def test_an_error_proves_nothing_and_asking_finds_nothing(
    stripe: Stripe, rail: StripeRail, kind: str, does: str
) -> None:
    request = wanted(kind, stripe, rail)
    stripe.program(does, match="POST /v1/")
    with pytest.raises(RailSilent):
        rail.send(request)
    assert rail.ask(kind, request.rail_key, request.destination) is None
    assert made(kind, stripe) == []


@KINDS
@pytest.mark.parametrize("does", [*NOTHING_DONE, "garbage"])
def test_a_question_that_is_not_answered_is_no_denial(
    stripe: Stripe, rail: StripeRail, kind: str, does: str
) -> None:
    """Broken build: an empty or failed look-up counts as "no such request", and money is sent
    twice."""
    request = wanted(kind, stripe, rail)
    rail.send(request)
    stripe.program(does, match="GET /v1/")
    with pytest.raises(RailSilent):
        rail.ask(kind, request.rail_key, request.destination)


def test_the_client_sends_a_request_once(stripe: Stripe, rail: StripeRail) -> None:
    """Broken build: the client's own retries, which hide an outcome behind another's answer."""
    stripe.program("error_before", "error_before", "ok", match="POST")
    with pytest.raises(RailSilent):
        rail.send(PAYOUT)
    assert stripe.requests("POST") == 1


def test_nobody_there_is_silence() -> None:
    gone = StripeRail(SECRET_KEY, api_base="http://127.0.0.1:9", timeout_seconds=1)
    with pytest.raises(RailSilent):
        gone.send(PAYOUT)
    with pytest.raises(RailSilent):
        gone.check()


def test_a_refusal_has_its_code_and_stays_one(stripe: Stripe, rail: StripeRail) -> None:
    stripe.control("set", balance=0)
    refused = RailAnswer(state="refused", code="balance_insufficient")
    assert rail.send(PAYOUT) == refused
    stripe.control("set", balance=1_000_000)
    assert (
        rail.send(PAYOUT) == refused
    )  # the same key has the same answer: a new one needs a new key
    stripe.program("decline")
    assert rail.send(replace(PAYOUT, rail_key="c" * 64)).code == "card_declined"
    stranger = replace(PAYOUT, destination="acct_nobody", rail_key="d" * 64)
    assert rail.send(stranger) == RailAnswer(state="refused", code="resource_missing")
    assert made("payout", stripe) == []


def test_more_than_was_paid_is_not_given_back(stripe: Stripe, rail: StripeRail) -> None:
    request = replace(paid(stripe, rail), amount_minor=10_001)
    assert rail.send(request) == RailAnswer(state="refused", code="charge_already_refunded")


def test_a_key_used_for_something_else_is_no_refusal(stripe: Stripe, rail: StripeRail) -> None:
    """Broken build: refused, the hold is freed, and the first request's money is gone twice."""
    rail.send(PAYOUT)
    with pytest.raises(RailKeyReused):
        rail.send(replace(PAYOUT, amount_minor=1))


def test_two_objects_under_one_key_are_no_answer(stripe: Stripe, rail: StripeRail) -> None:
    """Broken build: the first one found is believed, and nobody hears of the second."""
    rail.send(PAYOUT)
    stripe.advance(90_000)
    rail.send(PAYOUT)
    assert len(made("payout", stripe)) == 2, "a forgotten key is a second transfer"
    with pytest.raises(RailSilent, match="somebody has to decide"):
        rail.ask("payout", PAYOUT.rail_key)


def test_a_transfer_that_came_back_was_no_payout(stripe: Stripe, rail: StripeRail) -> None:
    ref = rail.send(PAYOUT).rail_ref
    stripe.control("reverse", transfer=ref, amount=1)
    with pytest.raises(RailSilent, match="part"):
        rail.ask("payout", PAYOUT.rail_key)
    stripe.control("reverse", transfer=ref, amount=PAYOUT.amount_minor - 1)
    refused = RailAnswer(state="refused", rail_ref=ref, code="reversed")
    assert rail.ask("payout", PAYOUT.rail_key) == refused


@pytest.mark.parametrize(
    ("status", "state"), [("pending", None), ("failed", "refused"), ("canceled", "refused")]
)
def test_a_refund_counts_when_stripe_says_so(
    stripe: Stripe, rail: StripeRail, status: str, state: str | None
) -> None:
    request = paid(stripe, rail)
    refund = rail.send(request).rail_ref
    objects = stripe.book()["objects"]
    objects[refund]["status"] = status
    stripe.control("set", objects=objects)
    if state is None:
        with pytest.raises(RailSilent, match="pending"):
            rail.ask("refund", request.rail_key, request.destination)
    else:
        answer = rail.ask("refund", request.rail_key, request.destination)
        assert answer == RailAnswer(state="refused", rail_ref=refund, code=status)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"asset": "USD/3"}, "unsupported_asset"),
        ({"asset": "JPY/2"}, "unsupported_asset"),
        ({"asset": "KWD/2"}, "unsupported_asset"),
        ({"destination": None}, "bad_destination"),
        ({"destination": "12345678"}, "bad_destination"),
        ({"kind": "refund"}, "bad_payment"),
        ({"kind": "charge"}, "unsupported_kind"),
    ],
)
def test_what_cannot_be_asked_is_refused_unsent(
    stripe: Stripe, rail: StripeRail, changes: dict[str, Any], code: str
) -> None:
    """Broken build: three decimals of an asset become Stripe's two, ten times the money."""
    assert rail.send(replace(PAYOUT, **changes)) == RailAnswer(state="refused", code=code)
    assert stripe.book()["requests"] == []


def test_currencies_keep_their_minor_units() -> None:
    assert [find_currency(code) for code in ("USD/2", "JPY/0", "JPY/2")] == ["usd", "jpy", None]
    assert [find_asset(name) for name in ("usd", "jpy", "kwd", "??")] == [
        "USD/2",
        "JPY/0",
        None,
        None,
    ]


@pytest.mark.parametrize("case", ["wrong key", "error_before", "decline", "gone", "garbage"])
def test_the_secret_is_in_no_message_no_repr_and_no_log(
    stripe: Stripe, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """Broken builds: the client's own text, which may repeat what it was sent, is passed on; the
    client's log is only switched off, and the HTTP server, configuring its own, switches it on."""
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    caplog.set_level(logging.DEBUG)
    secret = "sk_test_wrong_but_secret" if case == "wrong key" else SECRET_KEY
    url = "http://127.0.0.1:9" if case == "gone" else stripe.url
    stripe.program(case, match="POST")
    rail = StripeRail(secret, api_base=url, timeout_seconds=1)
    try:
        said = repr(rail.send(PAYOUT))
    except RailSilent as silent:
        said = f"{silent!r} {silent.__cause__!r}"
    assert secret not in f"{said} {rail!r} {caplog.text}"
