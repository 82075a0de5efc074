"""What an estimate shows of a policy's named components: what a settle would book."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from settlement.core import fees
from settlement.core.fees import FeePolicy, FeeTier, PlatformRate, split_fees
from settlement.core.money import USD
from settlement.core.operation import Rules
from settlement.service.fees_view import estimate
from tests.support.notes import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Database

NAMED = FeePolicy(
    id="named-1",
    tiers=(
        FeeTier(
            name="base", min_volume="0", rate_ppm=28_000, flat="0.28", multiplier_ppm=1_000_000
        ),
    ),
    platform=(
        PlatformRate(name="routing_fee", rate_ppm=1_500, flat="0.05"),
        PlatformRate(name="autonomy_surcharge", rate_ppm=0, flat="0.10"),
        PlatformRate(name="insurance", rate_ppm=10_000, flat="0"),
    ),
)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


@pytest.mark.parametrize("gross", [100, 9_900, 10_000, 123_457])
def test_named_components_show_and_everything_adds_up(
    db: Database, monkeypatch: pytest.MonkeyPatch, gross: int
) -> None:
    """Catches: a routing fee that is charged and shown as nothing, or counted twice."""
    monkeypatch.setitem(fees.POLICIES, NAMED.id, NAMED)
    found = estimate(db, gross, None, Rules(fee_policy=NAMED.id))
    quote = split_fees(NAMED, gross, USD, volume_minor=0)
    shown = {part.name: part.amount_minor for part in quote.components}
    assert found["routing_fee"]["amount_minor"] == shown["routing_fee"] > 0
    assert found["autonomy_surcharge"]["amount_minor"] == 10
    assert found["platform_fee"]["amount_minor"] == sum(shown.values())
    assert found["total_fees_minor"] + found["net_payout_minor"] == gross
    assert found["net_payout_minor"] == quote.net_minor


def test_without_such_components_they_are_nothing(db: Database) -> None:
    found = estimate(db, 10_000, None, Rules())
    assert found["routing_fee"] == found["autonomy_surcharge"] == {"amount_minor": 0}
    assert found["total_fees_minor"] == 308
