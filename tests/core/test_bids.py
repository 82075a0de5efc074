"""A bid before the seal and after it: commitment, padding, and the seal itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core.bids import (
    BLOCK_BYTES,
    BidTerms,
    BidUnreadable,
    OpenedBid,
    budget_commitment,
    commitment_of,
    padded,
    parse_seal_key,
    unpadded,
)
from settlement.core.errors import SealKeyMissing, StoreCorrupt
from settlement.sealing import NoSealKey, SealKey, seal_bid
from tests.support.intents import intent, sealed_bid

if TYPE_CHECKING:
    from settlement.core.intent_rows import Bid

NONCE = bytes(range(32))
TERMS = BidTerms(asset="USD/2", delivery_hours=12, message="café", price_minor=8500)
KEY = SealKey(b"k" * 32)


def test_the_published_commitment_holds() -> None:
    """The vector of spec §13."""
    found = commitment_of("intent_1", "agent_b", TERMS, NONCE)
    assert found == "eba81d59f0ef1ff95b81be369aa1114ee36258d93145acfa3e8dc67de8565ac2"


@pytest.mark.parametrize(
    "change",
    [
        {"asset": "USDC/6"},
        {"delivery_hours": 13},
        {"message": "cafe"},
        {"price_minor": 8501},
    ],
)
def test_a_commitment_fixes_every_term_and_its_nonce(change: dict[str, object]) -> None:
    base = commitment_of("intent_1", "agent_b", TERMS, NONCE)
    other = replace(TERMS, **change)  # type: ignore[arg-type]  # by name
    assert commitment_of("intent_1", "agent_b", other, NONCE) != base
    assert commitment_of("intent_2", "agent_b", TERMS, NONCE) != base
    assert commitment_of("intent_1", "agent_c", TERMS, NONCE) != base
    assert commitment_of("intent_1", "agent_b", TERMS, NONCE[::-1]) != base


def test_a_budget_is_fixed_as_well() -> None:
    base = budget_commitment("intent_1", "USD/2", 10_000, NONCE)
    assert budget_commitment("intent_1", "USD/2", 10_001, NONCE) != base
    assert budget_commitment("intent_1", "USD/2", 10_000, NONCE[::-1]) != base


@given(
    st.text("abc é", max_size=300),
    st.integers(1, 2**53 - 1),
    st.integers(1, 8_760),
    st.binary(min_size=32, max_size=32),
)
def test_padding_comes_off_again_and_hides_the_length(
    message: str, price: int, hours: int, nonce: bytes
) -> None:
    """Catches a padding that depends on the digits of a price."""
    terms = BidTerms(asset="USD/2", delivery_hours=hours, message=message, price_minor=price)
    opened = OpenedBid(terms=terms, nonce=nonce)
    text = padded(opened)
    assert unpadded(text) == opened
    assert len(text) % BLOCK_BYTES == 0
    assert len(text) == len(padded(OpenedBid(terms=replace(terms, price_minor=1), nonce=nonce)))


@pytest.mark.parametrize(
    "damage", [b"", b"\0" * 1024, b"\xff" * 1024, b"\0\0\0\2{}" + b"\0" * 1018]
)
def test_what_is_no_padded_bid_is_unreadable(damage: bytes) -> None:
    with pytest.raises(BidUnreadable):
        unpadded(damage)


def test_padding_with_anything_in_it_is_refused() -> None:
    text = padded(OpenedBid(terms=TERMS, nonce=NONCE))
    with pytest.raises(BidUnreadable):
        unpadded(text[:-1] + b"x")


# --- the seal ------------------------------------------------------------------------------------


def test_a_sealed_bid_opens_to_what_was_sealed() -> None:
    made = intent(KEY)
    bids = [sealed_bid(made, n, price_minor=100 + n) for n in range(3)]
    opened = KEY.open_bids(made, bids)
    assert [one.terms.price_minor for one in opened] == [100, 101, 102]


def test_ciphertexts_are_all_of_one_length() -> None:
    """Whatever the price, the hours and a message of ordinary length."""
    made = intent(KEY)
    bids = [
        sealed_bid(made, n, price_minor=price, message="x" * n)
        for n, price in enumerate([1, 99, 2**53 - 1, 8_500, 123_456])
    ]
    assert len({len(bid.ciphertext) for bid in bids}) == 1
    assert len({bid.ciphertext for bid in bids}) == len(bids)


@pytest.mark.parametrize("member", ["bid_id", "agent_id", "ciphertext"])
def test_a_ciphertext_opens_where_it_was_sealed_and_nowhere_else(member: str) -> None:
    """Catches a seal without additional data: bids could be swapped between bidders."""
    made = intent(KEY)
    one, other = sealed_bid(made, 0), sealed_bid(made, 1)
    moved: Bid = replace(one, **{member: getattr(other, member)})
    with pytest.raises(StoreCorrupt):
        KEY.open_bids(made, [moved])


def test_a_key_wrapped_for_one_intent_does_not_unwrap_for_another() -> None:
    made, other = intent(KEY), intent(KEY, n=2)
    forged = replace(made, sealed_key=other.sealed_key)
    with pytest.raises(StoreCorrupt):
        KEY.open_bids(forged, [sealed_bid(made, 0)])


def test_another_seal_key_is_told_from_damage() -> None:
    made = intent(KEY)
    bids = [sealed_bid(made, 0)]
    with pytest.raises(SealKeyMissing):
        SealKey(b"j" * 32).open_bids(made, bids)
    with pytest.raises(SealKeyMissing):
        NoSealKey().open_bids(made, bids)


def test_only_a_repeat_gets_the_same_nonce() -> None:
    """Catches a nonce that is random (a repeat would be another bid) or that callers share."""
    first = KEY.nonce_of("agent_b", "key-1", "intent_1 agent_b", TERMS)
    assert first == KEY.nonce_of("agent_b", "key-1", "intent_1 agent_b", TERMS)
    others = {
        KEY.nonce_of("agent_c", "key-1", "intent_1 agent_b", TERMS),
        KEY.nonce_of("agent_b", "key-2", "intent_1 agent_b", TERMS),
        KEY.nonce_of("agent_b", "key-1", "intent_2 agent_b", TERMS),
        KEY.nonce_of("agent_b", "key-1", "intent_1 agent_b", replace(TERMS, price_minor=8501)),
        SealKey(b"j" * 32).nonce_of("agent_b", "key-1", "intent_1 agent_b", TERMS),
    }
    assert first not in others
    assert len(others) == 5


def test_sealing_needs_no_secret() -> None:
    """The public half is enough, so that a process which takes bids opens none."""
    made = replace(intent(KEY), sealed_key="", seal_key_id="")
    text = seal_bid(made, "bid_1", "agent_b", OpenedBid(terms=TERMS, nonce=NONCE))
    assert len(text) > 2 * BLOCK_BYTES


@pytest.mark.parametrize("text", ["", "short", "AAAA", "!" * 44])
def test_a_seal_key_is_32_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        parse_seal_key(text)
