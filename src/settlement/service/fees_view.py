"""Fees as a caller sees them before paying any: estimates, tiers, an agent's tier.

Guarantees: an estimate is the very computation that settles; rates, flats and amounts leave as
exact decimal text, which the edge prints digit for digit.
Does not: pin a fee; GO does.

Spec §3, contract §2.6. Change colour: amber.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import window_start
from settlement.core.fees import POLICIES, PPM, FeePolicy, FeeTier, choose_tier, split_fees
from settlement.core.money import Asset, format_exact, two_decimals
from settlement.service.reputation import get_agent
from settlement.store.agents import volume_of

if TYPE_CHECKING:
    from settlement.core.operation import Rules
    from settlement.store.database import Database, Tx

#: What clients call the bands of the active policy, in rising volume.
TIER_NAMES: Final = ("Starter", "Growth", "Scale", "Enterprise")


def shown_name(policy: FeePolicy, tier_name: str) -> str:
    """The published name of a policy's tier; a fifth tier would keep its own."""
    names = [tier.name for tier in policy.tiers]
    pairs = dict(zip_longest(names, TIER_NAMES[: len(names)]))
    return pairs.get(tier_name) or tier_name


def ppm_text(ppm: int) -> str:
    """Parts per million as a plain decimal: 28000 -> `0.028`."""
    whole, part = divmod(ppm, PPM)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".") if part else str(whole)


def _with_multiplier(text_ppm: int, multiplier_ppm: int) -> str:
    """A rate times its multiplier, exactly, as decimal text."""
    scaled = text_ppm * multiplier_ppm
    whole, part = divmod(scaled, PPM * PPM)
    return f"{whole}.{part:012d}".rstrip("0").rstrip(".") if part else str(whole)


def _flat_ppm(flat: str) -> int:
    whole, _, fraction = flat.partition(".")
    return int(whole + fraction.ljust(6, "0"))


def fee_line(rules: Rules) -> str:
    """The first tier's fee in words: `2.8% + $0.28`."""
    tier = POLICIES[rules.fee_policy].tiers[0]
    return f"{ppm_text(tier.rate_ppm * 100)}% + ${tier.flat}"


def fee_tiers(rules: Rules) -> dict[str, Any]:
    """The bands of the active policy."""
    policy = POLICIES[rules.fee_policy]
    return {
        "policy": policy.id,
        "policy_hash": policy.hash,
        "tiers": [_tier_row(policy, tier) for tier in policy.tiers],
    }


def _tier_row(policy: FeePolicy, tier: FeeTier) -> dict[str, Any]:
    return {
        "tier": shown_name(policy, tier.name),
        "policy_tier": tier.name,
        "min_volume_usd": tier.min_volume,
        "fee_pct": _with_multiplier(tier.rate_ppm, tier.multiplier_ppm),
        "fee_fixed": _with_multiplier(_flat_ppm(tier.flat), tier.multiplier_ppm),
        "multiplier": ppm_text(tier.multiplier_ppm),
    }


def agent_fee_tier(db: Database, agent_id: str, rules: Rules) -> dict[str, Any]:
    """The band an agent's 30-day volume has reached, and the next; raises AgentNotFound."""
    policy = POLICIES[rules.fee_policy]
    asset = Asset.parse(rules.default_asset)

    def read(tx: Tx) -> int:
        get_agent(tx, agent_id)
        return volume_of(tx, agent_id, asset.code, window_start(tx.now_us)).window_minor

    volume = db.read(read)
    tier = choose_tier(policy, volume, asset)
    at = policy.tiers.index(tier)
    following = policy.tiers[at + 1] if at + 1 < len(policy.tiers) else None
    row = _tier_row(policy, tier)
    return {
        "agent_id": agent_id,
        **{name: row[name] for name in ("tier", "policy_tier", "fee_pct", "fee_fixed")},
        "policy": policy.id,
        "volume_30d_usd": two_decimals(volume, asset),
        "volume_30d_exact": format_exact(volume, asset),
        "next_tier": shown_name(policy, following.name) if following else None,
        "next_tier_min_volume_usd": following.min_volume if following else None,
    }


def estimate(db: Database, gross_minor: int, agent_id: str | None, rules: Rules) -> dict[str, Any]:
    """A gross taken apart; raises NetBelowMinimum, and AgentNotFound for an unknown agent."""
    policy = POLICIES[rules.fee_policy]
    asset = Asset.parse(rules.default_asset)
    volume = 0
    if agent_id is not None:

        def read(tx: Tx) -> int:
            get_agent(tx, agent_id)
            return volume_of(tx, agent_id, asset.code, window_start(tx.now_us)).window_minor

        volume = db.read(read)
    quote = split_fees(policy, gross_minor, asset, volume_minor=volume)
    tier = policy.tier(quote.tier)
    named = {part.name: part.amount_minor for part in quote.components}
    return {
        "asset": asset.code,
        "gross_minor": quote.gross_minor,
        "protocol_fee": {
            "amount_minor": quote.protocol_minor,
            "rate": ppm_text(tier.rate_ppm),
            "flat": tier.flat,
            "multiplier": ppm_text(tier.multiplier_ppm),
            "tier": shown_name(policy, tier.name),
            "policy_tier": tier.name,
        },
        "platform_fee": {
            "amount_minor": quote.platform_minor,
            "components": [
                {"name": part.name, "amount_minor": part.amount_minor} for part in quote.components
            ],
        },
        # Parts of the platform fee that clients look for by name; they are in its sum already.
        "autonomy_surcharge": {"amount_minor": named.get("autonomy_surcharge", 0)},
        "routing_fee": {"amount_minor": named.get("routing_fee", 0)},
        "total_fees_minor": quote.platform_minor + quote.protocol_minor,
        "net_payout_minor": quote.net_minor,
        "aigx_rebate_estimate_minor": 0,
        "fee_policy": policy.id,
        "fee_policy_hash": policy.hash,
    }
