"""Rate limits: the integer rule against an exact bucket of tokens, and the figures as published."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core.limits import LIVE, NAMES, SANDBOX, Bucket, Limit, left, limits_of, take

LIMITS = st.builds(Limit, st.integers(1, 50), st.integers(1, 5_000_000))
GAPS = st.lists(st.integers(0, 20_000_000), min_size=1, max_size=120)
START = 1_700_000_000_000_000


class Tokens:
    """The textbook bucket, in exact fractions: `capacity` tokens, one more every period."""

    def __init__(self, of: Limit) -> None:
        self.of, self.tokens, self.at = of, Fraction(of.capacity), START

    def accepts(self, now: int) -> bool:
        grown = self.tokens + Fraction(now - self.at, self.of.period_us)
        self.tokens, self.at = min(Fraction(self.of.capacity), grown), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@given(LIMITS, GAPS)
def test_the_rule_accepts_what_an_exact_bucket_of_tokens_accepts(
    of: Limit, gaps: list[int]
) -> None:
    """Catches: one too many at the edge, a refusal that costs, rounding that adds up."""
    exact, tat, now = Tokens(of), 0, START
    for gap in gaps:
        now += gap
        before = left(tat, now, of)
        taken = take(tat, now, of)
        assert (taken.wait_us == 0) == exact.accepts(now)
        assert before == int(exact.tokens) + (taken.wait_us == 0)
        if taken.wait_us:
            assert taken.tat_us == tat, "a refusal changes nothing"
        tat = taken.tat_us


@given(LIMITS, GAPS)
def test_a_refused_call_is_accepted_after_its_wait_and_not_a_microsecond_before(
    of: Limit, gaps: list[int]
) -> None:
    """Catches: a wait that is rounded, or counted from the wrong end."""
    tat, now = 0, START
    for gap in gaps:
        now += gap
        taken = take(tat, now, of)
        if taken.wait_us:
            assert take(tat, now + taken.wait_us, of).wait_us == 0
            assert take(tat, now + taken.wait_us - 1, of).wait_us == 1
        tat = taken.tat_us


@given(LIMITS, st.integers(0, 10**13))
def test_a_clock_that_went_back_makes_nobody_wait_for_it(of: Limit, back: int) -> None:
    """Catches: an hour of refusals after the clock was set back by an hour."""
    tat = take(0, START, of).tat_us
    taken = take(tat, START - back, of)
    assert taken.wait_us <= of.period_us


def test_the_figures_are_those_of_the_contract() -> None:
    """Written again as published: capacity / refill per second."""
    live = {
        "register": "5/0.1",
        "proof": "30/0.5",
        "go": "60/1",
        "settle": "30/0.5",
        "payout": "20/0.33",
        "verify": "60/1",
        "intents": "20/0.33",
        "bids": "60/1",
        "keys": "10/0.1",
        "reads": "300/5",
        "writes": "60/1",
        "address": "600/10",
    }
    sandbox = {
        "register": "300/10",
        "proof": "600/20",
        "go": "600/20",
        "settle": "120/2",
        "verify": "600/20",
        "intents": "600/20",
        "bids": "600/20",
        "reads": "3000/100",
        "address": "6000/200",
    }
    for table, published in ((LIVE, live), (SANDBOX, sandbox)):
        for name, text in published.items():
            capacity, refill = text.split("/")
            period = Fraction(1_000_000) / Fraction(refill)
            assert table[Bucket(name)] == Limit(int(capacity), int(period)), name
    for sandboxed in (True, False):
        assert limits_of(sandbox=sandboxed)["settle_replays"] == Limit(120, 500_000)


def test_what_an_operator_names_wins_and_replays_follow() -> None:
    """Catches: replays that stay narrow, or limited, where their operation is not."""
    wide = Limit(1000, 10)
    found = limits_of(sandbox=False, named={"settle": wide, "go": None, "bids_replays": None})
    assert (found["settle"], found["settle_replays"]) == (wide, wide)
    assert (found["go"], found["go_replays"], found["bids_replays"]) == (None, None, None)
    assert found["bids"] == LIVE[Bucket.BIDS]
    assert found.keys() == NAMES


@pytest.mark.parametrize("processes", [1, 2, 7, 1000])
def test_shares_of_processes_are_no_more_than_the_whole(processes: int) -> None:
    """But each may do something, or a process with no share would refuse all calls."""
    for of in (*LIVE.values(), *SANDBOX.values()):
        share = of.part_of(processes)
        assert share.capacity == 1 or share.capacity * processes <= of.capacity
        assert Fraction(processes, share.period_us) <= Fraction(1, of.period_us)
