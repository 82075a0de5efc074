"""What the feeds answer; see `promises.py`, whose rules hold here too.

Guarantees: a test reads every answer into its struct.
Does not: list every member; more may be there.

Contract §2.12, §3.5. Change colour: green to add, red to take away.
"""

from __future__ import annotations

from typing import Any

from settlement.edge.http.promises import Answer


class EconFeed(Answer):
    feed_type: str
    epoch: str | None
    as_of: str | None
    delay_applied_seconds: int
    k_anonymity_threshold: int
    rounding_precision: int
    currency: str
    verticals: dict[str, Any]
    suppressed_verticals_count: int
    totals: dict[str, Any] | None


class PremiumFeed(EconFeed):
    releases: list[dict[str, Any]]


class Intelligence(Answer):
    verticals: dict[str, Any]
    sla_benchmarks: dict[str, Any]
    netting: dict[str, Any]
    marketplace: dict[str, Any]
    credentials: dict[str, Any]
    k_anonymity_threshold: int
    delay_applied_seconds: int


class PremiumIntelligence(Intelligence):
    brain_intelligence: dict[str, Any]
