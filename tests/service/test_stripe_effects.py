"""Payouts through Stripe: its book and ours agree in the end, whatever got lost on the way.

On both databases, against a Stripe of our own in another process, over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from settlement.edge.rails.stripe import LOOKUP_LAG_SECONDS, StripeRail
from settlement.service.audit import run_audit
from settlement.service.effects import EffectRunner
from settlement.service.jobs import JobQueue
from tests.support.effect_process import run_step
from tests.support.logs import raw_sql
from tests.support.stripe import Stripe, stripe_running
from tests.support.stripe_play import StripePlay, stripe_house
from tests.support.stripe_server import SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = 86_400
NET = 9_692


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    with stripe_running() as served:
        yield served


@pytest.fixture
def play(tmp_path: Path, database_url: str, stripe: Stripe) -> Iterator[StripePlay]:
    """A house on Stripe whose books must balance when the test has done with them."""
    with stripe_house(tmp_path, database_url, stripe) as made:
        yield made
        failed = run_audit(made.services.db).failed()
        assert failed == [], failed


def paying(play: StripePlay) -> dict[str, Any]:
    """A deal whose payout is planned."""
    deal, seller = play.settled()
    assert play.ask_payout(deal, seller).running
    return deal


def made(stripe: Stripe) -> list[int]:
    """Amounts of the transfers in Stripe's own book."""
    return [one["amount"] for one in stripe.of("transfer")]


def test_a_payout_is_one_transfer_to_the_payees_account(play: StripePlay, stripe: Stripe) -> None:
    deal = paying(play)
    play.services.effects.step()
    (transfer,) = stripe.of("transfer")
    assert (transfer["amount"], transfer["destination"]) == (NET, "acct_seller")
    effect = play.effect(deal)
    assert (effect["state"], effect["rail_ref"]) == ("confirmed", transfer["id"])
    assert play.transfers(deal, "payout") == [("hold", NET), ("post", NET)]
    assert play.services.effects.step() == 0


def test_a_refusal_frees_the_money_and_the_next_try_is_another_key(
    play: StripePlay, stripe: Stripe
) -> None:
    """Broken build: the second try goes out under the refused key, and Stripe, which remembers
    it for a day, refuses again whatever has changed."""
    deal, seller = play.settled()
    play.ask_payout(deal, seller)
    stripe.control("set", balance=0)
    play.services.effects.step()
    effect = play.effect(deal)
    assert (effect["state"], effect["refusal"]) == ("refused", "balance_insufficient")
    assert play.transfers(deal, "payout") == [("hold", NET), ("void", NET)]
    stripe.control("set", balance=1_000_000)
    assert play.ask_payout(deal, seller).running
    play.services.effects.step()
    assert play.effect(deal)["state"] == "confirmed"
    assert made(stripe) == [NET]


@pytest.mark.parametrize("lost", ["error_after", "drop_after", "hang_after"])
@pytest.mark.parametrize("passed", [0, DAY + 3_600])
def test_a_transfer_whose_answer_was_lost_is_found_by_asking(
    play: StripePlay, stripe: Stripe, lost: str, passed: int
) -> None:
    """Also after Stripe has forgotten the key. Broken build: silence is a failure, or the request
    is sent again on the strength of its key, which after a day makes a second transfer."""
    deal = paying(play)
    stripe.program(lost, match="POST /v1/transfers")
    play.services.effects.step()
    assert play.effect(deal)["state"] == "unknown"
    assert play.transfers(deal, "payout") == [("hold", NET)]
    play.later(passed)
    play.services.effects.step()
    assert play.effect(deal)["state"] == "confirmed"
    assert made(stripe) == [NET]
    assert stripe.requests("POST /v1/transfers") == 1


def test_a_transfer_that_never_arrived_is_sent_again_after_the_lag_and_a_look(
    play: StripePlay, stripe: Stripe
) -> None:
    """Broken build: sent anew at once, when the first request may still be on its way."""
    deal = paying(play)
    stripe.program("drop_before", match="POST /v1/transfers")
    play.services.effects.step()
    play.due()
    play.services.effects.step()
    assert (play.effect(deal)["state"], stripe.requests("POST /v1/transfers")) == ("unknown", 1)
    play.later(LOOKUP_LAG_SECONDS + 1)
    play.services.effects.step()
    assert play.effect(deal)["state"] == "confirmed"
    assert made(stripe) == [NET]


