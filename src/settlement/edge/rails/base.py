"""The shape of a rail, under the name adapters know it by.

For: adapters in this package. The types live in `core/rail.py`, because the service that runs
effects uses them too and may not import the edge.
Guarantees: nothing of its own.
Does not: add a base class; a rail is whatever has the three methods.
Change colour: green.
"""

from __future__ import annotations

from settlement.core.rail import (
    Listing,
    Rail,
    RailAnswer,
    RailKeyReused,
    RailRecord,
    RailRequest,
    RailSilent,
)

__all__ = [
    "Listing",
    "Rail",
    "RailAnswer",
    "RailKeyReused",
    "RailRecord",
    "RailRequest",
    "RailSilent",
]
