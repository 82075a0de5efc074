"""The row of a shared rate limit: one per caller and bucket.

For: the engine's batch, which loads, changes and writes it with everything else of the call.
Guarantees: frozen; fields in the order of the columns.
Change colour: amber (the migrations mirror it).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """`rate_limit`. version: grows by one with each write, which names the version it expects."""

    principal: str
    bucket: str
    tat_us: int
    version: int
