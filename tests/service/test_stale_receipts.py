"""A receipt counts for the work it was given for: not for what was packed in its place since.

On both databases, through the engine: which receipts count is decided by a query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.canonical import j_text
from settlement.core.errors import PolicyNotMet
from settlement.core.operations import ProofPack, RecordReceipt, Settle
from settlement.core.principal import SYSTEM
from settlement.core.verification import evaluate
from settlement.service.audit import run_audit
from settlement.service.fresh import new_id
from tests.support.house import Play, house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.core.principal import Principal

GOOD = {"preview_url": "https://example.org/good"}
OTHER = {"nothing": "at all"}
QUORUM = '[{"field": "quorum_count", "op": ">=", "value": 1}]'


class Shop:
    """A seller, and a buyer whose mandate has a reserve."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.seller, self.buyer = play.agent("seller"), play.agent("buyer")
        earned = play.proof(self.buyer, 12_000)
        play.go(earned, self.seller)
        play.settle(earned, self.buyer)
        play.work()
        self.mandate = play.mandate(self.buyer, 9_000)

    def pack_of(self, data: dict[str, str], **members: Any) -> ProofPack:
        given: dict[str, Any] = {
            "principal": self.seller,
            "new_deal_id": new_id("deal_"),
            "quote_id": new_id("quote_"),
            "agent_username": self.seller.agent_id,
            "proof_type": "landing_preview",
            "proof_data": data,
            "proof_data_text": j_text(data),
            "price_minor": 100,
        }
        return ProofPack(**{**given, **members})

    def pack(self, data: dict[str, str], **members: Any) -> dict[str, Any]:
        return self.do(self.pack_of(data, **members))

    def verify(self, deal: dict[str, Any]) -> dict[str, Any]:
        verdict = evaluate(None, "landing_preview", GOOD)
        return self.do(
            RecordReceipt(
                principal=SYSTEM,
                deal_id=deal["deal_id"],
                proof_hash=deal["proof_hash"],
                proof_type="landing_preview",
                verdict=verdict,
            )
        )

    def draw(self, deal: dict[str, Any], by: Principal | None = None) -> dict[str, Any]:
        return self.play.auto_go(deal, by or self.seller, self.mandate)

    def do(self, operation: Any) -> dict[str, Any]:
        return self.play.services.engine.execute(operation).unwrap()


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with house(tmp_path, database_url) as services:
        yield Shop(Play(services))


def refused(answer: dict[str, Any]) -> None:
    assert answer["decision"] == "manual_go_required"
    assert "reserve_needs_receipt" in answer["reasons"], answer
    assert answer["reserve_drawn_minor"] == 0


def test_a_receipt_of_other_work_draws_nothing(shop: Shop) -> None:
    """Catches: receipts counted per deal, so one for honest work pays for whatever is put in its
    place; a new proof under the old hash, or a hash gone back to, taken for the work looked at."""
    first = shop.pack(GOOD)
    shop.verify(first)
    renewed = shop.pack(OTHER, deal_id=first["deal_id"], price_minor=8_000)
    assert renewed["proof_hash"] != first["proof_hash"]
    refused(shop.draw(renewed))
    named = shop.pack(
        OTHER, deal_id=first["deal_id"], price_minor=8_000, proof_hash=first["proof_hash"]
    )
    assert named["proof_hash"] == first["proof_hash"]
    refused(shop.draw(named))
    shop.verify(named)  # an equal receipt is stored once, and that one is of the first work
    refused(shop.draw(named))
    again = shop.pack(GOOD, deal_id=first["deal_id"], price_minor=8_000)
    assert shop.draw(again)["reserve_drawn_minor"] == 8_000  # the very work that was looked at
    shop.play.work()
    assert run_audit(shop.play.services.db).failed() == []


def test_work_packed_again_unchanged_keeps_its_receipts(shop: Shop) -> None:
    """A quote ends after some days, and an equal receipt cannot be stored a second time. Catches:
    a renewed quote whose deal no receipt could ever count for again."""
    first = shop.pack(GOOD)
    shop.verify(first)
    renewed = shop.pack(GOOD, deal_id=first["deal_id"])
    assert shop.draw(renewed)["decision"] == "go_approved"


def test_a_receipt_given_after_a_named_hash_changed_its_work_is_of_the_new_one(shop: Shop) -> None:
    """Catches: all receipts void as soon as a hash has stood for two contents."""
    first = shop.pack(OTHER)
    second = shop.pack(GOOD, deal_id=first["deal_id"], proof_hash=first["proof_hash"])
    shop.verify(second)
    assert shop.draw(second)["decision"] == "go_approved"


def test_a_policy_counts_receipts_of_the_work_that_is_paid(shop: Shop) -> None:
    """Catches: the same count read by `quorum_count` and `verifier_confidence` at settle."""
    first = shop.pack(GOOD, policy=QUORUM)
    shop.verify(first)
    renewed = shop.pack(OTHER, policy=QUORUM, deal_id=first["deal_id"])
    shop.play.go(renewed, shop.buyer)
    settle = Settle(principal=shop.seller, deal_id=first["deal_id"])
    with pytest.raises(PolicyNotMet):
        shop.do(settle)
    shop.verify(renewed)
    assert shop.do(settle)["deal_id"] == first["deal_id"]
