"""The feeds over HTTP: who may read which, and that both suppress alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.clock import time_text
from settlement.core.feed import Fact, release
from settlement.core.money import USD
from settlement.store.feed import keep_release

if TYPE_CHECKING:
    from tests.edge.world import World

ECON = ("/protocol/econ/feed", "/protocol/econ/feed/premium")
INTELLIGENCE = ("/protocol/intelligence/feed", "/protocol/intelligence/premium")
HOUR_US = 3_600_000_000


def test_the_premium_feeds_ask_for_a_key_with_their_scope(quiet: World) -> None:
    """Catches a premium feed that is open, or that any key opens."""
    narrow = quiet.key_with(["read", "audit"], "reader of nothing premium")
    for public, premium in (ECON, INTELLIGENCE):
        quiet.ok("GET", public)
        assert quiet.call("GET", premium).status_code == 401
        refused = quiet.call("GET", premium, headers={"X-API-Key": "a2a_wrong"})
        assert (refused.status_code, refused.json()["error"]) == (401, "key_invalid")
        refused = quiet.call("GET", premium, who=narrow)
        assert (refused.status_code, refused.json()["error"]) == (403, "scope_missing")
        quiet.ok("GET", premium, who="seller")


def test_an_hour_is_shown_whole_to_everybody_and_in_cents_to_few(either: World) -> None:
    facts = [
        Fact(vertical="web", buyer=f"b{n}", seller=f"s{n}", deals=1, gross_minor=1_050)
        for n in range(5)
    ]
    facts += [Fact(vertical="art", buyer="b", seller="s", deals=900, gross_minor=1)]
    found = release(facts, USD, k=5, rounding=0, delay_seconds=3600)
    # In a year nobody's clock has reached, so that no release of the world's own comes after it.
    epoch = 7_000_000 * HOUR_US
    kept = either.services.db.transaction(
        lambda tx: keep_release(tx, epoch, found.public, found.premium)
    )
    assert kept

    public = either.ok("GET", ECON[0])
    assert public["feed_type"] == "public"
    assert public["epoch"] == time_text(epoch)
    assert public["as_of"] == time_text(epoch + HOUR_US)
    assert public["verticals"]["web"] == {
        "gmv_usd": 53,
        "deal_count_bucket": "5-9",
        "avg_price_band": "10-49",
    }
    assert (public["suppressed_verticals_count"], public["totals"]) == (1, None)
    assert (public["delay_applied_seconds"], public["k_anonymity_threshold"]) == (3600, 5)

    premium = either.ok("GET", ECON[1], who="seller")
    assert premium["feed_type"] == "premium"
    assert set(premium["verticals"]) == {"web"}
    assert premium["verticals"]["web"]["gmv_usd"] == 52.5
    assert premium["releases"][0]["verticals"] == premium["verticals"]
    assert premium["totals"] is None

    shown = either.ok("GET", INTELLIGENCE[0])
    assert shown["verticals"] == public["verticals"]
    assert "brain_intelligence" not in shown
    brain = either.ok("GET", INTELLIGENCE[1], who="seller")["brain_intelligence"]
    assert [hour["epoch"] for hour in brain["verticals"]["web"]] == [time_text(epoch)]
