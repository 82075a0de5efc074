"""The award rule: integers, one winner, whatever the order in which bids are handed in."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from settlement.core.auction import (
    Candidate,
    Wanted,
    eligible,
    find_winner,
    on_time_ppm,
    score,
)

WANTED = Wanted(budget_minor=10_000, deadline_hours=24)


def bid(n: int, **changes: object) -> Candidate:
    given_members: dict[str, object] = {
        "bid_id": f"bid_{n:03d}",
        "agent_id": f"agent_{n}",
        "place": n,
        "price_minor": 8_000,
        "delivery_hours": 12,
        "ocs_hundredths": 5_000,
        "sla_ppm": 500_000,
    }
    return Candidate(**{**given_members, **changes})  # type: ignore[arg-type]  # by name


@st.composite
def auctions(draw: st.DrawFn) -> tuple[Wanted, list[Candidate]]:
    """A budget, a deadline and bids near and beyond them; agents bid more than once."""
    wanted = Wanted(
        budget_minor=draw(st.integers(1, 2**53 - 1) | st.integers(1, 20)),
        deadline_hours=draw(st.integers(1, 8_760) | st.integers(1, 3)),
    )
    near = st.integers(1, wanted.budget_minor + 2)
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 3),
                near,
                st.integers(1, wanted.deadline_hours + 1),
                st.integers(0, 10_000),
                st.integers(0, 1_000_000),
            ),
            max_size=8,
        )
    )
    return wanted, [
        bid(
            n,
            agent_id=f"agent_{agent}",
            price_minor=price,
            delivery_hours=hours,
            ocs_hundredths=ocs,
            sla_ppm=sla,
        )
        for n, (agent, price, hours, ocs, sla) in enumerate(rows)
    ]


@given(auctions(), st.randoms(use_true_random=False))
def test_the_order_in_which_bids_are_handed_in_does_not_matter(
    auction: tuple[Wanted, list[Candidate]], random: object
) -> None:
    """Catches a rule that keeps the first or last of equals as it comes."""
    wanted, bids = auction
    shuffled = list(bids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random
    assert find_winner(shuffled, wanted) == find_winner(bids, wanted)


@given(auctions())
def test_nobody_who_is_eligible_beats_the_winner(
    auction: tuple[Wanted, list[Candidate]],
) -> None:
    """Catches a comparison the wrong way round; the score is computed here a second time."""
    wanted, bids = auction
    winner = find_winner(bids, wanted)
    newest = {b.agent_id: b for b in sorted(bids, key=lambda b: b.place)}
    field = [
        b
        for b in newest.values()
        if b.price_minor <= wanted.budget_minor and b.delivery_hours <= wanted.deadline_hours
    ]
    assert (winner is None) == (not field)
    for other in field:
        assert winner is not None
        ours, theirs = exact_parts(winner, wanted), exact_parts(other, wanted)
        assert ours >= theirs
        if ours == theirs:
            assert (winner.price_minor, winner.place) <= (other.price_minor, other.place)


def exact_parts(one: Candidate, wanted: Wanted) -> int:
    """Each part as an exact fraction, rounded down by itself."""
    budget, deadline = wanted.budget_minor, wanted.deadline_hours
    parts = (
        Fraction(400_000 * (budget - one.price_minor), budget),
        Fraction(200_000 * (deadline - one.delivery_hours), deadline),
        Fraction(250_000 * one.ocs_hundredths, 10_000),
        Fraction(150_000 * one.sla_ppm, 1_000_000),
    )
    return sum(part.numerator // part.denominator for part in parts)


@given(auctions())
def test_a_score_is_a_whole_number_of_at_most_a_million(
    auction: tuple[Wanted, list[Candidate]],
) -> None:
    """Catches binary fractions, which lose the last digits of a large budget."""
    wanted, bids = auction
    for one in eligible(bids, wanted):
        found = score(one, wanted)
        assert type(found) is int
        assert 0 <= found <= 1_000_000
        assert found == exact_parts(one, wanted)


def test_figures_written_out_by_hand() -> None:
    """400000*2000/10000 + 200000*12/24 + 250000*5000/10000 + 150000*500000/1000000."""
    assert score(bid(1), WANTED) == 80_000 + 100_000 + 125_000 + 75_000
    assert score(bid(1, price_minor=9_999, delivery_hours=23), WANTED) == 40 + 8_333 + 200_000


def test_between_equal_agents_the_cheaper_and_the_faster_win() -> None:
    assert find_winner([bid(1), bid(2, price_minor=7_999)], WANTED) == bid(2, price_minor=7_999)
    assert find_winner([bid(1), bid(2, delivery_hours=11)], WANTED) == bid(2, delivery_hours=11)


def test_of_equal_scores_the_lower_price_then_the_earlier_wins() -> None:
    """Catches ties broken by chance, by bid id first, or by the later bid."""
    cheap = bid(2, price_minor=7_000, delivery_hours=12 + 24 * 40_000 // 200_000)
    wide = Wanted(budget_minor=10_000, deadline_hours=10_000)
    a = bid(1, price_minor=5_000, delivery_hours=2_000)
    b = bid(2, price_minor=4_000, delivery_hours=4_000)
    assert score(a, wide) == score(b, wide)
    assert find_winner([a, b], wide) == b
    assert find_winner([bid(3), bid(1), bid(2)], WANTED) == bid(1)
    assert cheap.price_minor < bid(1).price_minor
    same_place = [bid(1, bid_id="bid_b"), bid(2, place=1, bid_id="bid_a")]
    assert find_winner(same_place, WANTED) == same_place[1]


def test_only_the_newest_bid_of_an_agent_counts_even_when_it_is_too_dear() -> None:
    """Catches an older bid that wins although its agent has taken it back."""
    first = bid(1, agent_id="agent_x", price_minor=10)
    second = bid(2, agent_id="agent_x", price_minor=10_001)
    other = bid(3)
    assert find_winner([first, second, other], WANTED) == other
    assert find_winner([first, second], WANTED) is None


def test_budget_and_deadline_may_be_met_exactly_and_not_passed() -> None:
    assert eligible([bid(1, price_minor=10_000, delivery_hours=24)], WANTED)
    assert not eligible([bid(1, price_minor=10_001)], WANTED)
    assert not eligible([bid(1, delivery_hours=25)], WANTED)


def test_punctuality_is_half_without_history_and_rounds_down() -> None:
    assert on_time_ppm(0, 0) == 500_000
    assert on_time_ppm(3, 2) == 666_666
    assert on_time_ppm(4, 4) == 1_000_000