def test_a_500_that_stripe_repeats_for_a_day_is_followed_by_a_look_and_one_transfer(
    play: StripePlay, stripe: Stripe
) -> None:
    """The key repeats the error until Stripe forgets it. Broken build: a resend without a look
    before it, once the key protects nothing any more."""
    deal = paying(play)
    stripe.program("error_before", match="POST /v1/transfers")
    play.services.effects.step()
    play.later(LOOKUP_LAG_SECONDS + 1)
    play.services.effects.step()
    assert play.effect(deal)["state"] == "unknown"
    assert made(stripe) == []
    play.later(DAY)
    play.services.effects.step()
    assert play.effect(deal)["state"] == "confirmed"
    assert made(stripe) == [NET]
    asked = [one for one in stripe.book()["requests"] if one.endswith("/v1/transfers")]
    assert asked == ["POST /v1/transfers", *["GET /v1/transfers", "POST /v1/transfers"] * 2]


def test_while_stripe_answers_no_question_nothing_is_sent_again(
    play: StripePlay, stripe: Stripe
) -> None:
    """Broken build: a look-up that failed counts as "no such request"."""
    deal = paying(play)
    stripe.program("drop_after", match="POST /v1/transfers")
    play.services.effects.step()
    stripe.control("program", rules=[{"does": "error_before", "match": "GET /v1/transfers"}])
    for _ in range(3):
        play.later(DAY)
        play.services.effects.step()
    assert (play.effect(deal)["state"], made(stripe)) == ("unknown", [NET])
    stripe.control("program", rules=[])
    play.later(1)
    play.services.effects.step()
    assert (play.effect(deal)["state"], made(stripe)) == ("confirmed", [NET])


class Forgetful(StripeRail):
    """Stripe, if it forgot its keys at once."""

    key_retention_seconds = 0


def test_a_send_that_comes_after_the_rail_may_have_forgotten_is_not_made(
    play: StripePlay, stripe: Stripe
) -> None:
    """A worker that slept between its mark and its call has been overtaken by another's send.

    Broken build: it wakes after a day and pays once more, under a key that Stripe has forgotten.
    """
    deal = paying(play)
    services = play.services
    rail = Forgetful(SECRET_KEY, api_base=stripe.url)
    jobs = JobQueue(services.db)
    late = EffectRunner(services.db, services.engine, jobs, {"stripe": rail}, owner="late")
    late.step()
    late.close()
    assert (play.effect(deal)["state"], stripe.requests("POST /v1/transfers")) == ("unknown", 0)
    play.later(LOOKUP_LAG_SECONDS + 1)
    services.effects.step()
    assert (play.effect(deal)["state"], made(stripe)) == ("confirmed", [NET])


@pytest.mark.chaos
@pytest.mark.parametrize(
    "point",
    ["effect.before_send", "effect.after_send", "engine.before_commit", "effect.after_record"],
)
def test_killed_around_the_call_one_transfer_is_made_and_booked(
    play: StripePlay, stripe: Stripe, tmp_path: Path, database_url: str, point: str
) -> None:
    """kill -9 of the worker. Broken build: the effect is not marked before the call, or a marked
    one is sent again instead of asked about."""
    deal = paying(play)
    killed = run_step(tmp_path, database_url, f"{point}:kill", stripe.settings)
    assert killed.returncode == -9, killed.stderr
    assert f"fault {point}: kill" in killed.stderr
    raw_sql(database_url, "UPDATE job SET lease_expires_us = 1 WHERE status = 'leased'")
    play.services.effects.step()
    if point == "effect.before_send":
        assert made(stripe) == []
        play.later(2 * LOOKUP_LAG_SECONDS)
        play.services.effects.step()
    assert (play.effect(deal)["state"], made(stripe)) == ("confirmed", [NET])
    assert play.transfers(deal, "payout") == [("hold", NET), ("post", NET)]
