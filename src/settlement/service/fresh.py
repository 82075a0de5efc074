"""New ids and secrets, drawn where an operation needs them from outside.

For: services that build operations: `decide` is pure, so what is random is handed to it.
Guarantees: secrets come from the operating system's generator; ids sort by time.
Does not: store anything.

Spec §1.2. Change colour: amber.
"""

from __future__ import annotations

import os
import time
from typing import Final

from settlement.core.ids import QuoteId, SequenceIds

_SEED_BYTES: Final = 8
_QUOTE_BYTES: Final = 16


def new_id(prefix: str) -> str:
    """A new id of a kind, later than those before it."""
    source = SequenceIds(unix_us=time.time_ns() // 1000, seed=os.urandom(_SEED_BYTES))
    return source.new(prefix)


def new_quote_id() -> str:
    """A bearer secret of 128 random bits."""
    return str(QuoteId.from_random(os.urandom(_QUOTE_BYTES)))
