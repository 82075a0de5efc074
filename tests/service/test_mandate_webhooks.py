"""A mandate's buyer is told of it, and nobody else; both sides of a deal are told of a review."""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.operations import DecideAcceptance, SubmitAcceptance
from tests.service.test_webhooks import hook, play, receiver, rounds  # noqa: F401  # fixtures

if TYPE_CHECKING:
    from tests.support.house import Play
    from tests.support.receiver import Receiver


def test_a_mandates_buyer_is_told_of_its_beginning_and_end(
    play: Play,  # noqa: F811  # the fixture
    receiver: Receiver,  # noqa: F811  # the fixture
) -> None:
    """Catches: events of a mandate's own stream that belong to no deal and so to nobody."""
    buyer, other = play.agent("buyer"), play.agent("other")
    hook(play, buyer, receiver.url, "mandate.created", "mandate.revoked")
    hook(play, other, receiver.url, "*")
    mandate = play.mandate(buyer)
    rounds(play)
    play.revoke(mandate, buyer)
    rounds(play)
    told = [one.members for one in receiver.received]
    assert [one["type"] for one in told] == ["mandate.created", "mandate.revoked"]
    assert {one["data"]["mandate_id"] for one in told} == {mandate["mandate_id"]}


def test_a_decision_on_a_review_is_told_to_both_sides(
    play: Play,  # noqa: F811  # the fixture
    receiver: Receiver,  # noqa: F811  # the fixture
) -> None:
    """Catches: a word of the buyer that the seller never hears."""
    buyer, seller = play.agent("buyer"), play.agent("seller")
    hook(play, seller, receiver.url, "accepted", "rejected")
    for decision in ("accept", "reject"):
        deal_id = play.proof(seller)["deal_id"]
        run = play.services.engine.execute
        review = run(SubmitAcceptance(principal=seller, deal_id=deal_id)).unwrap()["acceptance"]
        run(
            DecideAcceptance(
                principal=buyer,
                deal_id=deal_id,
                acceptance_id=review["acceptance_id"],
                decision=decision,
                reason="seen",
            )
        ).unwrap()
        rounds(play)
    told = [one.members for one in receiver.received]
    assert [one["type"] for one in told] == ["accepted", "rejected"]
    assert {one["data"]["reason"] for one in told} == {"seen"}
