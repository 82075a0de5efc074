"""What an hour's release tells: bands, suppression, and what nobody can work out from it."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.core import feed
from settlement.core.feed import Fact, Release, check_guards, release
from settlement.core.misconfigured import ConfigError
from settlement.core.money import USD


def released(facts: list[Fact]) -> Release:
    return release(facts, USD, k=5, rounding=0, delay_seconds=3600)


def crowd(vertical: str, n: int = 5, gross: int = 1_000, tag: str = "") -> list[Fact]:
    """n buyers and n sellers, one deal each."""
    return [
        Fact(
            vertical=vertical,
            buyer=f"b{tag}{i}",
            seller=f"s{tag}{i}",
            deals=1,
            gross_minor=gross,
        )
        for i in range(n)
    ]


def test_five_buyers_and_five_sellers_show_in_bands() -> None:
    found = released(crowd("web", 5, 1_050))
    assert found.public["verticals"] == {
        "web": {"gmv_usd": "53", "deal_count_bucket": "5-9", "avg_price_band": "10-49"}
    }
    assert found.premium["verticals"] == {
        "web": {"gmv_usd": "52.50", "deal_count": 5, "buyer_count": 5, "seller_count": 5}
    }
    assert found.public["suppressed_verticals_count"] == 0
    assert found.public["totals"]["gmv_usd"] == "53"


@pytest.mark.parametrize("side", ["buyer", "seller"])
def test_four_on_one_side_hide_the_vertical(side: str) -> None:
    """Catches a threshold on deals, or on one side only."""
    facts = crowd("web", 20)
    few = [_with(fact, side, f"x{i % 4}") for i, fact in enumerate(facts)]
    assert released(few).public["verticals"] == {}
    enough = [_with(fact, side, f"x{i % 5}") for i, fact in enumerate(facts)]
    assert set(released(enough).public["verticals"]) == {"web"}


def _with(fact: Fact, side: str, name: str) -> Fact:
    members = {"buyer": fact.buyer, "seller": fact.seller, side: name}
    return Fact(vertical=fact.vertical, deals=1, gross_minor=fact.gross_minor, **members)


def test_one_agent_with_a_thousand_deals_opens_nothing() -> None:
    """Catches counting deals for parties, and a missing test of dominance."""
    whale = [
        Fact(vertical="web", buyer=f"b{n}", seller="s", deals=1, gross_minor=10_000)
        for n in range(1_000)
    ]
    for facts in (whale, whale + crowd("web", 10, 10_000)):
        found = released(facts)
        assert found.public["verticals"] == {}
        assert found.premium["verticals"] == {}
        assert found.public["totals"] is None


@pytest.mark.parametrize(
    ("largest", "shown"),
    [
        ([500, 200, 100, 100, 100], True),  # 50 % and 70 %
        ([501, 199, 100, 100, 100], False),  # over a half
        ([400, 400, 100, 50, 50], True),  # 80 %
        ([410, 400, 100, 50, 40], False),  # two make 81 %
    ],
)
@pytest.mark.parametrize("side", ["buyer", "seller"])
def test_who_makes_up_most_of_a_side_hides_the_vertical(
    largest: list[int], side: str, *, shown: bool
) -> None:
    other = "seller" if side == "buyer" else "buyer"
    facts = [
        Fact(
            vertical="web",
            deals=1,
            gross_minor=part,
            **{side: f"x{i}", other: f"y{i}.{j}"},
        )
        for i, gross in enumerate(largest)
        # The other side is many small ones.
        for j, part in enumerate([gross // 10] * 9 + [gross - gross // 10 * 9])
    ]
    assert bool(released(facts).public["verticals"]) is shown


def test_a_single_hidden_vertical_takes_the_totals_with_it() -> None:
    """Catches totals beside one hidden vertical: a subtraction would give it away."""
    found = released(crowd("web") + crowd("art", 3))
    assert set(found.public["verticals"]) == {"web"}
    assert found.public["suppressed_verticals_count"] == 1
    assert found.public["totals"] is None
    assert found.premium["totals"] is None


def test_two_hidden_verticals_that_are_a_crowd_together_leave_the_totals() -> None:
    found = released(crowd("web") + crowd("art", 3, tag="a") + crowd("law", 3, tag="l"))
    assert found.public["suppressed_verticals_count"] == 2
    assert found.premium["totals"] == {"gmv_usd": "110.00", "deal_count": 11}


def test_two_hidden_verticals_that_are_no_crowd_together_take_the_totals_with_them() -> None:
    """Catches totals that tell what a handful did, if not in which vertical."""
    found = released(crowd("web") + crowd("art", 2, tag="a") + crowd("law", 2, tag="l"))
    assert found.public["suppressed_verticals_count"] == 2
    assert found.public["totals"] is None


def test_a_party_that_is_all_of_one_hidden_vertical_learns_nothing_of_the_other() -> None:
    """Catches totals that a party, knowing its own deals, could take apart."""
    mine = [
        Fact(vertical="art", buyer=f"b{i}", seller="me", deals=1, gross_minor=300) for i in range(4)
    ]
    theirs = crowd("law", 4, 1_000, tag="l")
    assert released(mine + theirs).public["totals"] is None


def test_an_hour_without_deals_says_so() -> None:
    found = released([])
    assert found.public["verticals"] == {}
    assert found.public["totals"] == {
        "gmv_usd": "0",
        "deal_count_bucket": "0",
        "avg_price_band": "<10",
    }


# --- nobody works out a hidden cell --------------------------------------------------------------

_hours = st.lists(
    st.lists(
        st.builds(
            Fact,
            vertical=st.sampled_from(["art", "law", "web", "ops"]),
            buyer=st.sampled_from([f"a{i}" for i in range(9)]),
            seller=st.sampled_from([f"b{i}" for i in range(9)]),
            deals=st.just(1),
            gross_minor=st.integers(1, 2_000),
        ),
        max_size=60,
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(hours=_hours)
def test_no_release_or_sum_of_releases_determines_a_hidden_cell(hours: list[list[Fact]]) -> None:
    """An adversary solves all equations the releases give, as an outsider and as each party.

    Catches totals shown beside one hidden cell, beside a lopsided pair, and any new member from
    which a hidden sum follows.
    """
    parties = {fact.buyer for facts in hours for fact in facts}
    parties |= {fact.seller for facts in hours for fact in facts}
    found = [released(facts) for facts in hours]
    for adversary in [None, *sorted(parties)]:
        unknowns, equations = _knowledge(hours, found, adversary)
        assert not _determined(unknowns, equations), adversary


def _knowledge(
    hours: list[list[Fact]], found: list[Release], adversary: str | None
) -> tuple[list[tuple[int, str]], list[set[tuple[int, str]]]]:
    """The hidden cells that have anything of others in them, and which sums of them are told."""
    unknowns: list[tuple[int, str]] = []
    equations: list[set[tuple[int, str]]] = []
    for hour, (facts, said) in enumerate(zip(hours, found, strict=True)):
        shown = said.premium["verticals"]
        assert set(shown) == set(said.public["verticals"])
        others = {
            (hour, fact.vertical)
            for fact in facts
            if fact.vertical not in shown and adversary not in (fact.buyer, fact.seller)
        }
        unknowns += sorted(others)
        if said.premium["totals"] is not None or said.public["totals"] is not None:
            equations.append(others)
    return unknowns, equations


def _determined(
    unknowns: list[tuple[int, str]], equations: list[set[tuple[int, str]]]
) -> list[tuple[int, str]]:
    """Unknowns with one value in every solution: rows of the reduced system with one entry."""
    rows = [[Fraction(int(name in told)) for name in unknowns] for told in equations]
    done: list[list[Fraction]] = []
    for column in range(len(unknowns)):
        pivot = next((row for row in rows if row[column]), None)
        if pivot is None:
            continue
        rows.remove(pivot)
        pivot = [value / pivot[column] for value in pivot]
        rows = [_less(row, pivot, column) for row in rows]
        done = [_less(row, pivot, column) for row in done] + [pivot]
    return [
        unknowns[row.index(Fraction(1))] for row in done if sum(1 for value in row if value) == 1
    ]


def _less(row: list[Fraction], pivot: list[Fraction], column: int) -> list[Fraction]:
    return [a - row[column] * b for a, b in zip(row, pivot, strict=True)]


# --- guards --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "rounding", "delay"), [(4, 0, 3600), (5, 1, 3600), (5, 0, 3599)])
def test_a_guard_refuses_a_release(k: int, rounding: int, delay: int) -> None:
    check_guards(5, 0, 3600)
    with pytest.raises(ConfigError):
        release([], USD, k=k, rounding=rounding, delay_seconds=delay)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ECON_FEED_DELAY_SECONDS", 3599),
        ("K_ANONYMITY_THRESHOLD", 4),
        ("ROUNDING_PRECISION", 2),
    ],
)
def test_a_build_with_a_weaker_constant_does_not_import_even_without_asserts(
    name: str, value: int, tmp_path: Path
) -> None:
    """Catches a guard written as `assert`, which `python -O` drops."""
    source = Path(feed.__file__).read_text("utf-8")
    weaker = _assigned(source, name, value)
    assert weaker != source
    for text, code in ((source, 0), (weaker, 1)):
        module = tmp_path / "weaker_feed.py"
        module.write_text(text, "utf-8")
        ran = _import_without_asserts(module)
        assert ran.returncode == code, ran.stderr
    assert f"ConfigError: {name} is '{value}'" in ran.stderr


def _assigned(source: str, name: str, value: int) -> str:
    lines = [
        f"{name}: Final = {value}" if line.startswith(f"{name}:") else line
        for line in source.splitlines()
    ]
    return "\n".join(lines) + "\n"


def _import_without_asserts(module: Path) -> subprocess.CompletedProcess[str]:
    paths: list[Any] = [str(module.parent), str(Path(feed.__file__).parents[2])]
    code = f"import sys; sys.path[:0] = {paths!r}; import {module.stem}"
    return subprocess.run(
        [sys.executable, "-O", "-B", "-c", code], check=False, capture_output=True, text=True
    )
